import { setTimeout as delay } from 'node:timers/promises';
import { CallboardError } from '@callboard/envelope';

/** How long asking goes on while nats-server is away. */
const PATIENCE_MS = 10_000;
const RETRY_MS = 250;

/**
 * Asks again for a while: what is asked while the connection is down is lost.
 * @throws CallboardError `unavailable` when there was no answer
 */
export async function insist<Value>(ask: () => Promise<Value>): Promise<Value> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await ask();
    } catch (cause) {
      if (cause instanceof CallboardError || cause instanceof TypeError || cause instanceof SyntaxError) throw cause;
      if (Date.now() >= until) throw new CallboardError('unavailable', undefined, { retryAfterMs: 1_000, cause });
      await delay(RETRY_MS);
    }
  }
}
