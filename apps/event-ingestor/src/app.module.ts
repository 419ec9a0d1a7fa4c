/**
 * What the ingestor is made of. Nest makes the parts in the order that they need each other, and stops them; none of them knows it, and
 * each can be made by hand in a test.
 */
import { Access } from '@callboard/access';
import { AckedPublisher, AuditTrail, BUCKET, KeyValueStore, RawEvents, connectApp } from '@callboard/jetstream';
import { FailedAuthentications, Limit, ResourceMetadata, watchLimit, type Room } from '@callboard/http';
import { openAccess, watchAudit, type Logger } from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import { Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { BusMetrics } from './backstage-bus/bus-metrics.js';
import { BusSources } from './backstage-bus/bus-sources.js';
import { IngestorConfig } from './config.js';
import { IngestEdge } from './ingest-edge.js';
import { Ingest } from './ingest.js';
import { IngestMetrics } from './metrics.js';
import { Senders } from './senders.js';
import {
  SourcesError,
  type BackstageBusSource,
  type CloudEventsSource,
  type SenderSource,
  type Source,
} from './sources.js';

export const NATS = Symbol('nats');
const LOGGER = Symbol('logger');
const SOURCES = Symbol('sources');
const RETRY_MS = 1_000;

@Module({})
export class AppModule {
  static with(config: IngestorConfig, sources: readonly Source[], log: Logger): DynamicModule {
    return {
      module: AppModule,
      providers: [
        { provide: IngestorConfig, useValue: config },
        { provide: SOURCES, useValue: sources },
        { provide: LOGGER, useValue: log },
        { provide: NATS, inject: [IngestorConfig, LOGGER], useFactory: openNats },
        { provide: AckedPublisher, inject: [NATS], useFactory: (nc: NatsConnection) => new AckedPublisher(nc) },
        { provide: RawEvents, inject: [AckedPublisher], useFactory: (acks: AckedPublisher) => new RawEvents(acks) },
        { provide: AuditTrail, inject: [NATS, IngestorConfig, LOGGER], useFactory: startAudit },
        { provide: Ingest, inject: [RawEvents, IngestorConfig, LOGGER, AuditTrail], useFactory: ingest },
        {
          provide: IngestMetrics,
          inject: [SOURCES],
          useFactory: (sources: readonly Source[]) => new IngestMetrics(sources.map(({ name }) => name)),
        },
        { provide: Access, inject: [IngestorConfig, SOURCES, LOGGER], useFactory: access },
        { provide: Senders, inject: [SOURCES, Access], useFactory: senders },
        { provide: ResourceMetadata, inject: [SOURCES, Senders], useFactory: resourceMetadata },
        {
          provide: IngestEdge,
          inject: [IngestorConfig, SOURCES, Ingest, IngestMetrics, LOGGER, AuditTrail, Senders],
          useFactory: ingestEdge,
        },
        {
          provide: BusSources,
          inject: [IngestorConfig, SOURCES, NATS, RawEvents, Ingest, IngestMetrics, LOGGER, AuditTrail],
          useFactory: busSources,
        },
        { provide: Shutdown, inject: [NATS, AckedPublisher, AuditTrail, Access], useFactory: shutdown },
      ],
    };
  }
}

function openNats(config: IngestorConfig, log: Logger): Promise<NatsConnection> {
  return connectApp('event-ingestor', config, log);
}

function startAudit(nc: NatsConnection, { instance }: IngestorConfig, log: Logger): AuditTrail {
  return watchAudit(new AuditTrail(nc, { app: 'event-ingestor', instance }), log);
}

function ingest(raw: RawEvents, config: IngestorConfig, log: Logger, audit: AuditTrail): Ingest {
  return new Ingest(raw, config.storeTimeoutMs, log, audit);
}

/**
 * Undefined where no source takes tokens of others.
 * @throws SourcesError, ConfigError, AccessError when nobody's token could ever be good
 */
async function access(
  { access }: IngestorConfig,
  sources: readonly Source[],
  log: Logger,
): Promise<Access | undefined> {
  const [taker] = sources.filter(takesTokens);
  if (!taker) return undefined;
  if (access !== '') return openAccess({ access }, log);
  throw new SourcesError(`The source ${taker.name} has access: set CALLBOARD_ACCESS, which says whose tokens are good`);
}

function takesTokens(source: Source): source is CloudEventsSource {
  return source.type === 'cloudevents' && source.access !== undefined;
}

function senders(sources: readonly Source[], access: Access | undefined): Senders | undefined {
  return access && new Senders(sources.filter(takesTokens), access);
}

/** Undefined where no source takes tokens of others. */
function resourceMetadata(sources: readonly Source[], senders: Senders | undefined): ResourceMetadata | undefined {
  if (!senders) return undefined;
  const isOnlySource = sources.filter(({ type }) => type === 'cloudevents').length === 1;
  return new ResourceMetadata(
    () => senders.resources,
    () => (isOnlySource ? senders.resources[0] : undefined),
  );
}

function ingestEdge(
  config: IngestorConfig,
  sources: readonly Source[],
  ingest: Ingest,
  metrics: IngestMetrics,
  log: Logger,
  audit: AuditTrail,
  senders: Senders | undefined,
): IngestEdge {
  return new IngestEdge(
    config,
    sources.filter((source): source is SenderSource => source.type !== 'backstage_bus'),
    ingest,
    { cloudevents: roomOf('request', config), webhook: roomOf('webhook', config) },
    metrics,
    (error) => log.error({ err: error }, 'a request met a fault inside'),
    audit,
    new FailedAuthentications(config),
    senders,
  );
}

function roomOf(what: string, { maxRequests, maxRequestBytes }: IngestorConfig): Room {
  return {
    requests: watchLimit(new Limit(`${what}s`, maxRequests, RETRY_MS)),
    bodies: watchLimit(new Limit(`${what} bytes`, maxRequestBytes, RETRY_MS)),
  };
}

/** Undefined where no bus is to be read. */
async function busSources(
  { instance }: IngestorConfig,
  sources: readonly Source[],
  nc: NatsConnection,
  raw: RawEvents,
  ingest: Ingest,
  metrics: IngestMetrics,
  log: Logger,
  audit: AuditTrail,
): Promise<BusSources | undefined> {
  const buses = sources.filter((source): source is BackstageBusSource => source.type === 'backstage_bus');
  if (buses.length === 0) return undefined;
  const store = await KeyValueStore.open(nc, BUCKET.ingest);
  const bus = new BusMetrics(buses.map(({ name }) => name));
  return new BusSources(buses, store, raw, audit, instance, () => ingest.refusing, { ingest: metrics, bus }, log);
}

/** Stops, once nothing is served any more, what the parts share. */
class Shutdown implements OnApplicationShutdown {
  constructor(private readonly stop: () => Promise<void>) {}

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }
}

function shutdown(
  nc: NatsConnection,
  publisher: AckedPublisher,
  audit: AuditTrail,
  access: Access | undefined,
): Shutdown {
  return new Shutdown(async () => {
    access?.close();
    publisher.close();
    await audit.close();
    await nc.drain();
  });
}
