/**
 * Tells this process of every event that is stored, for all who wait for some: one subscription for them together, whatever their number.
 *
 * EVENTS republishes the headers of what it stores. In order, one after the other, they are believed; after a hole (a reconnect, a slow
 * process) what is missing is read from the stream, headers only, so nobody who waits misses an event (F1). Only when too much is missing,
 * or the stream is another one, everybody is rung instead: they look for themselves (F2). That a hole at the very end is noticed without
 * another event, it asks every few seconds and at every reconnect.
 *
 * It never gives an event to a client, only the news that there is one; so what it has seen twice, or too early, does no harm.
 */
import { EVENT_SUBJECTS, LIVE_PREFIX } from '@callboard/envelope';
import { readStoredEventHeaders } from '@callboard/events';
import {
  EventReader,
  STREAM,
  addressOf,
  isSelected,
  onConnectionChange,
  type EventRange,
  type EventSelection,
} from '@callboard/jetstream';
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { nanos, type MsgHdrs, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { EventTopics } from './event-topics.js';

/** Calls back for every event that is selected; the sequence is that of the event, or of the last one when there may have been some. */
export type OnEvent = (sequence: number) => void;

interface Watch {
  selection: EventSelection;
  onEvent: OnEvent;
}

/** Of what is missing, or of what was there before this process, so many of the newest are looked at. */
const MAX_MISSED = 50_000;
/** Live news that wait while what is missing is read. */
const MAX_HELD = 20_000;
const FETCH = 1_000;
const FETCH_MS = 1_000;
const CHECK_MS = 5_000;
const TIMEOUT_MS = 2_000;

interface News {
  subject: string;
  sequence: number;
  headers: MsgHdrs | undefined;
  at: Date;
}

export class EventFeed {
  readonly topics = new EventTopics();
  /** Everything up to here was seen. */
  #position = 0;
  /** Of what came up to here, not everything may have been seen. */
  #knownFrom = 0;
  #stream = '';
  #retentionMs = 0;
  #held: News[] | undefined;
  #again = false;
  #stopped = false;
  readonly #watches = new Map<string, Set<Watch>>();
  readonly #live: Subscription;
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly reader: EventReader,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#live = nc.subscribe(`${LIVE_PREFIX}.evt.>`, {
      callback: (error, { headers }) => {
        const sequence = Number(headers?.get('Nats-Sequence'));
        if (error || !Number.isSafeInteger(sequence)) return;
        const at = new Date(headers!.get('Nats-Time-Stamp'));
        this.#hear({ subject: headers!.get('Nats-Subject'), sequence, headers, at });
      },
    });
    this.#timer = setInterval(() => this.#catchUp(), CHECK_MS).unref();
    this.#unsubscribe = onConnectionChange(nc, (change) => void (change === 'connected' && this.#catchUp()));
  }

  /** Resolves when it has seen what there is. */
  static async start(nc: NatsConnection, onError: (error: unknown) => void): Promise<EventFeed> {
    const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS });
    const feed = new EventFeed(nc, jsm, await EventReader.open(nc), onError);
    feed.#held = [];
    await feed.#readMissing().catch(onError);
    return feed;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#unsubscribe();
    this.#live.unsubscribe();
    this.#watches.clear();
  }

  get position(): number {
    return this.#position;
  }

  /** Since when there may be events that can still be read. */
  get oldest(): Date {
    return new Date(Date.now() - this.#retentionMs);
  }

  /** May a tenant have had an event, of a source or topic of it, after a sequence? Says yes when that is not known. */
  mayHaveSince(sequence: number, tenantId: string, source?: string, topic?: string): boolean {
    // A sequence that is not there yet may be of a stream that was made anew since.
    const isKnown = sequence >= this.#knownFrom && sequence <= this.#position;
    return !isKnown || this.topics.lastSequence(tenantId, source, topic) > sequence;
  }

  /** Returns a function that ends it. */
  watch(tenantId: string, selection: EventSelection, onEvent: OnEvent): () => void {
    const watch = { selection, onEvent };
    const watches = this.#watches.get(tenantId) ?? new Set<Watch>();
    this.#watches.set(tenantId, watches.add(watch));
    return () => {
      watches.delete(watch);
      if (watches.size === 0 && this.#watches.get(tenantId) === watches) this.#watches.delete(tenantId);
    };
  }

  #hear(news: News): void {
    if (this.#held) {
      // Too much to keep: the hole that this leaves is seen when it is over.
      if (this.#held.length < MAX_HELD) this.#held.push(news);
    } else if (news.sequence === this.#position + 1) {
      this.#see(news);
    } else if (news.sequence > this.#position + 1) {
      this.#catchUp();
    }
  }

  #see({ subject, sequence, headers, at }: News): void {
    this.#position = sequence;
    const address = addressOf(subject);
    if (!address) return;
    const { tenantId, source, topic } = address;
    this.topics.see(tenantId, { source, topic, sequence, at });
    const watches = this.#watches.get(tenantId);
    const attributes = watches && readStoredEventHeaders(headers ?? []);
    if (!attributes) return;
    for (const watch of watches) {
      if (isSelected({ address, attributes }, watch.selection)) this.#tell(watch, sequence);
    }
  }

  #catchUp(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (this.#held) return;
    this.#held = [];
    // At the next reconnect, or soon: it is tried again then.
    this.#readMissing().catch((error: unknown) => void (this.#stopped || this.onError(error)));
  }

  async #readMissing(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#readUpTo(await this.reader.range());
      } while (this.#again && !this.#stopped);
    } finally {
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const news of held) this.#hear(news);
    }
  }

  async #readUpTo({ earliest, latest, retentionMs }: EventRange): Promise<void> {
    this.#retentionMs = retentionMs;
    const isOther = latest.stream !== this.#stream || latest.sequence < this.#position;
    if (isOther) {
      this.topics.clear();
      this.#stream = latest.stream;
      this.#position = 0;
    }
    const from = Math.max(this.#position, earliest.sequence, latest.sequence - MAX_MISSED);
    const skipped = from > this.#position;
    if (skipped) this.#knownFrom = this.#position = from;
    if (this.#position < latest.sequence) await this.#readHeaders(latest.sequence);
    // A replica that is behind may have told us: that there is nothing more is believed of the leader only.
    while (this.#position < latest.sequence) {
      const query = { seq: this.#position + 1, next_by_subj: EVENT_SUBJECTS };
      const next = await this.jsm.streams.getMessage(STREAM.events, query);
      if (next) this.#see({ subject: next.subject, sequence: next.seq, headers: next.header, at: next.time });
      else this.#position = latest.sequence;
    }
    if (skipped || isOther) this.#ringAll();
  }

  async #readHeaders(upTo: number): Promise<void> {
    const { name } = await this.jsm.consumers.add(STREAM.events, {
      description: 'What a front end has not heard of',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(30_000),
      headers_only: true,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#position + 1,
    });
    const consumer = await jetstream(this.nc, { timeout: TIMEOUT_MS }).consumers.get(STREAM.events, name);
    for (let pending = 1; pending > 0 && this.#position < upTo && !this.#stopped;) {
      pending = 0;
      for await (const { seq, subject, headers, info, time } of await consumer.fetch({
        max_messages: FETCH,
        expires: FETCH_MS,
      })) {
        pending = info.pending;
        if (seq > this.#position) this.#see({ subject, sequence: seq, headers, at: time });
        if (pending === 0) break;
      }
    }
    await consumer.delete();
  }

  #ringAll(): void {
    for (const watches of this.#watches.values()) for (const watch of watches) this.#tell(watch, this.#position);
  }

  #tell({ onEvent }: Watch, sequence: number): void {
    try {
      onEvent(sequence);
    } catch (error) {
      this.onError(error);
    }
  }
}
