/** An event as a source hands it over: what it says, whose it is, and what it must keep its order with. */
import { createHash } from 'node:crypto';
import type { EventAddress } from '@callboard/envelope';
import { EVENT_LIMITS, type EventAttributes } from './attributes.js';

export interface SourcedEvent {
  tenantId: string;
  /** Name of the configured source. */
  sourceName: string;
  /** Ordering key: events of one tenant, source and key keep the order in which they were stored. */
  key: string;
  attributes: EventAttributes;
  /** The body, of the content type that the attributes say; empty where there is none. */
  data: Uint8Array;
}

/**
 * The name that an event has from its source to its reader: `e_` and 43 characters, equal exactly for equal tenant, source and CloudEvents
 * identity. It is what makes a second delivery harmless.
 */
export function eventName(
  tenantId: string,
  sourceName: string,
  { source, id }: Pick<EventAttributes, 'source' | 'id'>,
): string {
  return `e_${digest([tenantId, sourceName, source, id])}`;
}

export function eventAddress(event: SourcedEvent): EventAddress {
  const { tenantId, sourceName: source, key, attributes } = event;
  return { tenantId, source, topic: attributes.type, key, event: eventName(tenantId, source, attributes) };
}

/**
 * What an event must keep its order with, unless its source is configured otherwise: the CloudEvents `partitionkey`, or `subject`; else the
 * entity or the repository that its data names; else its topic.
 */
export function orderingKeyOf(attributes: EventAttributes, data: unknown): string {
  const { subject, type, extensions } = attributes;
  return boundedKey(extensions['partitionkey'] ?? subject ?? keyInData(data) ?? type);
}

/** A key that a subject can carry: itself, or its digest when it is too long. */
export function boundedKey(key: string): string {
  return key.length <= EVENT_LIMITS.keyChars ? key : `k_${digest(key)}`;
}

/** Where well-known payloads name what they are about: Backstage's catalog, GitHub, GitLab. */
const KEY_PATHS = [
  ['entityRef'],
  ['entity', 'entityRef'],
  ['repository', 'full_name'],
  ['project', 'path_with_namespace'],
];

function keyInData(data: unknown): string | undefined {
  for (const path of KEY_PATHS) {
    const found = path.reduce<unknown>((value, name) => member(value, name), data);
    if (typeof found === 'string' && found !== '') return found;
  }
  return undefined;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Headers in which well-known senders name a delivery; a delivery that is repeated keeps its name. */
const DELIVERY_HEADERS = [
  'ce-id',
  'webhook-id',
  'x-github-delivery',
  'x-gitlab-event-uuid',
  'x-request-uuid',
  'x-gitea-delivery',
];

/** The id of a delivery, where its headers name one; names in lower case. */
export function deliveryIdOf(headers: Readonly<Record<string, string | string[] | undefined>>): string | undefined {
  for (const name of DELIVERY_HEADERS) {
    const value = headers[name];
    const text = Array.isArray(value) ? value[0] : value;
    if (text !== undefined && text !== '' && text.length <= EVENT_LIMITS.attributeChars) return text;
  }
  return undefined;
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
