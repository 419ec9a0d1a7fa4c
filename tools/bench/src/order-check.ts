/** One command as it was run: its place among all commands, its key, and when it began and ended on the worker's clock. */
export interface Ran {
  n: number;
  key: string;
  began: number;
  ended: number;
}

/** What is wrong with a run of `count` commands: lost, run twice, out of order or two of one key at once. At most a few are named. */
export function findDisorder(ran: Ran[], count: number): string[] {
  const wrong: string[] = [];
  const distinct = new Set(ran.map(({ n }) => n));
  if (distinct.size !== count) wrong.push(`${count - distinct.size} of ${count} commands were lost`);
  if (ran.length !== distinct.size) wrong.push(`${ran.length - distinct.size} commands ran twice`);
  const lastOf = new Map<string, Ran>();
  for (const now of [...ran].sort((a, b) => a.n - b.n)) {
    const before = lastOf.get(now.key);
    if (!(now.began <= now.ended)) wrong.push(`key ${now.key}: ${now.n} says not when it ran`);
    else if (before && now.began < before.ended)
      wrong.push(`key ${now.key}: ${now.n} began before ${before.n} had ended`);
    lastOf.set(now.key, now);
    if (wrong.length >= 5) break;
  }
  return wrong;
}
