/**
 * Events as clients get them: each in the JSON format of CloudEvents, beside where it came from. What one answer holds is bounded in bytes
 * of JSON, because it must pass through a message of a session; an event that alone is too large is given without its data, and says so.
 */
import type { JsonObject } from '@callboard/envelope';
import { toStructured } from '@callboard/events';
import { encodeCursor, type EventPage, type EventPosition, type StoredEvent } from '@callboard/jetstream';

/** Bytes of the events of one answer. They are in it twice, once as text within JSON, where half of them may need an escape. */
export const MAX_ANSWER_BYTES = 256 * 1024;

/** What a client gets of a page. */
export interface EventsAnswer extends JsonObject {
  events: JsonObject[];
  next_cursor: string;
  has_more: boolean;
  truncated: boolean;
}

/** A page as far as it fits into one answer, and the position after what is in it. */
export function toAnswer(page: EventPage): { answer: EventsAnswer; next: EventPosition } {
  const events: JsonObject[] = [];
  let bytes = 0;
  let { next, hasMore } = page;
  for (const event of page.events) {
    const item = toItem(event);
    const size = Buffer.byteLength(JSON.stringify(item));
    if (bytes + size > MAX_ANSWER_BYTES && events.length > 0) {
      next = { ...next, sequence: page.events[events.length - 1]!.sequence };
      hasMore = true;
      break;
    }
    events.push(size > MAX_ANSWER_BYTES ? withoutData(item, event) : item);
    bytes += size;
  }
  const answer = { events, next_cursor: encodeCursor(next), has_more: hasMore, truncated: page.truncated };
  return { answer, next };
}

function toItem(event: StoredEvent): JsonObject {
  const { source, topic, key, event: name } = event.address;
  return { source, topic, key, name, stored_at: event.storedAt, event: toStructured(event.attributes, event.data) };
}

function withoutData(item: JsonObject, { data }: StoredEvent): JsonObject {
  const { data: _, data_base64: __, ...attributes } = item.event as JsonObject;
  return { ...item, event: attributes, omitted_data_bytes: data.byteLength };
}
