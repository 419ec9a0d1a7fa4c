import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

const BATCH = 64;
const BATCH_BYTES = 4 * 1024 * 1024;
/** What is lost with the connection never comes, and the client itself limits only the wait for the first message. */
const TIMEOUT_MS = 2_000;

/**
 * The next messages of a stream after a sequence whose subject matches, in order; as many as one request brings, none when there
 * are none, and one at least however few bytes are asked for. Needs no consumer.
 */
export function readSubject(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
  after: number,
  { batch = BATCH, maxBytes = BATCH_BYTES }: { batch?: number; maxBytes?: number } = {},
): Promise<StoredMsg[]> {
  return new Promise((resolve, reject) => {
    const messages: StoredMsg[] = [];
    const enough = setTimeout(() => reject(new Error('the messages of a subject did not come in time')), TIMEOUT_MS);
    const callback = (done: { err?: Error } | null, message: StoredMsg) => {
      if (!done) return void messages.push(message);
      clearTimeout(enough);
      if (done.err && !isNothingFound(done.err)) reject(done.err);
      else resolve(messages);
    };
    const query = { seq: after + 1, next_by_subj: subject, batch, max_bytes: maxBytes, callback };
    jsm.direct.getBatch(stream, query).catch((error: unknown) => {
      clearTimeout(enough);
      reject(error as Error);
    });
  });
}

/** How many messages of a stream have a subject that matches, and come after a sequence. */
export async function countSubject(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
  after: number,
): Promise<number> {
  const [first] = await readSubject(jsm, stream, subject, after, { batch: 1 });
  return first ? pendingAfter(first) + 1 : 0;
}

/** How many messages that match there are after one that was read, as whoever answered sees it. */
export function pendingAfter(message: StoredMsg): number {
  return Number(message.header.get('Nats-Num-Pending'));
}

function isNothingFound(error: Error): boolean {
  return /not found|no results/i.test(error.message);
}
