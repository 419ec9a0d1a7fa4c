/**
 * Where an event goes when there is a verdict about it: into EVENTS, or its body into EVENTS_HELD and a letter about it into DEAD_LETTERS.
 *
 * Everything is put only where nothing is yet, under the event's own name: it does not matter how often an event is put, nor by how many
 * filters at once. Its subject in EVENTS has its key as redacted, which is not the same under every policy; so "nothing is there" is asked of
 * the name, whatever the key.
 */
import {
  HEADER,
  encodeToken,
  eventSubject,
  heldEventSubject,
  heldLetterSubject,
  type EventAddress,
} from '@callboard/envelope';
import { toEventHeaders } from '@callboard/events';
import { STREAM, headerLine, traceLines, type AckedPublisher, type HeldLetterPublisher } from '@callboard/jetstream';
import type { TraceContext } from '@callboard/tracing';
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import { contentOf, type RedactedEvent } from './judge-event.js';
import type { HoldReason, RawMessage } from './raw-event.js';
import { shownTopic } from './shown-topic.js';

/** Why and after how many attempts an event is held. */
export interface Hold {
  reason: HoldReason;
  attempts: number;
}

/** An hour: a stream that is full, or a server that is away, is waited for; then the partition is read anew. */
const TIMEOUT_MS = 3_600_000;
const ONCE = headerLine(HEADER.expectedLastSubjectSequence, '0');
const HELD_REASON = 'Callboard-Held-Reason';
const HELD_ATTEMPTS = 'Callboard-Held-Attempts';
/** Headers by other names are nothing that a filter reads. */
const OF_THE_EVENT = /^(?:ce-.*|content-type|callboard-oversized)$/i;
/** Of a message; what EVENTS_RAW takes leaves room for what is written here about it. */
const MOST_BYTES = 1024 * 1024 - 1024;

export class EventStores {
  constructor(
    private readonly jsm: JetStreamManager,
    private readonly publisher: AckedPublisher,
    private readonly letters: HeldLetterPublisher,
  ) {}

  /**
   * Resolves when the event can be read in EVENTS: with `false` when it could before. Events of one `line` get there in the order of these
   * calls; where one fails, so do those behind it.
   */
  pass({ address, attributes, data }: RedactedEvent, line?: string, trace: TraceContext = {}): Promise<boolean> {
    const head = toEventHeaders(attributes).map(([name, value]) => headerLine(name, value));
    const expected = ONCE + headerLine('Nats-Expected-Last-Subject-Sequence-Subject', underAnyKey(address));
    return this.publisher.publishOnce(
      eventSubject(address),
      data,
      head.join('') + expected + traceLines(trace),
      TIMEOUT_MS,
      line,
    );
  }

  /** The same for one that was held and is let go: it has lost its place, and says so. */
  passLate({ address, attributes, data }: RedactedEvent): Promise<boolean> {
    const extensions = { ...attributes.extensions, released: new Date().toISOString() };
    return this.pass({ address, attributes: { ...attributes, extensions }, data });
  }

  /** Resolves when the event's body and the letter about it are durable. */
  async hold(address: EventAddress, raw: RawMessage, hold: Hold, sequence: number): Promise<void> {
    const { reason, attempts } = hold;
    const about = headerLine(HELD_REASON, reason) + headerLine(HELD_ATTEMPTS, String(attempts)) + ONCE;
    const headers = [...raw.headers].filter(([name]) => OF_THE_EVENT.test(name));
    const head = headers.flatMap(([name, values]) => values.map((value) => headerLine(name, value))).join('');
    const fits = Buffer.byteLength(about + head) + raw.data.byteLength <= MOST_BYTES;
    // What is no text grows when it is written as text. Such headers are not those of an event: what is left cannot be released.
    await this.publisher.publishOnce(heldEventSubject(address), raw.data, about + (fits ? head : ''), TIMEOUT_MS);
    await this.#tell(address, raw, hold, sequence);
  }

  /** Resolves when there is a letter about a held event, which has none. */
  tell(address: EventAddress, { header: headers, data, subject, seq }: StoredMsg, hold: Hold): Promise<void> {
    return this.#tell(address, { headers, data, subject }, hold, seq);
  }

  #tell(address: EventAddress, raw: RawMessage, { reason, attempts }: Hold, sequence: number): Promise<void> {
    const { tenantId: tenant_id, source, event: name } = address;
    const topic = shownTopic(address.topic);
    const contentType = [...raw.headers].find(([header]) => header.toLowerCase() === 'content-type')?.[1][0];
    const about = { content: contentOf(contentType).kind, data_bytes: raw.data.byteLength };
    return this.letters.publish({
      reason,
      attempts,
      stream: STREAM.eventsRaw,
      subject: heldLetterSubject({ ...address, topic }),
      sequence,
      event: { name, tenant_id, source, topic, ...about },
    });
  }

  /** Can a message carry it? What was redacted may be longer than what came. */
  fits({ attributes, data }: RedactedEvent): boolean {
    const head = toEventHeaders(attributes).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
    return head + data.byteLength <= MOST_BYTES;
  }

  /** How an event is held, if it is. */
  async heldBefore(address: EventAddress): Promise<Hold | undefined> {
    const message = await this.jsm.direct.getMessage(STREAM.eventsHeld, { last_by_subj: heldEventSubject(address) });
    return message ? holdOf(message) : undefined;
  }
}

function holdOf({ header }: StoredMsg): Hold {
  return { reason: header.get(HELD_REASON) as HoldReason, attempts: Number(header.get(HELD_ATTEMPTS)) };
}

function underAnyKey({ tenantId, source, topic, event }: EventAddress): string {
  const [tenant, from, about, name] = [tenantId, source, topic, event].map(encodeToken);
  return `evt.${tenant}.${from}.${about}.*.${name}`;
}
