import { setTimeout as delay } from 'node:timers/promises';
import { JetStreamApiError } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';

/** How long a process that starts waits for a leader; a cluster that comes up together needs some seconds. */
export const LEADER_MS = 30_000;
const AGAIN_MS = 250;
/** The server's own number for "no leader yet". */
const CLUSTER_NOT_AVAILABLE = 10008;

/** What JetStream answers, also where a stream or a consumer has no leader yet. @throws whatever waiting does not mend, or has not. */
export async function whenLed<Value>(ask: () => Promise<Value>, withinMs = LEADER_MS): Promise<Value> {
  const until = Date.now() + withinMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > until || !isForNow(error)) throw error;
      await delay(AGAIN_MS);
    }
  }
}

/** Nobody answered, or nobody leads: true of a cluster that elects. */
export function isForNow(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.code === CLUSTER_NOT_AVAILABLE;
  if (error instanceof errors.TimeoutError || error instanceof errors.RequestError) return true;
  // What the client makes of nobody answering; it does not export the class.
  return error instanceof Error && error.name === 'JetStreamNotEnabled';
}
