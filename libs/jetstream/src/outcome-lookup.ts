import type { NatsConnection } from '@nats-io/transport-node';
import { STREAM } from './topology.js';

/** Subjects that one request may ask for; the server's own limit is 1,024. */
export const LOOKUP_MOST = 512;
const TIMEOUT_MS = 5_000;

/**
 * Which of these subjects hold an outcome. One request for all of them: a lookup each costs a runner that takes over a backlog
 * more than everything else that it does.
 * @throws Error when the server did not answer in full; then nothing is known.
 */
export async function storedAmong(nc: NatsConnection, subjects: string[]): Promise<Set<string>> {
  const stored = new Set<string>();
  const request = JSON.stringify({ multi_last: subjects, batch: subjects.length });
  // Messages, then an empty one that says how it ended: 204 for the end of the batch, 404 when there was none.
  const answers = await nc.requestMany(`$JS.API.DIRECT.GET.${STREAM.outcomes}`, request, {
    strategy: 'sentinel',
    maxWait: TIMEOUT_MS,
  });
  let complete = false;
  for await (const answer of answers) {
    const subject = answer.headers?.get('Nats-Subject');
    const status = answer.headers?.code ?? 0;
    if (subject) stored.add(subject);
    else if (status === 204 || status === 404) complete = true;
    else throw new Error(`looking up outcomes failed: status ${status}`);
  }
  if (!complete) throw new Error('looking up outcomes got no complete answer in time');
  return stored;
}
