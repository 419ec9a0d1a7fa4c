/**
 * The life of the audit writer: from the audit stream into the ledger, checkpoint by checkpoint, and then out of the stream. Read `#work` top to bottom.
 *
 * Where to go on is asked of the ledger alone. Whatever dies between two steps, the next process begins at the same place: what is in the ledger is
 * not taken again, what is not there is still in the stream, because nothing leaves the stream before a checkpoint vouches for it in both places.
 *
 * The stream keeps what is young all the same: it is the second witness of what is in the ledger.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { STREAM, readStream, type StreamPage, type StreamedMessage } from '@callboard/jetstream';
import { Behind, type Checkpoints, type Ledger } from '@callboard/ledger';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { WriterMetrics } from './metrics.js';

export interface FeedOptions {
  checkpointMs: number;
  keepMs: number;
  onError(error: unknown): void;
}

const BATCH: StreamPage = { batch: 1_000, maxBytes: 4 * 1024 ** 2 };
const IDLE_MS = 50;
const RETRY_MS = 500;
/** That many entries without a checkpoint are enough for one. */
const CHECKPOINT_ENTRIES = 10_000;
/** From this share of its bytes on, the stream keeps nothing that it need not. */
const CROWDED = 0.5;

/** The ledger has more of the stream than there is: it is the ledger of another one. */
export class AnotherStream extends Error {
  override readonly name = 'AnotherStream';
}

export class Feed {
  #stopping = new AbortController();
  #done: Promise<void> = Promise.resolve();
  #entries = 0;
  #checkpointAt = 0;
  /** What was vouched for when, oldest first. */
  #anchored: { at: number; sequence: number }[] = [];
  #fit = false;
  /** What is read while what came before it is written. */
  #ahead: { after: number; messages: Promise<StreamedMessage[]> } | undefined;

  constructor(
    private readonly ledger: Ledger,
    private readonly checkpoints: Checkpoints,
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly metrics: WriterMetrics,
    private readonly options: FeedOptions,
  ) {}

  start(): void {
    this.#done = this.#run();
  }

  /** Ends after the step that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Did the last step succeed? */
  get fit(): boolean {
    return this.#fit;
  }

  /** Last sequence that is vouched for in both places. */
  get anchored(): number {
    return this.#anchored.at(-1)?.sequence ?? 0;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const taken = await this.#work();
        this.#fit = true;
        if (taken === 0) await delay(IDLE_MS, undefined, { signal }).catch(() => undefined);
      } catch (error) {
        if (error instanceof Behind) continue;
        this.#fit = false;
        this.options.onError(error);
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #work(): Promise<number> {
    const messages = await this.#messagesAfter(await this.ledger.lastSequence());
    const last = messages.at(-1);
    if (last) {
      const { seq } = last;
      const pending = last.pending();
      this.metrics.lag = { records: messages.length + pending, oldestAt: messages[0]!.storedAt() };
      // Behind by more than a page, the next is on its way while this one is written. Otherwise asking after the writing finds more.
      if (pending >= BATCH.batch) this.#ahead = { after: seq, messages: this.#read(seq) };
      const rows = await this.ledger.append(
        messages.map(({ seq, subject, data }) => ({ sequence: seq, subject, data })),
      );
      this.#entries += rows.length;
      this.metrics.entries.inc(rows.length);
      this.metrics.lag = { records: pending, oldestAt: last.storedAt() };
    } else {
      this.metrics.lag.records = 0;
    }
    const due = Date.now() >= this.#checkpointAt + this.options.checkpointMs;
    if (due || this.#entries >= CHECKPOINT_ENTRIES) await this.vouch();
    return messages.length;
  }

  /** Those that are on their way already, when they are the right ones: another writer may have been first. */
  #messagesAfter(after: number): Promise<StreamedMessage[]> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead?.after === after ? ahead.messages : this.#read(after);
  }

  #read(after: number): Promise<StreamedMessage[]> {
    const messages = readStream(this.nc, STREAM.audit, after, BATCH);
    // Whoever waits for it hears of it, and nobody else needs to.
    messages.catch(() => undefined);
    return messages;
  }

  /** Takes checkpoints, and lets the stream go of what is old and vouched for. @param all of it, not only of what is old */
  async vouch(all = false): Promise<void> {
    try {
      const sequence = await this.checkpoints.take();
      this.metrics.checkpoint('taken');
      this.#entries = 0;
      this.#checkpointAt = Date.now();
      if (sequence > this.anchored) this.#anchored.push({ at: Date.now(), sequence });
      await this.#letGo(all);
    } catch (error) {
      this.metrics.checkpoint('failed');
      throw error;
    }
  }

  async #letGo(all: boolean): Promise<void> {
    const { state, config } = await this.jsm.streams.info(STREAM.audit);
    if (state.last_seq < (await this.ledger.lastSequence())) {
      throw new AnotherStream(
        'The ledger has more messages than the audit stream ever had: it is the ledger of another stream',
      );
    }
    const crowded = config.max_bytes > 0 && state.bytes > CROWDED * config.max_bytes;
    const until = Date.now() - this.options.keepMs;
    const old = this.#anchored.filter(({ at }) => all || crowded || at <= until);
    const sequence = old.at(-1)?.sequence ?? 0;
    if (sequence >= state.first_seq && state.messages > 0) {
      await this.jsm.streams.purge(STREAM.audit, { seq: sequence + 1 });
    }
    // The newest stays, because it says how far this has come.
    this.#anchored = this.#anchored.filter((each) => each.sequence > sequence || each === this.#anchored.at(-1));
  }
}
