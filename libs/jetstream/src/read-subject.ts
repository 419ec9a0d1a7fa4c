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
  {
    batch = BATCH,
    maxBytes = BATCH_BYTES,
    timeoutMs = TIMEOUT_MS,
  }: { batch?: number; maxBytes?: number; timeoutMs?: number } = {},
): Promise<StoredMsg[]> {
  return new Promise((resolve, reject) => {
    const messages: StoredMsg[] = [];
    const enough = setTimeout(() => reject(new Error('the messages of a subject did not come in time')), timeoutMs);
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

/** All messages of a stream whose subject matches, in order; what is stored while they are read may be among them. */
export async function* messagesAt(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
  options: { batch?: number; maxBytes?: number } = {},
): AsyncGenerator<StoredMsg> {
  for (let after = 0; ;) {
    const messages = await readSubject(jsm, stream, subject, after, options);
    if (messages.length === 0) return;
    yield* messages;
    after = messages.at(-1)!.seq;
  }
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
