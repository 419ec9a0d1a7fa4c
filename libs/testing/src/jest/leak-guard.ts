import { setTimeout as delay } from 'node:timers/promises';
import { TestEnvironment } from 'jest-environment-node';

/** What keeps a process alive and is never left over by accident: child processes, servers, connections. */
const GUARDED = ['ProcessWrap', 'TCPServerWrap', 'TCPSocketWrap'];
const GRACE_MS = 3_000;

/** Fails a spec file that leaves processes, servers or connections open: its next victim would be some other file's test. */
export default class LeakGuard extends TestEnvironment {
  readonly #before = count();

  override async teardown(): Promise<void> {
    await super.teardown();
    const until = Date.now() + GRACE_MS;
    let leaked = this.#leaked();
    while (leaked.length > 0 && Date.now() < until) {
      await delay(20);
      leaked = this.#leaked();
    }
    if (leaked.length > 0) throw new Error(`This file leaves open: ${leaked.join(', ')}`);
  }

  #leaked(): string[] {
    const now = count();
    return GUARDED.map((kind) => [kind, (now[kind] ?? 0) - (this.#before[kind] ?? 0)] as const)
      .filter(([, more]) => more > 0)
      .map(([kind, more]) => `${more} ${kind}`);
  }
}

function count(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
