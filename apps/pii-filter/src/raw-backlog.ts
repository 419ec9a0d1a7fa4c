import { STREAM, filterConsumerName, partitionsOf } from '@callboard/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';

export interface RawBacklog {
  /** Raw events that no filter is done with, by partition. */
  pending: number[];
  /** Age of the oldest; 0 when there is none. */
  oldestMs: number;
}

/** How far the filters are behind. */
export async function rawBacklog(jsm: JetStreamManager): Promise<RawBacklog> {
  const { state, config } = await jsm.streams.info(STREAM.eventsRaw);
  const pending = await Promise.all(
    Array.from({ length: partitionsOf(config) ?? 0 }, async (_, partition) => {
      const { num_pending, num_ack_pending } = await jsm.consumers.info(
        STREAM.eventsRaw,
        filterConsumerName(partition),
      );
      return num_pending + num_ack_pending;
    }),
  );
  return { pending, oldestMs: state.messages === 0 ? 0 : Math.max(0, Date.now() - Date.parse(state.first_ts)) };
}
