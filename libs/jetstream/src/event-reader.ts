/**
 * Reads redacted events from EVENTS by position: a page at a time, without a consumer, so that a reader costs nothing between two pages and
 * any process can read on where another was.
 *
 * R1. A page begins right after its position, and its `next` is a position up to which everything that fits was given: who reads on from
 *     there misses nothing and sees nothing twice.
 * R2. `next` moves on also over what does not fit, so that an idle reader is not overtaken by retention.
 * R3. When retention was faster than the reader, or the stream is another one, `truncated` says that events may be missing.
 * R4. A page is bounded in events, bytes, messages looked at and time. One that ends early says so by `hasMore`.
 * R5. What belongs to another tenant than the one asked for is not read at all.
 *
 * Where the stream has replicas, one that is behind may answer a read. That there is nothing more is therefore believed only of the
 * leader, which never is behind (R1 rests on that).
 */
import { EVENT_SUBJECTS, HEADER, eventSubjects, parseEventSubject, type EventAddress } from '@callboard/envelope';
import { fulfils, readStoredEventHeaders, type EventAttributes, type EventFilter } from '@callboard/events';
import { traceContextOf, type TraceContext } from '@callboard/tracing';
import { jetstreamManager, type JetStreamManager, type StoredMsg, type StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { streamIdentity, type EventPosition } from './event-cursor.js';
import { countSubject, pendingAfter, readSubject } from './read-subject.js';
import { STREAM } from './topology.js';

/** Whose events; every tenant's only where an operator reads. */
export type EventScope = { tenantId: string } | 'every tenant';

/** Which of them. What is left out is not narrowed. */
export interface EventSelection {
  sources?: readonly string[] | undefined;
  topics?: readonly string[] | undefined;
  filters?: readonly EventFilter[] | undefined;
  /** May whoever reads see what is of this source and topic? */
  sees?: ((source: string, topic: string) => boolean) | undefined;
}

export interface StoredEvent {
  sequence: number;
  /** When it was stored; ISO 8601. */
  storedAt: string;
  address: EventAddress;
  attributes: EventAttributes;
  data: Uint8Array;
  /** The trace in which it was stored. */
  trace: TraceContext;
}

export interface PageBounds {
  events: number;
  /** Of the data of the events given. */
  bytes: number;
}

export interface EventPage {
  events: StoredEvent[];
  next: EventPosition;
  hasMore: boolean;
  /** Events may be missing before these. */
  truncated: boolean;
  /** The position was of another stream, or of a future that this one does not have: reading began anew. */
  restarted: boolean;
}

/** The ends of what can be read now. */
export interface EventRange {
  /** Before the first event that is there. */
  earliest: EventPosition;
  /** After the last one. */
  latest: EventPosition;
  /** How long events are kept. */
  retentionMs: number;
}

const TIMEOUT_MS = 2_000;
const BATCH = 256;
const BATCH_BYTES = 1024 * 1024;
/** What one page may look at without giving it: it ends there, and its reader goes on from there. */
const MAX_SCANNED = 5_000;
const MAX_SCANNED_BYTES = 16 * 1024 * 1024;
const MAX_PAGE_MS = 2_000;
/** How long looking back for the last events may take. */
const MAX_LATEST_MS = 3_000;

export class EventReader {
  private constructor(private readonly jsm: JetStreamManager) {}

  static async open(nc: NatsConnection): Promise<EventReader> {
    return new EventReader(await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS }));
  }

  async range(): Promise<EventRange> {
    return rangeOf(await this.jsm.streams.info(STREAM.events));
  }

  /**
   * The next events after a position, or from the beginning of what is there.
   * @throws Error when the stream cannot be read now
   */
  async read(
    scope: EventScope,
    selection: EventSelection,
    after: EventPosition | 'earliest',
    bounds: PageBounds,
  ): Promise<EventPage> {
    const page = new Page(this.jsm, scope, selection, bounds);
    await page.fill(after === 'earliest' ? 0 : after.sequence);
    // Asked last: what retention has taken while we read counts too.
    const { earliest, latest } = await this.range();
    if (after !== 'earliest' && (after.stream !== latest.stream || after.sequence > latest.sequence)) {
      const anew = await this.read(scope, selection, 'earliest', bounds);
      return { ...anew, truncated: true, restarted: true };
    }
    await page.settle(latest.sequence);
    return {
      events: page.events,
      next: { stream: latest.stream, sequence: Math.max(page.position, earliest.sequence) },
      hasMore: page.hasMore,
      truncated: after !== 'earliest' && earliest.sequence > after.sequence,
      restarted: false,
    };
  }

  /**
   * The last events that are there, as many as fit: where only few of those looked at fit, it looks further back, to a limit.
   * @throws Error when the stream cannot be read now
   */
  async latest(scope: EventScope, selection: EventSelection, bounds: PageBounds): Promise<EventPage> {
    const { earliest } = await this.range();
    const until = Date.now() + MAX_LATEST_MS;
    let found: EventPage | undefined;
    for (let width = bounds.events; ; width = Math.min(width * 4, MAX_SCANNED)) {
      const from = await this.beforeLast(scope, selection, width);
      const last = new LastEvents(bounds);
      let page: EventPage;
      let position = from;
      do {
        page = await this.read(scope, selection, position, { events: BATCH, bytes: MAX_SCANNED_BYTES });
        last.add(page.events);
        position = page.next;
        // So far back it takes too long: what was found before is what there is.
        if (found && Date.now() > until) return found;
      } while (page.hasMore);
      found = { ...page, events: last.events, truncated: false };
      const isEnough = last.events.length >= bounds.events || last.seenBytes >= bounds.bytes;
      if (isEnough || width >= MAX_SCANNED || from.sequence <= earliest.sequence) return found;
    }
  }

  /** The position before the last `count` events of a tenant, or of one source or topic of it, or as many as there are. */
  async beforeLast(scope: EventScope, selection: EventSelection, count: number): Promise<EventPosition> {
    const { earliest, latest } = await this.range();
    const subject = subjectOf(scope, selection);
    const countAfter = (sequence: number) => countSubject(this.jsm, STREAM.events, subject, sequence);
    // Wider and wider until enough are in it, then narrower again until it fits.
    let few = latest.sequence;
    let enough = few;
    for (let width = count; enough > earliest.sequence; width *= 4) {
      enough = Math.max(earliest.sequence, latest.sequence - width);
      if ((await countAfter(enough)) >= count) break;
      few = enough;
    }
    while (few - enough > 1) {
      const middle = Math.floor((few + enough) / 2);
      if ((await countAfter(middle)) >= count) enough = middle;
      else few = middle;
    }
    return { stream: latest.stream, sequence: enough };
  }

  /** The position before the first event, of whichever tenant, that was stored at this time or later. */
  async beforeTime(time: Date): Promise<EventPosition> {
    const { latest } = await this.range();
    const first = await this.jsm.direct.getMessage(STREAM.events, { start_time: time });
    return { stream: latest.stream, sequence: first ? first.seq - 1 : latest.sequence };
  }
}

/** The last of the events that pass by, as many as fit. */
class LastEvents {
  events: StoredEvent[] = [];
  seenBytes = 0;

  constructor(private readonly bounds: PageBounds) {}

  add(events: readonly StoredEvent[]): void {
    this.events = [...this.events, ...events].slice(-this.bounds.events);
    for (const { data } of events) this.seenBytes += data.byteLength;
    let bytes = this.events.reduce((sum, { data }) => sum + data.byteLength, 0);
    while (bytes > this.bounds.bytes && this.events.length > 1) bytes -= this.events.shift()!.data.byteLength;
  }
}

/** One page being filled. */
class Page {
  readonly events: StoredEvent[] = [];
  /** Everything up to here was looked at. */
  position = 0;
  hasMore = false;
  readonly #subject: string;
  readonly #until = Date.now() + MAX_PAGE_MS;
  #bytes = 0;
  #scanned = 0;
  #scannedBytes = 0;

  constructor(
    private readonly jsm: JetStreamManager,
    scope: EventScope,
    private readonly selection: EventSelection,
    private readonly bounds: PageBounds,
  ) {
    this.#subject = subjectOf(scope, selection);
  }

  async fill(after: number): Promise<void> {
    this.position = after;
    while (!this.hasMore) {
      const batch = Math.min(BATCH, this.bounds.events - this.events.length + 1);
      const messages = await readSubject(this.jsm, STREAM.events, this.#subject, this.position, {
        batch,
        maxBytes: BATCH_BYTES,
      });
      for (const message of messages) {
        if (!this.#take(message)) return;
      }
      const last = messages.at(-1);
      if (!last || pendingAfter(last) === 0) return;
    }
  }

  /**
   * Moves on to the end of the stream, if there is really nothing more before it.
   * @param latest as the leader said, after the page was filled
   */
  async settle(latest: number): Promise<void> {
    while (!this.hasMore && this.position < latest) {
      const query = { seq: this.position + 1, next_by_subj: this.#subject };
      const next = await this.jsm.streams.getMessage(STREAM.events, query);
      if (!next || next.seq > latest) this.position = latest;
      else this.#take(next);
    }
  }

  /** Looks at a message; `false` when the page is full and the message is the next one's. */
  #take(message: StoredMsg): boolean {
    if (this.#isFull()) {
      this.hasMore = true;
      return false;
    }
    const event = toEvent(message);
    if (event && isSelected(event, this.selection)) {
      if (this.events.length > 0 && this.#bytes + event.data.byteLength > this.bounds.bytes) {
        this.hasMore = true;
        return false;
      }
      this.#bytes += event.data.byteLength;
      this.events.push(event);
    } else {
      this.#scanned += 1;
      this.#scannedBytes += message.data.byteLength;
    }
    this.position = message.seq;
    return true;
  }

  #isFull(): boolean {
    return (
      this.events.length >= this.bounds.events ||
      this.#scanned >= MAX_SCANNED ||
      this.#scannedBytes >= MAX_SCANNED_BYTES ||
      Date.now() >= this.#until
    );
  }
}

/** The narrowest subject that has every event of a selection; what else it has is left out one by one. */
function subjectOf(scope: EventScope, { sources, topics }: EventSelection): string {
  if (scope === 'every tenant') return EVENT_SUBJECTS;
  return eventSubjects(scope.tenantId, only(sources), only(topics));
}

function only(names: readonly string[] | undefined): string | undefined {
  return names?.length === 1 ? names[0] : undefined;
}

export function isSelected(
  { address, attributes }: Pick<StoredEvent, 'address' | 'attributes'>,
  { sources, topics, filters, sees }: EventSelection,
): boolean {
  const { source, topic, key } = address;
  if (sources && !sources.includes(source)) return false;
  if (topics && !topics.includes(topic)) return false;
  if (sees && !sees(source, topic)) return false;
  return !filters || fulfils({ attributes, topic, key }, filters);
}

/** What is stored as an event and is none is passed over: whoever wrote it did not use our publisher. */
function toEvent({ subject, header, data, seq, timestamp }: StoredMsg): StoredEvent | undefined {
  const attributes = readStoredEventHeaders(header);
  const address = addressOf(subject);
  const trace = traceContextOf(header.get(HEADER.traceparent), header.get(HEADER.tracestate));
  return attributes && address && { sequence: seq, storedAt: timestamp, address, attributes, data, trace };
}

/** The address in the subject of what is stored in EVENTS; `undefined` when it is none of an event. */
export function addressOf(subject: string): EventAddress | undefined {
  try {
    return parseEventSubject(subject);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function rangeOf({ created, state, config }: StreamInfo): EventRange {
  const stream = streamIdentity(created);
  return {
    earliest: { stream, sequence: Math.max(0, state.first_seq - 1) },
    latest: { stream, sequence: state.last_seq },
    retentionMs: Math.round(config.max_age / 1_000_000),
  };
}
