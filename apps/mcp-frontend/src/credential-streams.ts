/**
 * Streams that may stay open for ever, each with the credential that opened it. A stream ends when that does: at its time, or when it is looked at
 * again and is good no more, or for somebody else. Its client comes back with another.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authentication, Principal } from '@callboard/access';

const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class CredentialStreams {
  readonly #open = new Map<ServerResponse, { req: IncomingMessage; principal: Principal }>();

  /** @param check what the credential of a request is worth now */
  constructor(private readonly check: (req: IncomingMessage) => Promise<Authentication>) {}

  /** The stream that answers this request lives as long as the credential that made it this principal's. */
  hold(req: IncomingMessage, res: ServerResponse, principal: Principal): void {
    const { expiresAt } = principal;
    this.#open.set(res, { req, principal });
    const leftMs =
      expiresAt === undefined ? undefined : Math.min(Math.max(0, expiresAt - Date.now()), LONGEST_TIMER_MS);
    const timer = leftMs === undefined ? undefined : setTimeout(() => res.destroy(), leftMs).unref();
    res.once('close', () => {
      clearTimeout(timer);
      this.#open.delete(res);
    });
  }

  /** Looks at every credential again, one after the other. One of which nothing can be found out now goes on. */
  async lookAgain(): Promise<void> {
    for (const [res, { req, principal }] of this.#open) {
      const now = await this.check(req);
      if (now.ok ? !isSame(now.principal, principal) : now.reason !== 'unavailable') res.destroy();
    }
  }
}

function isSame(one: Principal, other: Principal): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
