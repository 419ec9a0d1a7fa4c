/**
 * Which replica reads the buses: one at a time, the holder of a lease in the bucket INGEST, so that the events of a bus keep their order.
 *
 * One lease for all buses, for reading them is little work. The subscriptions have the same ids whoever reads, so the next replica goes on where
 * the buses stand, and what the one before left half done is in each bus's record.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Audit } from '@callboard/audit';
import { PartitionLeases, type KeyValueStore, type Lease, type RawEvents } from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';
import type { IngestMetrics } from '../metrics.js';
import type { BackstageBusSource } from '../sources.js';
import { BusClient } from './bus-client.js';
import type { BusMetrics } from './bus-metrics.js';
import { BusReader } from './bus-reader.js';
import { BusRecord } from './bus-record.js';

const LEASE = 0;
const AGAIN_MS = 1_000;

export class BusSources {
  readonly #leases: PartitionLeases;
  readonly #readers = new Set<BusReader>();
  #reading: Promise<void> = Promise.resolve();
  #stopReading = new AbortController();
  #givenBack: Promise<void> | undefined;

  constructor(
    private readonly sources: readonly BackstageBusSource[],
    private readonly store: KeyValueStore,
    private readonly raw: RawEvents,
    private readonly audit: Pick<Audit, 'record'>,
    instance: string,
    private readonly refusing: () => string | undefined,
    private readonly metrics: { ingest: IngestMetrics; bus: BusMetrics },
    private readonly log: Logger,
  ) {
    this.#leases = new PartitionLeases(store, instance, 1, {
      acquired: (lease) => this.#begin(lease),
      surplus: () => void (this.#givenBack = this.#giveBack()),
      lost: () => {
        this.log.warn('the lease of the event buses is lost; what was taken is stored, nothing more is taken');
        void this.#end().then(() => this.#leases.stopped(LEASE));
      },
      error: (err) => this.log.warn({ err }, 'the lease of the event buses cannot be settled now'),
      load: () => this.#readers.size,
    });
  }

  start(): Promise<void> {
    return this.#leases.start();
  }

  /** What was taken is stored, and the lease given back. */
  async stop(): Promise<void> {
    await this.#leases.leave();
    await (this.#givenBack ?? this.#end());
    this.#leases.stop();
  }

  #begin(lease: Lease): void {
    this.#stopReading = new AbortController();
    const { signal } = this.#stopReading;
    this.#reading = Promise.all(this.sources.map((source) => this.#keepReading(source, lease, signal))).then(() => {
      for (const { name } of this.sources) this.metrics.bus.reads(name, false);
    });
  }

  async #giveBack(): Promise<void> {
    await this.#end();
    // Where NATS is away, the lease runs out by itself.
    await this.#leases
      .giveBack(LEASE, true)
      .catch((err: unknown) => this.log.warn({ err }, 'the lease of the event buses cannot be settled now'));
  }

  async #end(): Promise<void> {
    this.#stopReading.abort();
    for (const reader of this.#readers) reader.stop();
    await this.#reading;
  }

  async #keepReading(source: BackstageBusSource, lease: Lease, signal: AbortSignal): Promise<void> {
    const { name, topics } = source;
    this.metrics.bus.reads(name, true);
    this.log.info({ source: name, topics: topics.length }, 'an event bus is read here');
    while (!signal.aborted && lease.isValid()) {
      const reader = this.#reader(source, lease);
      this.#readers.add(reader);
      try {
        const how = await reader.run();
        if (how === 'taken') this.log.warn({ source: name }, 'another replica reads this event bus');
      } catch (err) {
        this.log.error({ source: name, err }, 'an event bus cannot be read: begun anew');
      } finally {
        this.#readers.delete(reader);
      }
      await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #reader(source: BackstageBusSource, lease: Lease): BusReader {
    const { name } = source;
    const { ingest, bus } = this.metrics;
    return new BusReader(
      source,
      new BusClient(source),
      new BusRecord(this.store, name),
      this.raw,
      this.audit,
      { isSure: () => lease.isValid(), refusing: this.refusing },
      {
        answered: (kind) => bus.answered(name, kind),
        troubled: (why, retryInMs) =>
          this.log.warn({ source: name, why, retry_in_ms: Math.round(retryInMs) }, 'an event bus does not answer'),
        stored: (how) => ingest.count(name, how),
        notStored: (err, retryInMs) =>
          this.log.warn({ source: name, err, retry_in_ms: Math.round(retryInMs) }, 'events of a bus wait for NATS'),
        gap: (reason) => {
          bus.gap(name, reason);
          this.log.warn({ source: name, reason }, 'events of a bus may be missing: a gap was told');
        },
        givenUp: (events) =>
          this.log.warn(
            { source: name, events },
            'taken events were given up: another replica has told a gap for them',
          ),
      },
    );
  }
}
