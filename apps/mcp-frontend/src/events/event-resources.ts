/**
 * Events as resources, of whoever asks: a list of the sources and topics that there are events of, and each of them read as JSON, the latest
 * events or those after a cursor. Who watches one is told that something came, and reads.
 */
import type { Principal } from '@callboard/access';
import {
  ProtocolError,
  type ReadResourceResult,
  type Resource,
  type ResourceTemplateType,
} from '@modelcontextprotocol/server';
import { parseCursor } from '@callboard/jetstream';
import { RPC } from '../protocol-errors.js';
import type { ServerAccess } from '../server-access.js';
import type { EventCalls } from './event-calls.js';
import type { EventFeed } from './event-feed.js';
import type { EventMetrics } from './event-metrics.js';
import { POLL_LIMITS } from './event-tools.js';
import { EVENT_URI_TEMPLATE, eventUri, parseEventUri, type EventUri } from './event-uri.js';

const MIME_TYPE = 'application/json';
/** What somebody needs who is told that there is something to read. */
const TOLD = ['read_events', 'subscribe'] as const;
/** Topics that one list names. */
const MAX_LISTED = 200;

export const EVENT_TEMPLATE: ResourceTemplateType = {
  uriTemplate: EVENT_URI_TEMPLATE,
  name: 'events',
  title: 'Events of a topic',
  description:
    'The latest events of a source and topic, or with after=<next_cursor> those after an earlier answer; without private values. event://{source} has all topics of a source, event:// everything.',
  mimeType: MIME_TYPE,
};

export class EventResources {
  constructor(
    private readonly calls: Pick<EventCalls, 'read'>,
    private readonly feed: EventFeed,
    private readonly metrics: Pick<EventMetrics, 'updated'>,
    private readonly access: ServerAccess,
  ) {}

  list(principal: Principal): Resource[] {
    const sees = this.access.sees(principal, 'read_events');
    const seen = this.feed.topics.of(principal.tenantId, this.feed.oldest);
    return seen
      .filter(({ source, topic }) => sees(source, topic))
      .slice(0, MAX_LISTED)
      .map(({ source, topic }) => ({
        uri: eventUri(source, topic),
        name: `${source}/${topic}`,
        title: `Events ${topic} of ${source}`,
        mimeType: MIME_TYPE,
      }));
  }

  /** @throws CallboardError `forbidden` for a topic that somebody may not be told of */
  checkSubscribe(principal: Principal, uri: string): void {
    const wanted = parseEventUri(uri);
    if (wanted) this.access.checkTopics(principal, TOLD, selectionOf(wanted));
  }

  maySubscribe(principal: Principal, uri: string): boolean {
    const { source, topic } = parseEventUri(uri) ?? {};
    return source === undefined || topic === undefined || this.access.sees(principal, ...TOLD)(source, topic);
  }

  /** @throws ProtocolError for a URI that is none of an event */
  async read(principal: Principal, uri: string): Promise<ReadResourceResult> {
    const wanted = parseEventUri(uri);
    if (!wanted) throw new ProtocolError(RPC.resourceNotFound, 'Resource not found', { uri });
    const { source, topic, after, limit } = wanted;
    const answer = await this.calls.read(principal, {
      ...(source !== undefined && { sources: [source] }),
      ...(topic !== undefined && { topics: [topic] }),
      ...(after !== undefined && { cursor: after }),
      max: Math.min(limit ?? POLL_LIMITS.usualEvents, POLL_LIMITS.events),
    });
    return { contents: [{ uri, mimeType: MIME_TYPE, text: JSON.stringify(answer) }] };
  }

  /** Everything up to here was heard of; see `mayHaveSince`. */
  get position(): number {
    return this.feed.position;
  }

  /** May something have come for a URI after a position, and after the cursor that the URI itself names? No when there is neither. */
  mayHaveSince({ tenantId }: Principal, uri: string, position?: number): boolean {
    const wanted = parseEventUri(uri);
    const read = wanted?.after === undefined ? undefined : parseCursor(wanted.after)?.sequence;
    const since = Math.max(position ?? -1, read ?? -1);
    return wanted !== undefined && since >= 0 && this.feed.mayHaveSince(since, tenantId, wanted.source, wanted.topic);
  }

  /** A client was told that something came. */
  told(): void {
    this.metrics.updated();
  }

  /** Calls back whenever something has come for a URI. Returns a function that ends it; does nothing for a URI that is none of an event. */
  watch(principal: Principal, uri: string, onUpdated: () => void): () => void {
    const wanted = parseEventUri(uri);
    if (!wanted) return () => undefined;
    const selection = { ...selectionOf(wanted), sees: this.access.sees(principal, ...TOLD) };
    return this.feed.watch(principal.tenantId, selection, onUpdated);
  }
}

function selectionOf({ source, topic }: EventUri) {
  return { ...(source !== undefined && { sources: [source] }), ...(topic !== undefined && { topics: [topic] }) };
}
