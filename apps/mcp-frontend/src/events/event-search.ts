/** Reads events for clients: within what one answer holds, and again for a while where nats-server is away. */
import type { EventPage, EventPosition, EventRange, EventReader, EventSelection } from '@callboard/jetstream';
import { insist } from '../insist.js';
import { MAX_ANSWER_BYTES } from './event-json.js';

/** How long one call may look for events among those that do not fit, before its client must ask again. */
const SEARCH_MS = 5_000;

export class EventSearch {
  constructor(private readonly reader: EventReader) {}

  range(): Promise<EventRange> {
    return insist(() => this.reader.range());
  }

  beforeTime(time: Date): Promise<EventPosition> {
    return insist(() => this.reader.beforeTime(time));
  }

  latest(tenantId: string, selection: EventSelection, events: number): Promise<EventPage> {
    const bounds = { events, bytes: MAX_ANSWER_BYTES };
    return insist(() => this.reader.latest({ tenantId }, selection, bounds));
  }

  /** The next page with something in it, or the last one. */
  async next(
    tenantId: string,
    selection: EventSelection,
    from: EventPosition | 'earliest',
    events: number,
    until = Date.now() + SEARCH_MS,
  ): Promise<EventPage> {
    const bounds = { events, bytes: MAX_ANSWER_BYTES };
    let page = await insist(() => this.reader.read({ tenantId }, selection, from, bounds));
    while (!isWorthGiving(page) && page.hasMore && Date.now() < until) {
      const { next } = page;
      page = await insist(() => this.reader.read({ tenantId }, selection, next, bounds));
    }
    return page;
  }
}

/** Something that its client should know at once. */
export function isWorthGiving({ events, truncated }: EventPage): boolean {
  return events.length > 0 || truncated;
}
