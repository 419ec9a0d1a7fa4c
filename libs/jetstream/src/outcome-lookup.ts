import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { STREAM } from './topology.js';

/** Subjects that one request may ask for; the server's own limit is 1,024. */
export const LOOKUP_MOST = 512;
const TIMEOUT_MS = 5_000;
/** Asked of the leader at once. */
const AT_ONCE = 64;

/**
 * Which of these subjects hold an outcome. One request for all of them: a lookup each costs a runner that takes over a backlog
 * more than everything else that it does.
 * @param leader for a stream with replicas, of which any may answer that one request: what it does not know is asked of the leader
 * @throws Error when the server did not answer in full; then nothing is known.
 */
export async function storedAmong(
  nc: NatsConnection,
  subjects: string[],
  leader?: JetStreamManager,
): Promise<Set<string>> {
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
  const missing = leader ? subjects.filter((subject) => !stored.has(subject)) : [];
  for (let from = 0; from < missing.length; from += AT_ONCE) {
    await Promise.all(
      missing.slice(from, from + AT_ONCE).map(async (subject) => {
        if (await leader!.streams.getMessage(STREAM.outcomes, { last_by_subj: subject })) stored.add(subject);
      }),
    );
  }
  return stored;
}
