/**
 * What came, as the filter sees it before it knows anything: a message whose subject and headers may say anything at all.
 *
 * Where a message ends up, and under what name, must not be decided by whoever sent it: an address that is not of the form that our own
 * publishers give is replaced, so that nothing of it gets into subjects that others can see.
 */
import { createHash } from 'node:crypto';
import { HEADER, parseHeldEventSubject, parseRawEventSubject, type EventAddress } from '@callboard/envelope';
import { InvalidEvent, SOURCE_NAME, TOPIC, eventName, readEventHeaders, type EventAttributes } from '@callboard/events';
import type { Refusal } from '@callboard/redaction';

/** Why an event is held back: what redaction refuses, and what the filter itself does. Codes are stable: letters hold them. */
export type HoldReason =
  | Refusal
  | 'invalid_event'
  | 'unsupported_content'
  | 'private_topic'
  | 'oversized'
  | 'redacted_too_large'
  | 'timed_out'
  | 'filter_crashed';

export interface RawMessage {
  subject: string;
  headers: Iterable<[string, string[]]>;
  data: Uint8Array;
}

export interface RawEvent {
  address: EventAddress;
  attributes: EventAttributes;
  data: Uint8Array;
}

export type Reading =
  | { ok: true; event: RawEvent }
  /** The address is one that can be shown, whatever the message says. */
  | { ok: false; reason: HoldReason; address: EventAddress };

/** A message of EVENTS_RAW, or of EVENTS_HELD, which holds them as they were. */
export function readRawEvent({ subject, headers, data }: RawMessage): Reading {
  const address = addressOf(subject);
  if (address === undefined) return { ok: false, reason: 'invalid_event', address: nameless(subject) };
  try {
    const attributes = readEventHeaders(headers);
    const isNamedSo = eventName(address.tenantId, address.source, attributes) === address.event;
    if (!isNamedSo || attributes.type !== address.topic) return { ok: false, reason: 'invalid_event', address };
    if (isOversized(headers)) return { ok: false, reason: 'oversized', address };
    return { ok: true, event: { address, attributes, data } };
  } catch (error) {
    if (error instanceof InvalidEvent) return { ok: false, reason: 'invalid_event', address };
    throw error;
  }
}

const EVENT_NAME = /^e_[\w-]{43}$/;

function addressOf(subject: string): EventAddress | undefined {
  try {
    const address = subject.startsWith('held.') ? parseHeldEventSubject(subject) : parseRawEventSubject(subject);
    const { tenantId, source, topic, key, event } = address;
    if (!SOURCE_NAME.test(source) || !TOPIC.test(topic) || !EVENT_NAME.test(event)) return undefined;
    return { tenantId, source, topic, key, event };
  } catch {
    return undefined;
  }
}

/** For what has no address that can be shown: the same for the same subject, so that it is held once. */
function nameless(subject: string): EventAddress {
  const digest = createHash('sha256').update(subject).digest('base64url');
  return { tenantId: 'unknown', source: 'unknown', topic: 'unknown', key: 'unknown', event: `e_${digest}` };
}

function isOversized(headers: Iterable<[string, string[]]>): boolean {
  for (const [name] of headers) if (name.toLowerCase() === HEADER.oversized.toLowerCase()) return true;
  return false;
}
