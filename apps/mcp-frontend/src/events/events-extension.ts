/**
 * The extension `io.modelcontextprotocol/events` as SEP-3415 has it, in its poll mode: `events/list` and `events/poll`. Experimental: it is served,
 * and announced, only where it is switched on. Push and webhooks are not offered.
 *
 * An event type is a topic of a source, `<source>/<topic>`. One that nothing has come of yet can be polled: what there will be, sources decide.
 */
import type { Principal } from '@callboard/access';
import type { Audit } from '@callboard/audit';
import { SOURCE_NAME, TOPIC } from '@callboard/events';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import { encodeCursor, type EventPosition, type EventSelection } from '@callboard/jetstream';
import { ProtocolError } from '@modelcontextprotocol/server';
import { isObject } from '../is-object.js';
import { RPC } from '../protocol-errors.js';
import type { ServerAccess } from '../server-access.js';
import type { EventFeed } from './event-feed.js';
import { deliveredEvents } from '../recorded.js';
import { toAnswer } from './event-json.js';
import type { EventMetrics } from './event-metrics.js';
import type { EventSearch } from './event-search.js';
import { FILTERS, POLL_LIMITS } from './event-tools.js';
import { toPosition, toSelection } from './selection.js';

export const EVENTS_EXTENSION = 'io.modelcontextprotocol/events';

const NOT_FOUND = -32023;
const MAX_LISTED = 500;
const NEXT_POLL_MS = 5_000;
/** Where a client does not bring a cursor, it is told where it begins; nothing has come since. */
const NOTHING = { events: [], truncated: false, hasMore: false, nextPollMs: NEXT_POLL_MS };

const INPUT_SCHEMA: JsonObject = { type: 'object', properties: { filters: FILTERS }, additionalProperties: false };
const PAYLOAD_SCHEMA: JsonObject = {
  type: 'object',
  description: 'The event in the JSON format of CloudEvents 1.0, without private values',
  properties: {
    specversion: { const: '1.0' },
    id: { type: 'string' },
    source: { type: 'string' },
    type: { type: 'string' },
  },
  required: ['specversion', 'id', 'source', 'type'],
};

export class EventsExtension {
  constructor(
    private readonly search: EventSearch,
    private readonly feed: EventFeed,
    private readonly metrics: EventMetrics,
    private readonly audit: Audit,
    private readonly access: ServerAccess,
  ) {}

  /** @throws ProtocolError */
  async serve(method: 'events/list' | 'events/poll', principal: Principal, params: JsonObject): Promise<JsonObject> {
    return method === 'events/list' ? this.#list(principal, params) : this.#poll(principal, params);
  }

  #list(principal: Principal, { cursor }: JsonObject): JsonObject {
    if (cursor !== undefined && cursor !== null) throw invalid('cursor is of no page: there is one only');
    const sees = this.access.sees(principal, 'read_events');
    const all = this.feed.topics.of(principal.tenantId, this.feed.oldest);
    const seen = all.filter(({ source, topic }) => sees(source, topic)).slice(0, MAX_LISTED);
    return {
      events: seen.map(({ source, topic }) => ({
        name: `${source}/${topic}`,
        description: `Events with the topic ${topic} of the source ${source}`,
        delivery: ['poll'],
        inputSchema: INPUT_SCHEMA,
        payloadSchema: PAYLOAD_SCHEMA,
      })),
    };
  }

  async #poll(principal: Principal, params: JsonObject): Promise<JsonObject> {
    const { name, selection: asked, cursor, maxAgeMs, maxEvents } = readPoll(params);
    this.#check(principal, asked);
    const selection = { ...asked, sees: this.access.sees(principal, 'read_events') };
    if (!cursor) return { ...NOTHING, cursor: encodeCursor((await this.search.range()).latest) };
    const floor = maxAgeMs === undefined ? undefined : await this.search.beforeTime(new Date(Date.now() - maxAgeMs));
    const isTooOld = floor !== undefined && (cursor.stream !== floor.stream || cursor.sequence < floor.sequence);
    const page = await this.search.next(principal.tenantId, selection, isTooOld ? floor : cursor, maxEvents);
    const truncated = page.truncated || isTooOld;
    const { answer } = toAnswer({ ...page, truncated });
    const names = page.events.map(({ address }) => address.event);
    if (names.length > 0) await this.audit.record(deliveredEvents(principal, 'poll', names));
    this.metrics.poll();
    this.metrics.gave(answer.events.length, truncated);
    return {
      events: answer.events.map((item) => toOccurrence(name, item)),
      cursor: answer.next_cursor,
      truncated,
      hasMore: answer.has_more,
      nextPollMs: NEXT_POLL_MS,
    };
  }

  #check(principal: Principal, { sources = [], topics = [] }: EventSelection): void {
    try {
      this.access.checkTopics(principal, ['read_events'], { sources, topics });
    } catch (error) {
      if (!(error instanceof CallboardError)) throw error;
      throw new ProtocolError(RPC.invalidRequest, error.message, error.toBody());
    }
  }
}

interface Poll {
  name: string;
  selection: EventSelection;
  cursor: EventPosition | undefined;
  maxAgeMs: number | undefined;
  maxEvents: number;
}

function readPoll({ name, arguments: args = {}, cursor, maxAgeMs, maxEvents }: JsonObject): Poll {
  const [, source = '', topic = ''] = (typeof name === 'string' && /^([^/]*)\/(.*)$/s.exec(name)) || [];
  if (typeof name !== 'string') throw invalid('name is missing');
  if (!SOURCE_NAME.test(source) || !TOPIC.test(topic)) {
    throw new ProtocolError(NOT_FOUND, 'There are no events of that name', { kind: 'event' });
  }
  if (!isObject(args)) throw invalid('arguments must be an object');
  const { filters = [], ...unknown } = args;
  if (Object.keys(unknown).length > 0) throw invalid('arguments may have filters, and nothing else');
  try {
    return {
      name,
      selection: { ...toSelection({ filters: filters as JsonObject[] }), sources: [source], topics: [topic] },
      cursor: cursor === undefined || cursor === null ? undefined : toPosition(String(cursor)),
      maxAgeMs: wholeNumber(maxAgeMs, 'maxAgeMs', 0),
      maxEvents: Math.min(wholeNumber(maxEvents, 'maxEvents', 1) ?? POLL_LIMITS.usualEvents, POLL_LIMITS.events),
    };
  } catch (error) {
    if (error instanceof CallboardError) throw new ProtocolError(RPC.invalidParams, error.message, error.toBody());
    throw error;
  }
}

function wholeNumber(value: unknown, name: string, least: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw invalid(`${name} must be a whole number from ${least} on`);
  }
  return value as number;
}

function toOccurrence(name: string, item: JsonObject): JsonObject {
  const event = item.event as JsonObject;
  const omitted = item.omitted_data_bytes;
  return {
    eventId: item.name,
    name,
    timestamp: event.time ?? item.stored_at,
    data: event,
    ...(omitted !== undefined && { _meta: { 'io.callboard/omitted_data_bytes': omitted } }),
  };
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(RPC.invalidParams, message);
}
