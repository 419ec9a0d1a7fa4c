/**
 * The life of an event in the filter, told in order:
 *
 *   read    whose it is and what it says about itself; a message that is no event is held back under an address of our own (`raw-event.ts`)
 *   judge   in a thread: what of it may be seen, or why nothing (`judge-event.ts`)
 *   record  what is to become of it: an event whose record cannot be stored stays where it is
 *   put     what may be seen goes into EVENTS; or the body into EVENTS_HELD, and then a letter about it into DEAD_LETTERS (`event-stores.ts`)
 *   ack     by the partition's owner, when that is durable (`raw-partition.ts`)
 *
 * It fails closed: there is no way from `read` to EVENTS but through a verdict that says `ok`.
 */
import type { Audit, AuditFact } from '@callboard/audit';
import { HEADER, type EventAddress } from '@callboard/envelope';
import { STREAM } from '@callboard/jetstream';
import { ATTRIBUTE, contextOf, processing, traceContextOf, traced, type NamedSpan } from '@callboard/tracing';
import type { JsMsg } from '@nats-io/jetstream';
import type { EventStores, Hold } from './event-stores.js';
import type { RedactedEvent, Verdict } from './judge-event.js';
import type { FilterMetrics } from './metrics.js';
import { readRawEvent, type RawEvent, type RawMessage } from './raw-event.js';
import { shownTopic } from './shown-topic.js';

export interface Passed {
  kind: 'passed';
  event: RedactedEvent;
  found: Extract<Verdict, { ok: true }>['found'];
}
export type Fate = Passed | { kind: 'held'; address: EventAddress; hold: Hold };

/** Whoever gives verdicts; they may be another's after the policies have changed. */
export type Judge = (event: RawEvent) => Promise<{ verdict: Verdict; attempts: number }>;

const NO_HEADERS: Iterable<[string, string[]]> = [];

export class EventFilter {
  /** Of each line: resolves when the event that was put last is on record, and all before it in the line are. */
  readonly #recorded = new Map<string, Promise<void>>();

  constructor(
    private readonly judgeInThread: Judge,
    private readonly stores: EventStores,
    private readonly metrics: FilterMetrics,
    private readonly audit: Pick<Audit, 'record'>,
  ) {}

  /**
   * What is to become of an event. `mayBeHeld`: it may have been held before, without an ack; then it stays so.
   * @throws Error when the server does not answer.
   */
  async judge(message: JsMsg, { mayBeHeld }: { mayBeHeld: boolean }): Promise<Fate> {
    const reading = readRawEvent(rawOf(message));
    const address = reading.ok ? reading.event.address : reading.address;
    const before = mayBeHeld ? await this.stores.heldBefore(address) : undefined;
    if (before) return { kind: 'held', address, hold: before };
    if (!reading.ok) return { kind: 'held', address, hold: { reason: reading.reason, attempts: 1 } };
    return this.fateOf(reading.event);
  }

  /** The same for one that was read. */
  async fateOf(event: RawEvent): Promise<Fate> {
    const { verdict, attempts } = await this.judgeInThread(event);
    const held = (reason: Hold['reason']): Fate => ({
      kind: 'held',
      address: event.address,
      hold: { reason, attempts },
    });
    if (!verdict.ok) return held(verdict.reason);
    if (!this.stores.fits(verdict.event)) return held('redacted_too_large');
    return { kind: 'passed', event: verdict.event, found: verdict.found };
  }

  /** The fate of one that has killed as many filters as are allowed. */
  crashed(message: JsMsg, attempts: number): Fate {
    const reading = readRawEvent(rawOf(message));
    const address = reading.ok ? reading.event.address : reading.address;
    return { kind: 'held', address, hold: { reason: 'filter_crashed', attempts } };
  }

  /**
   * Resolves when the event's fate is durable. Those of one line get there in the order of these calls; where one cannot be recorded, those
   * behind it that are under way are not put either.
   */
  async put(fate: Fate, message: JsMsg, line: string): Promise<void> {
    await this.#record(fate, message, line);
    const { name, ...settings } = spanOf(message, fate);
    await traced(name, settings, async (span) => {
      if (fate.kind === 'passed') {
        await this.stores.pass(fate.event, line, contextOf(span));
        this.countPassed(fate);
      } else {
        await this.stores.hold(fate.address, rawOf(message), fate.hold, message.seq);
        this.metrics.held(fate.address, fate.hold.reason);
      }
    });
    this.metrics.took(Date.now() - message.time.getTime());
  }

  /** Resolves when it is on record that an operator lets a held event go. */
  recordRelease(fate: Passed): Promise<void> {
    const { once: _once, ...fact } = recordOf(fate);
    return this.audit.record({ ...fact, details: { ...fact.details, released: true } });
  }

  /** Records of one line are stored together, in any order; they are waited for in that of the line. */
  async #record(fate: Fate, { time }: JsMsg, line: string): Promise<void> {
    const { details, ...fact } = recordOf(fate);
    // The only record that there is of its coming, where Backstage's plug-in has brought it.
    const own = this.audit.record({ ...fact, details: { ...details, taken_at: time.toISOString() } });
    // Whoever waits for it hears of it, after those before.
    own.catch(() => undefined);
    const recorded = (this.#recorded.get(line) ?? Promise.resolve()).then(() => own);
    this.#recorded.set(line, recorded);
    try {
      await recorded;
    } finally {
      if (this.#recorded.get(line) === recorded) this.#recorded.delete(line);
    }
  }

  countPassed({ event, found }: Passed): void {
    this.metrics.passed(event, found);
  }

  nameOf(message: JsMsg): string {
    const reading = readRawEvent(rawOf(message));
    return reading.ok ? reading.event.address.event : reading.address.event;
  }
}

/** The event's name, and what is no content: a topic that is private is not told. */
function recordOf(fate: Fate): AuditFact {
  const { tenantId, source, topic, event } = fate.kind === 'passed' ? fate.event.address : fate.address;
  return {
    kind: 'event',
    what: fate.kind,
    tenantId,
    correlationId: event,
    once: `${fate.kind} ${event}`,
    details: { source, type: shownTopic(topic) },
    ...(fate.kind === 'held' && { code: fate.hold.reason }),
  };
}

/** Handed over again, an event begins a trace that is linked to its own: what the filter before did is in that one. */
function spanOf({ headers, redelivered }: JsMsg, fate: Fate): NamedSpan {
  const { tenantId, source } = fate.kind === 'passed' ? fate.event.address : fate.address;
  const about = { [ATTRIBUTE.tenant]: tenantId, [ATTRIBUTE.source]: source, [ATTRIBUTE.fate]: fate.kind };
  const sent = traceContextOf(headers?.get(HEADER.traceparent), headers?.get(HEADER.tracestate));
  const from = redelivered ? { root: true, links: [sent] } : { parent: sent };
  return { ...processing(STREAM.eventsRaw, about), ...from };
}

function rawOf({ subject, headers, data }: JsMsg): RawMessage {
  return { subject, headers: headers ?? NO_HEADERS, data };
}
