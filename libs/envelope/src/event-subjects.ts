import { decodeToken, encodeToken } from './token.js';

/**
 * Subjects of events, on their way from a source to a client. An event keeps its name from end to end, and each of these subjects is that of
 * one event only: whatever is published a second time, the stream refuses.
 */
export interface EventAddress {
  tenantId: string;
  /** Name of the configured source. */
  source: string;
  /** What kind of event it is: the CloudEvents type, Backstage's topic. */
  topic: string;
  /** Events of one tenant, source and key keep their order. */
  key: string;
  /** `e_…`: see `eventName`. */
  event: string;
}

export const RAW_EVENT_SUBJECTS = 'raw.*.*.*.*.*';

/** Subject to publish a raw event to; the stream puts the partition in: `raw.<partition>.<tenant>.<source>.<topic>.<key>.<event>`. */
export function rawEventSubject(address: EventAddress): string {
  return `raw.${tokens(address)}`;
}

/** Stored raw events of one partition. */
export function rawPartitionSubjects(partition: number): string {
  return `raw.${partition}.>`;
}

/** Stored raw events of this name, whatever their partition. */
export function storedRawEventSubjects(event: string): string {
  return `raw.*.*.*.*.*.${encodeToken(event)}`;
}

/**
 * The address in a stored raw event's subject.
 * @throws RangeError when the subject is not one of a stored raw event.
 */
export function parseRawEventSubject(subject: string): EventAddress & { partition: number } {
  const [prefix, partition, ...rest] = subject.split('.');
  if (prefix !== 'raw' || !/^\d+$/.test(partition ?? '')) throw new RangeError('not the subject of a stored raw event');
  return { partition: Number(partition), ...parseTokens(rest) };
}

export const EVENT_SUBJECTS = 'evt.*.*.*.*.*';

/** Where a redacted event is stored. */
export function eventSubject(address: EventAddress): string {
  return `evt.${tokens(address)}`;
}

/**
 * The address in an event's subject.
 * @throws RangeError when the subject is not one of an event.
 */
export function parseEventSubject(subject: string): EventAddress {
  const [prefix, ...rest] = subject.split('.');
  if (prefix !== 'evt') throw new RangeError('not the subject of an event');
  return parseTokens(rest);
}

/** Events of a tenant; of one source, or of one topic of it, where they are named. */
export function eventSubjects(tenantId: string, source?: string, topic?: string): string {
  const part = (text: string | undefined) => (text === undefined ? '*' : encodeToken(text));
  return `evt.${encodeToken(tenantId)}.${part(source)}.${part(topic)}.*.*`;
}

/** Events of this name; `*` tenants, because a name is that of one tenant's event anyway. */
export function storedEventSubjects(event: string): string {
  return `evt.*.*.*.*.${encodeToken(event)}`;
}

export const HELD_EVENT_SUBJECTS = 'held.*.*.*.*.*';

/** Where the body of an event is kept that the filter could not pass. */
export function heldEventSubject(address: EventAddress): string {
  return `held.${tokens(address)}`;
}

/**
 * The address in a held event's subject.
 * @throws RangeError when the subject is not one of a held event.
 */
export function parseHeldEventSubject(subject: string): EventAddress {
  const [prefix, ...rest] = subject.split('.');
  if (prefix !== 'held') throw new RangeError('not the subject of a held event');
  return parseTokens(rest);
}

/** Bodies of held events of this name. */
export function storedHeldEventSubjects(event: string): string {
  return `held.*.*.*.*.${encodeToken(event)}`;
}

/** What a held event's dead letter is filed under, behind `dlq.EVENTS_RAW.`: without its key, which may be private. */
export function heldLetterSubject({ tenantId, source, topic, event }: Omit<EventAddress, 'key'>): string {
  return [tenantId, source, topic, event].map(encodeToken).join('.');
}

/** The letter of a held event of this name, as it is stored in DEAD_LETTERS. */
export function storedHeldLetterSubjects(event: string): string {
  return `dlq.EVENTS_RAW.*.*.*.${encodeToken(event)}`;
}

function tokens({ tenantId, source, topic, key, event }: EventAddress): string {
  return [tenantId, source, topic, key, event].map(encodeToken).join('.');
}

function parseTokens(parts: string[]): EventAddress {
  if (parts.length !== 5) throw new RangeError('not the subject of an event');
  const [tenantId, source, topic, key, event] = parts.map(decodeToken) as [string, string, string, string, string];
  return { tenantId, source, topic, key, event };
}
