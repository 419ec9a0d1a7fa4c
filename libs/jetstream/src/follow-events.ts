import { EVENT_SUBJECTS, LIVE_PREFIX, eventSubjects } from '@callboard/envelope';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import { Bell } from './bell.js';
import { onConnectionChange } from './connect.js';
import type { EventPosition } from './event-cursor.js';
import type { EventPage, EventReader, EventScope, EventSelection, PageBounds } from './event-reader.js';

/** A bell that was missed delays by so much at most. */
const LOOK_AGAIN_MS = 2_000;
const RETRY_MS = 250;

/**
 * Pages of events from a position on, and of those that come, until told to stop: each event once and in order, however often the connection or
 * nats-server is lost meanwhile. What is republished is only a bell; what is given is read from the stream.
 */
export async function* followEvents(
  nc: NatsConnection,
  reader: EventReader,
  options: {
    scope: EventScope;
    selection: EventSelection;
    from: EventPosition | 'earliest';
    bounds: PageBounds;
    signal: AbortSignal;
  },
): AsyncGenerator<EventPage> {
  const { scope, selection, bounds, signal } = options;
  const bell = new Bell();
  const ring = () => bell.ring();
  const subjects = scope === 'every tenant' ? EVENT_SUBJECTS : eventSubjects(scope.tenantId);
  const live = nc.subscribe(`${LIVE_PREFIX}.${subjects}`, { callback: ring });
  const unsubscribe = onConnectionChange(nc, ring);
  signal.addEventListener('abort', ring);
  try {
    let position = options.from;
    while (!signal.aborted) {
      const page = await reader.read(scope, selection, position, bounds).catch((error: unknown) => {
        if (error instanceof errors.ClosedConnectionError) throw error;
        return undefined;
      });
      if (page) {
        position = page.next;
        yield page;
      }
      if (!page?.hasMore) await bell.heard(page ? LOOK_AGAIN_MS : RETRY_MS);
    }
  } finally {
    signal.removeEventListener('abort', ring);
    unsubscribe();
    live.unsubscribe();
  }
}
