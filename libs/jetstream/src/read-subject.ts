import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

const BATCH = 64;
const BATCH_BYTES = 4 * 1024 * 1024;

/**
 * The next messages of a stream after a sequence whose subject matches, in order; as many as one request brings, none when there
 * are none. Needs no consumer.
 */
export function readSubject(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
  after: number,
): Promise<StoredMsg[]> {
  return new Promise((resolve, reject) => {
    const messages: StoredMsg[] = [];
    const callback = (done: { err?: Error } | null, message: StoredMsg) => {
      if (!done) messages.push(message);
      else if (done.err && !isNothingFound(done.err)) reject(done.err);
      else resolve(messages);
    };
    const query = { seq: after + 1, next_by_subj: subject, batch: BATCH, max_bytes: BATCH_BYTES, callback };
    jsm.direct.getBatch(stream, query).catch(reject);
  });
}

function isNothingFound(error: Error): boolean {
  return /not found|no results/i.test(error.message);
}
