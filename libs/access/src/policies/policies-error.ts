/** What is wrong with policies, each with its file and line. Says nothing of anybody who calls. */
export class PoliciesError extends Error {
  override readonly name = 'PoliciesError';
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[]) {
    const all = typeof problems === 'string' ? [problems] : problems;
    super(all.join('; '));
    this.problems = all;
  }
}
