/** Checks of `npm run verify:deploy`, one after the other: each passes, fails, or is skipped for a reason that is said aloud. */
export class Checks {
  readonly counts = { passed: 0, failed: 0, skipped: 0 };

  constructor(private readonly say: (line: string) => void) {}

  /** @returns whether it passed. What it returns, in words, is shown. */
  async check(what: string, run: () => Promise<string | void>): Promise<boolean> {
    const since = Date.now();
    try {
      const found = await run();
      const seconds = ((Date.now() - since) / 1_000).toFixed(1);
      this.#count('passed', `${what}${found ? `: ${found}` : ''} (${seconds} s)`);
      return true;
    } catch (error) {
      this.#count('failed', `${what}: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  skip(what: string, why: string): void {
    this.#count('skipped', `${what}: ${why}`);
  }

  /** Of tests that another program has run. */
  add(what: string, counts: { passed: number; failed: number; skipped: number }, why: string): void {
    for (const how of ['passed', 'failed', 'skipped'] as const) this.counts[how] += counts[how];
    const { passed, failed, skipped } = counts;
    const how = failed > 0 ? 'failed' : skipped > 0 ? 'skipped' : 'passed';
    this.say(
      `${how.padEnd(8)} ${what}: ${passed} passed, ${failed} failed, ${skipped} skipped${how === 'passed' ? '' : `. ${why}`}`,
    );
  }

  #count(how: keyof Checks['counts'], line: string): void {
    this.counts[how]++;
    this.say(`${how.padEnd(8)} ${line}`);
  }
}
