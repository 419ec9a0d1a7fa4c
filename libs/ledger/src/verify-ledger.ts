/** Verifies a whole ledger beside the streams: all checkpoints first, then every entry with the message that it was made of, where that is still there. */
import { LedgerVerifier, type CheckpointKey, type SignedCheckpoint, type VerifyReport } from '@callboard/audit';
import { STREAM, readStream, type LedgerSource, type StreamPage, type StreamedMessage } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

const PAGE = 1_000;
const MESSAGES: StreamPage = { batch: 1_000, maxBytes: 4 * 1024 ** 2 };

export interface VerifyProgress {
  records: number;
  findings: number;
}

/**
 * Verifies everything that there is when it begins.
 * @param nc of a user that may read the streams of the audit
 * @param onProgress hears of each page
 */
export async function verifyLedger(
  source: LedgerSource,
  nc: NatsConnection,
  key: CheckpointKey,
  onProgress: (progress: VerifyProgress) => void = () => undefined,
): Promise<VerifyReport> {
  const verifier = new LedgerVerifier(key, await source.segments());
  const messages = await StreamMessages.open(nc, (first) => verifier.begins(first));
  verifier.checkpoints(await all(filed((after) => source.checkpoints(after, PAGE))), await all(anchored(nc)));
  let records = 0;
  let findings = 0;
  const rows = filed((after) => source.rows(after, PAGE));
  for await (const page of rows) {
    for (const row of page) {
      const body = verifier.row(row);
      if (body === undefined) findings += 1;
      if (!messages.mayBe(row.stream_sequence)) continue;
      await messages.upTo(row.stream_sequence, ({ seq, subject, data }) =>
        verifier.message(seq, subject, data, seq === row.stream_sequence ? body : undefined),
      );
    }
    records += page.length;
    onProgress({ records, findings });
  }
  await messages.upTo(Infinity, ({ seq, subject, data }) => verifier.message(seq, subject, data, undefined));
  return verifier.finish(messages.last, await messages.lastNow());
}

/** Page after page, until one is empty; the next is read while the one before is worked on. */
async function* pagesOf<T>(read: (last: T | undefined) => Promise<T[]>): AsyncGenerator<T[]> {
  let next = read(undefined);
  for (;;) {
    const page = await next;
    if (page.length === 0) return;
    next = read(page.at(-1));
    // It is waited for when the page is done with; whoever is not done with it has failed otherwise.
    next.catch(() => undefined);
    yield page;
  }
}

/**
 * All that a database has filed by a sequence, in its order: from the first on, because what somebody has put in may be before the beginning. Beyond
 * the numbers that can be told from each other nothing is asked any more: what is filed there has been found to be misfiled.
 */
function filed<T extends { stream_sequence: number }>(read: (after?: number) => Promise<T[]>): AsyncGenerator<T[]> {
  return pagesOf<T>((last) => {
    if (last && last.stream_sequence >= Number.MAX_SAFE_INTEGER) return Promise.resolve([]);
    return read(last && Math.max(last.stream_sequence, Number.MIN_SAFE_INTEGER));
  });
}

async function all<T>(pages: AsyncIterable<T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const page of pages) found.push(...page);
  return found;
}

async function* anchored(nc: NatsConnection): AsyncGenerator<SignedCheckpoint[]> {
  const pages = pagesOf<StreamedMessage>((last) => readStream(nc, STREAM.auditCheckpoints, last?.seq ?? 0, MESSAGES));
  for await (const page of pages)
    yield page.map(({ data }) => JSON.parse(Buffer.from(data).toString()) as SignedCheckpoint);
}

/** With where the stream begins by now, when messages before this one were taken out since the one before it was read. */
type AuditMessage = StreamedMessage & { begins?: number };

/** The messages of the audit stream that are there when it is opened, in order, page by page. */
class StreamMessages {
  readonly #pages: AsyncGenerator<AuditMessage[]>;
  #page: readonly AuditMessage[] = [];
  #at = 0;
  #ended = false;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly onPurged: (first: number) => void,
    readonly last: number,
  ) {
    this.#pages = pagesOf((last) => this.#read(last?.seq ?? 0));
  }

  /** @param onPurged hears where the stream begins now, when the audit writer has taken out what was not read yet */
  static async open(nc: NatsConnection, onPurged: (first: number) => void): Promise<StreamMessages> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    return new StreamMessages(nc, jsm, onPurged, (await jsm.streams.info(STREAM.audit)).state.last_seq);
  }

  async lastNow(): Promise<number> {
    return (await this.jsm.streams.info(STREAM.audit)).state.last_seq;
  }

  /** May there be one up to here that was not taken yet? Most entries are older than the stream. */
  mayBe(sequence: number): boolean {
    const next = this.#page[this.#at];
    return next ? next.seq <= Math.min(sequence, this.last) : !this.#ended;
  }

  async upTo(sequence: number, take: (message: StreamedMessage) => void): Promise<void> {
    while (this.#at < this.#page.length || (await this.#turn())) {
      const message = this.#page[this.#at]!;
      if (message.seq > Math.min(sequence, this.last)) return;
      if (message.begins !== undefined) this.onPurged(message.begins);
      take(message);
      this.#at += 1;
    }
  }

  async #turn(): Promise<boolean> {
    const { value } = await this.#pages.next();
    this.#page = value ?? [];
    this.#at = 0;
    this.#ended = this.#page.length === 0;
    return !this.#ended;
  }

  async #read(after: number): Promise<AuditMessage[]> {
    if (after >= this.last) return [];
    const page: AuditMessage[] = await readStream(this.nc, STREAM.audit, after, MESSAGES);
    const [first] = page;
    if (first && first.seq > after + 1) {
      const { first_seq } = (await this.jsm.streams.info(STREAM.audit)).state;
      if (first_seq > after + 1) first.begins = Math.min(first_seq, first.seq);
    }
    return page;
  }
}
