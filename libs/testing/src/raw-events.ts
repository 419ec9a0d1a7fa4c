import { readEventHeaders, type EventAttributes } from '@callboard/events';
import { parseRawEventSubject, type EventAddress } from '@callboard/envelope';
import { STREAM } from '@callboard/jetstream';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

/** An event as it is stored for the privacy filter. */
export interface RawEvent extends EventAddress {
  attributes: EventAttributes;
  data: Uint8Array;
}

/** The raw events that are stored, in their order; `nc` is a connection of the user `pii-filter`. */
export async function readRawEvents(nc: NatsConnection): Promise<RawEvent[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { state } = await jsm.streams.info(STREAM.eventsRaw);
  const events: RawEvent[] = [];
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await jsm.streams.getMessage(STREAM.eventsRaw, { seq });
    if (!message) continue;
    const { partition: _, ...address } = parseRawEventSubject(message.subject);
    events.push({ ...address, attributes: readEventHeaders(message.header), data: message.data });
  }
  return events;
}
