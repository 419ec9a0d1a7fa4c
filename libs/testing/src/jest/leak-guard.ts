import { setTimeout as delay } from 'node:timers/promises';
import { TestEnvironment } from 'jest-environment-node';

/** What keeps a process alive and is never left over by accident: child processes, servers, connections. */
const GUARDED = ['ProcessWrap', 'TCPServerWrap', 'TCPSocketWrap'];
const GRACE_MS = 3_000;

/** A child process, a server or a socket, as Node lists what is open. */
interface Handle {
  kill?(signal: string): void;
  unref?(): void;
}

/**
 * Fails a spec file that leaves processes, servers or connections open, and lets go of them, so that they disturb no other file
 * and Jest can end.
 */
export default class LeakGuard extends TestEnvironment {
  readonly #before = count();
  readonly #handlesBefore = new Set(openHandles());

  /** Called by Jest; the run has finished when the last `afterAll` has. */
  async handleTestEvent(event: { name: string }, state: { unhandledErrors: unknown[] }): Promise<void> {
    if (event.name !== 'run_finish') return;
    const until = Date.now() + GRACE_MS;
    let leaked = this.#leaked();
    while (leaked.length > 0 && Date.now() < until) {
      await delay(20);
      leaked = this.#leaked();
    }
    if (leaked.length === 0) return;
    state.unhandledErrors.push(new Error(`This file leaves open: ${leaked.join(', ')}`));
    for (const handle of openHandles()) {
      if (this.#handlesBefore.has(handle)) continue;
      handle.kill?.('SIGTERM');
      handle.unref?.();
    }
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

/** Node has no public way to reach what is open, only to count it. */
function openHandles(): Handle[] {
  return (process as unknown as { _getActiveHandles(): Handle[] })._getActiveHandles();
}
