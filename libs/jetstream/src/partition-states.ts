import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore } from './key-value-store.js';
import { floorKey, readFloor } from './partition-floor.js';
import { BUCKET, STREAM, partitionConsumerName, partitionsOf } from './topology.js';

/** How far a partition is, as anybody can see it who may read. */
export interface PartitionState {
  partition: number;
  /** Commands that no runner has read. */
  pending: number;
  /** Sequence of the last command that its owner was given; 0 when it has none. */
  delivered: number;
  /** Every command of the partition up to here has its outcome; kept once a second. */
  floor: number;
}

/** Has everything that is stored in the partition ended? */
export function isQuiet({ pending, delivered, floor }: PartitionState): boolean {
  return pending === 0 && floor >= delivered;
}

/** The partitions that have an owner, or had one within the last hour. */
export async function partitionStates(nc: NatsConnection): Promise<PartitionState[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { config, created } = await jsm.streams.info(STREAM.commands);
  const partitions = new Map(
    Array.from({ length: partitionsOf(config) ?? 0 }, (_, partition) => [partitionConsumerName(partition), partition]),
  );
  const leases = await KeyValueStore.open(nc, BUCKET.leases);
  const states: PartitionState[] = [];
  for await (const { name, num_pending: pending, delivered } of jsm.consumers.list(STREAM.commands)) {
    const partition = partitions.get(name);
    if (partition === undefined) continue;
    const record = readFloor(await leases.get(floorKey(partition)), String(created));
    states.push({ partition, pending, delivered: delivered.stream_seq, floor: record?.floor ?? 0 });
  }
  return states.sort((a, b) => a.partition - b.partition);
}
