/**
 * What the front end is made of. Nest makes the parts in the order that they need each other, and stops them; none of them knows
 * it, and each can be made by hand in a test.
 */
import { randomBytes } from 'node:crypto';
import { Catalog } from '@callboard/actions';
import { Limit, watchLimit } from '@callboard/http';
import { BUCKET, CommandClient, DeadlineKeeper, KeyValueStore, connectApp } from '@callboard/jetstream';
import { gauge, type Logger } from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import { Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { Admission } from './admission.js';
import { Authenticator } from './auth.js';
import { EventBus } from './bus.js';
import { Invoker } from './call.js';
import { FrontendConfig } from './config.js';
import { McpEdge } from './edge.js';
import { eventMetrics, watchSubscriptions } from './events/event-metrics.js';
import { openEvents, type Events } from './events/open-events.js';
import { Handles } from './handles.js';
import { StateSeal } from './input-rounds.js';
import { Listing } from './listing.js';
import { watchAdmission } from './metrics.js';
import { ModernFront } from './modern.js';
import { ScheduledCommands } from './scheduled-commands.js';
import { createServer, type ServerParts } from './server-factory.js';
import { CommandReports } from './results/command-reports.js';
import { ResultsEdge } from './results/results-edge.js';
import { SessionRouter } from './sessions/session-router.js';
import { StreamRoom } from './stream-room.js';
import { Tasks } from './tasks.js';

export const LOGGER = Symbol('logger');
export const NATS = Symbol('nats');
export const EVENTS = Symbol('events');
const PARTS = Symbol('parts');
/** Reports of far sides that one replica takes at once. */
const MAX_REPORTS = 256;

@Module({})
export class AppModule {
  static with(config: FrontendConfig, log: Logger): DynamicModule {
    return {
      module: AppModule,
      providers: [
        { provide: FrontendConfig, useValue: config },
        { provide: LOGGER, useValue: log },
        { provide: NATS, inject: [FrontendConfig], useFactory: openNats },
        { provide: Catalog, inject: [NATS, LOGGER], useFactory: followRegistry },
        { provide: CommandClient, inject: [NATS, FrontendConfig], useFactory: startCommands },
        { provide: StreamRoom, inject: [NATS, LOGGER], useFactory: watchStreams },
        { provide: Admission, inject: [FrontendConfig, StreamRoom], useFactory: admission },
        { provide: EVENTS, inject: [NATS, FrontendConfig, LOGGER], useFactory: serveEvents },
        {
          provide: PARTS,
          inject: [NATS, FrontendConfig, Catalog, CommandClient, Admission, EVENTS, LOGGER],
          useFactory: serverParts,
        },
        { provide: EventBus, inject: [NATS, Catalog, LOGGER], useFactory: openBus },
        { provide: SessionRouter, inject: [NATS, FrontendConfig, PARTS, LOGGER], useFactory: startSessions },
        { provide: ModernFront, inject: [FrontendConfig, PARTS, EventBus], useFactory: modernFront },
        { provide: McpEdge, inject: [FrontendConfig, PARTS, ModernFront, SessionRouter], useFactory: mcpEdge },
        { provide: DeadlineKeeper, inject: [NATS, CommandClient, LOGGER], useFactory: keepDeadlines },
        { provide: CommandReports, inject: [NATS, CommandClient], useFactory: CommandReports.open },
        { provide: ResultsEdge, inject: [FrontendConfig, CommandReports, PARTS], useFactory: resultsEdge },
        { provide: ScheduledCommands, inject: [NATS, Catalog, CommandClient, LOGGER], useFactory: runSchedules },
        {
          provide: Shutdown,
          inject: [NATS, Catalog, CommandClient, StreamRoom, EventBus, EVENTS, DeadlineKeeper, ScheduledCommands],
          useFactory: shutdown,
        },
      ],
    };
  }
}

function openNats(config: FrontendConfig): Promise<NatsConnection> {
  return connectApp('mcp-frontend', config);
}

async function followRegistry(nc: NatsConnection, log: Logger): Promise<Catalog> {
  const catalog = new Catalog(
    await KeyValueStore.open(nc, BUCKET.actions),
    warn(log, 'the registry could not be read'),
  );
  catalog.onChange((view) => {
    const { unusable } = Listing.of(view);
    if (unusable.length > 0) log.error({ actions: unusable }, 'no client could use these actions: they are not listed');
  });
  await catalog.start();
  return catalog;
}

async function startCommands(nc: NatsConnection, config: FrontendConfig): Promise<CommandClient> {
  const commands = await CommandClient.start(nc, {
    instance: config.instance,
    scheduleDeadlinesAfterMs: config.scheduleDeadlinesAfterMs,
  });
  gauge('callboard_commands_waiting', 'Calls that wait for their outcome', () => commands.waiting);
  return commands;
}

function keepDeadlines(nc: NatsConnection, commands: CommandClient, log: Logger): Promise<DeadlineKeeper> {
  return DeadlineKeeper.start(nc, commands.outcomes, warn(log, 'a deadline could not be kept; trying again'));
}

function runSchedules(
  nc: NatsConnection,
  catalog: Catalog,
  commands: CommandClient,
  log: Logger,
): Promise<ScheduledCommands> {
  return ScheduledCommands.start(nc, catalog, commands, {
    onError: warn(log, 'a scheduled command could not be run yet; trying again'),
    onRefused: (tick) => log.warn({ ...tick }, 'a scheduled command became a dead letter'),
  });
}

function watchStreams(nc: NatsConnection, log: Logger): Promise<StreamRoom> {
  return StreamRoom.start(nc, warn(log, 'whether the streams have room is not known now'));
}

function admission(config: FrontendConfig, room: StreamRoom): Admission {
  const limits = { maxPerTenant: config.maxCommandsPerTenant, maxPerPrincipal: config.maxCommandsPerPrincipal };
  return watchAdmission(new Admission(limits, () => room.full));
}

async function serveEvents(nc: NatsConnection, config: FrontendConfig, log: Logger): Promise<Events> {
  const options = {
    waits: watchLimit(new Limit('waiting polls', config.maxWaitingPolls, 1_000)),
    metrics: eventMetrics(),
    maxPerPrincipal: config.maxEventSubscriptionsPerPrincipal,
    maxPerTenant: config.maxEventSubscriptionsPerTenant,
    ttlMs: config.eventSubscriptionTtlMs,
    experimental: config.experimentalEvents,
  };
  const events = await openEvents(nc, options, warn(log, 'which events came is not known now; trying again'));
  watchSubscriptions(() => events.subscriptions.count());
  return events;
}

async function serverParts(
  nc: NatsConnection,
  config: FrontendConfig,
  catalog: Catalog,
  commands: CommandClient,
  admission: Admission,
  events: Events,
  log: Logger,
) {
  if (config.requestStateKey === '') {
    log.warn('CALLBOARD_REQUEST_STATE_KEY is not set: calls that need several rounds work with one replica only');
  }
  const secret = config.requestStateKey === '' ? randomBytes(32) : Buffer.from(config.requestStateKey, 'base64');
  const handles = await Handles.open(nc, commands, admission);
  const onError = warn(log, 'a command could not be cancelled for a caller that went away');
  return {
    catalog,
    invoker: new Invoker(commands, handles, admission, config.syncWindowMs, events.calls, onError),
    tasks: new Tasks(handles, commands),
    events: events.resources,
    eventsExtension: events.extension,
    seal: new StateSeal(secret),
    report: ({ errorId, error }) => log.error({ error_id: errorId, err: error }, 'a request met a fault inside'),
  } satisfies ServerParts;
}

function openBus(nc: NatsConnection, catalog: Catalog, log: Logger): EventBus {
  return new EventBus(nc, catalog, warn(log, 'a change could not be told'));
}

function startSessions(
  nc: NatsConnection,
  config: FrontendConfig,
  parts: ServerParts & { catalog: Catalog },
  log: Logger,
): Promise<SessionRouter> {
  return SessionRouter.start({
    nc,
    instance: config.instance,
    createServer,
    parts,
    requests: watchLimit(new Limit('session requests', config.maxSessionRequests, 1_000)),
    streams: watchLimit(new Limit('session streams', config.maxSessionStreams, 5_000)),
    log,
    options: { ttlMs: config.sessionTtlMs, maxSessions: config.maxSessions, retryMs: config.sessionRetryMs },
  });
}

function modernFront(config: FrontendConfig, parts: ServerParts, bus: EventBus): ModernFront {
  return new ModernFront(parts, bus, watchLimit(new Limit('listens', config.maxListens, 5_000)));
}

async function mcpEdge(config: FrontendConfig, parts: ServerParts, modern: ModernFront, sessions: SessionRouter) {
  const { maxBodyBytes, maxDepth } = config;
  const allowedHosts = commaSeparated(config.allowedHosts);
  const allowedOrigins = commaSeparated(config.allowedOrigins);
  return new McpEdge(
    { allowedHosts, allowedOrigins, maxBodyBytes, maxDepth },
    await Authenticator.load(config),
    watchLimit(new Limit('requests', config.maxRequests, 1_000)),
    watchLimit(new Limit('request bytes', config.maxRequestBytes, 1_000)),
    modern,
    sessions,
    parts.report,
  );
}

function resultsEdge(config: FrontendConfig, reports: CommandReports, parts: ServerParts): ResultsEdge {
  const { maxBodyBytes, maxDepth, resultsKey } = config;
  return new ResultsEdge(
    { key: Buffer.from(resultsKey, 'base64'), maxBodyBytes, maxDepth },
    reports,
    watchLimit(new Limit('reports', MAX_REPORTS, 1_000)),
    parts.report,
  );
}

function commaSeparated(list: string): string[] {
  return list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function warn(log: Logger, what: string): (error: unknown) => void {
  return (error) => log.warn({ err: error }, what);
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
  catalog: Catalog,
  commands: CommandClient,
  room: StreamRoom,
  bus: EventBus,
  events: Events,
  deadlines: DeadlineKeeper,
  schedules: ScheduledCommands,
): Shutdown {
  return new Shutdown(async () => {
    schedules.stop();
    deadlines.stop();
    bus.close();
    events.stop();
    room.stop();
    catalog.stop();
    commands.close();
    await nc.drain();
  });
}
