/**
 * The verdict about one event: what of it may be seen, or why nothing. A pure function over the redaction library; it runs in a worker
 * thread, because what it is given may be made to stall or to exhaust whoever reads it.
 *
 * Everything that leaves goes through one call of `redact`: the data, the attributes and the ordering key, so that they share their
 * pseudonyms. What cannot be redacted as a whole is refused: a content that is neither JSON nor text, bytes that are not UTF-8, a type that
 * would have to be changed, though subscriptions go by it.
 */
import type { EventAddress } from '@callboard/envelope';
import { InvalidEvent, boundedKey, readAttributes, type EventAttributes } from '@callboard/events';
import { redact, type EntityType, type Json, type PolicySet, type Refusal } from '@callboard/redaction';
import type { HoldReason, RawEvent } from './raw-event.js';

export interface RedactedEvent {
  /** Its key is the redacted one. */
  address: EventAddress;
  attributes: EventAttributes;
  data: Uint8Array;
}

export type Verdict =
  { ok: true; event: RedactedEvent; found: Partial<Record<EntityType, number>> } | { ok: false; reason: HoldReason };

export interface Rules {
  /** With which the tenant's pseudonyms are made. */
  key: Uint8Array;
  /** Left out: all detectors for every source. */
  policies?: PolicySet;
}

export function judgeEvent({ address, attributes, data }: RawEvent, rules: Rules): Verdict {
  const { essence, kind } = contentOf(attributes.datacontenttype);
  const { extensions, datacontenttype: _asWritten, ...core } = attributes;
  const options = {
    ...rules,
    tenant: address.tenantId,
    source: address.source,
    topic: address.topic,
    // No name of an extension has an underscore.
    attributes: { ...extensions, ...core, datacontenttype: essence, ordering_key: address.key },
  };
  const content = data.byteLength === 0 ? NO_DATA : read(data, kind);
  if (!content.ok) {
    // What a policy leaves out need not be understood.
    if (content.reason !== 'unsupported_content' || !isDropped(redact(ANYTHING, options))) return content;
  }
  const redaction = redact(content.ok ? content.value : NO_DATA.value, options);
  if (!redaction.ok) return redaction;
  const { ordering_key: key, ...seen } = redaction.attributes;
  if (seen['type'] !== attributes.type) return { ok: false, reason: 'private_topic' };
  try {
    return {
      ok: true,
      event: {
        address: { ...address, key: boundedKey(String(key)) },
        attributes: readAttributes({
          ...seen,
          specversion: '1.0',
          redactions: redaction.findings.length,
          policy: redaction.policy,
        }),
        data: content.ok && content !== NO_DATA ? written(redaction.value, kind) : NOTHING,
      },
      found: count(redaction.findings),
    };
  } catch (error) {
    if (error instanceof InvalidEvent) return { ok: false, reason: 'redacted_too_large' };
    throw error;
  }
}

type ContentKind = 'json' | 'text' | 'other';
type Content = { ok: true; value: Json } | { ok: false; reason: Refusal | 'unsupported_content' };

const NOTHING = new Uint8Array();
/** An event without data has nothing that an allow-list could miss. */
const NO_DATA = { ok: true, value: {} } as const;
const ANYTHING = 'anything';
const UTF_8 = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/** By CloudEvents, data without a content type is JSON. */
export function contentOf(contentType = 'application/json'): { essence: string; kind: ContentKind } {
  const [essence = '', ...parameters] = contentType.toLowerCase().split(';');
  const type = essence.trim();
  const charset = parameters.map((text) => /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(text)?.[1]).find(Boolean);
  if (charset !== undefined && !UTF_8.has(charset)) return { essence: type, kind: 'other' };
  if (/^[^/]+\/(?:json|[^/]+\+json)$/.test(type)) return { essence: type, kind: 'json' };
  return { essence: type, kind: type.startsWith('text/') ? 'text' : 'other' };
}

function read(data: Uint8Array, kind: ContentKind): Content {
  if (kind === 'other') return { ok: false, reason: 'unsupported_content' };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch {
    return { ok: false, reason: 'unsupported_content' };
  }
  if (kind === 'text') return { ok: true, value: text };
  try {
    return { ok: true, value: JSON.parse(text) as Json };
  } catch {
    return { ok: false, reason: 'not_json' };
  }
}

function written(value: Json, kind: ContentKind): Uint8Array {
  // A text that a policy drops is none.
  return Buffer.from(kind === 'text' ? String(value ?? '') : JSON.stringify(value));
}

/** Would the policy drop whatever the data is? */
function isDropped(redaction: ReturnType<typeof redact>): boolean {
  return redaction.ok && redaction.value === null;
}

function count(findings: readonly { type: EntityType }[]): Partial<Record<EntityType, number>> {
  const counts: Partial<Record<EntityType, number>> = {};
  for (const { type } of findings) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}
