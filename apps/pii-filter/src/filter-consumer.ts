/**
 * Shares the partitions of the raw events among all living filters: for each lease that this process holds, a `RawPartition` works.
 * Leases are `PartitionLeases` in a bucket of their own; what holds without a fence is in `raw-partition.ts`.
 */
import {
  BUCKET,
  KeyValueStore,
  PartitionLeases,
  STREAM,
  onConnectionChange,
  partitionsOf,
  whenLed,
  type Lease,
} from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { CrashNotes } from './crash-notes.js';
import type { EventFilter } from './filter-event.js';
import { RawPartition, type PartitionOptions } from './raw-partition.js';
import { Turns } from './turns.js';

export interface ConsumerOptions extends PartitionOptions {
  instance: string;
}

export class FilterConsumer {
  readonly #owned = new Map<number, RawPartition>();
  readonly #turns = new Turns();
  readonly #notes: CrashNotes;
  #leases!: PartitionLeases;
  #unsubscribe: (() => void) | undefined;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly filter: EventFilter,
    private readonly store: KeyValueStore,
    private readonly options: ConsumerOptions,
  ) {
    this.#notes = new CrashNotes(store);
  }

  static async start(nc: NatsConnection, filter: EventFilter, options: ConsumerOptions): Promise<FilterConsumer> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const store = await KeyValueStore.open(nc, BUCKET.filterLeases);
    const consumer = new FilterConsumer(nc, jsm, filter, store, options);
    const partitions = partitionsOf((await whenLed(() => jsm.streams.info(STREAM.eventsRaw))).config);
    if (partitions === undefined) throw new Error(`${STREAM.eventsRaw} has no partitions: callboard streams check`);
    await consumer.#start(partitions);
    return consumer;
  }

  /** Partitions owned now. */
  get partitions(): number[] {
    return [...this.#owned.keys()];
  }

  /** Events in memory. */
  get buffered(): number {
    return [...this.#owned.values()].reduce((sum, partition) => sum + partition.buffered, 0);
  }

  /** Ends what is begun, gives all leases back. What is not put after `timeoutMs` is left to the next owner. */
  async drain(timeoutMs: number): Promise<void> {
    this.#unsubscribe?.();
    const late = setTimeout(() => {
      for (const partition of this.#owned.values()) void partition.stop();
    }, timeoutMs);
    await this.#leases.leave();
    await Promise.all([...this.#owned.values()].map((partition) => partition.released));
    clearTimeout(late);
    this.#leases.stop();
  }

  async #start(partitions: number): Promise<void> {
    this.#leases = new PartitionLeases(this.store, this.options.instance, partitions, {
      acquired: (lease) => this.#own(lease),
      surplus: (partition) => void this.#release(partition),
      lost: (partition) => void this.#lose(partition),
      error: this.options.onError,
      load: (partition) => this.#owned.get(partition)?.buffered ?? 0,
    });
    this.#unsubscribe = onConnectionChange(this.nc, (change) => {
      if (change === 'connected') for (const partition of this.#owned.values()) partition.reattach();
    });
    await this.#leases.start();
  }

  #own(lease: Lease): void {
    const { nc, jsm, filter, options } = this;
    this.#owned.set(lease.partition, new RawPartition(nc, jsm, lease, filter, this.#notes, this.#turns, options));
  }

  async #release(number: number): Promise<void> {
    const partition = this.#owned.get(number);
    if (!partition) return;
    const clean = await partition.drain();
    if (this.#owned.get(number) !== partition) return;
    this.#owned.delete(number);
    await this.#leases.giveBack(number, clean).catch(this.options.onError);
    partition.markReleased();
  }

  async #lose(number: number): Promise<void> {
    const partition = this.#owned.get(number);
    if (!partition) return;
    this.#owned.delete(number);
    await partition.stop();
    this.#leases.stopped(number);
    partition.markReleased();
  }
}
