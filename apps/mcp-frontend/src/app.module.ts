/**
 * What the front end is made of. Nest makes the parts in the order that they need each other, and stops them; none of them knows
 * it, and each can be made by hand in a test.
 */
import { randomBytes } from 'node:crypto';
import { Access, Gate, Policies, ProtectedResources, QuotasFile, ServerSpec, ServersFile } from '@callboard/access';
import { Catalog } from '@callboard/actions';
import { FailedAuthentications, Limit, ResourceMetadata, watchLimit } from '@callboard/http';
import {
  AuditTrail,
  BUCKET,
  CallerTokens,
  CommandClient,
  DeadlineKeeper,
  KeyValueStore,
  connectApp,
} from '@callboard/jetstream';
import { gateOf, gauge, openAccess, openPolicies, watchAudit, type Logger } from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import { Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { Admission } from './admission.js';
import { EventBus } from './bus.js';
import { Invoker } from './call.js';
import { FrontendConfig } from './config.js';
import { McpEdge } from './edge.js';
import { eventMetrics, watchSubscriptions } from './events/event-metrics.js';
import { HIDDEN_EVENTS } from './events/hidden-events.js';
import { openEvents, type Events } from './events/open-events.js';
import { FairShare } from './fair-share.js';
import { UnderWayLimit } from './under-way-limit.js';
import { Handles } from './handles.js';
import { StateSeal } from './input-rounds.js';
import { McpServer } from './mcp-server.js';
import { watchAdmission, watchTurns } from './metrics.js';
import { ModernFront } from './modern.js';
import { ScheduledCommands } from './scheduled-commands.js';
import { openQuotas } from './quotas.js';
import type { FaultReporter } from './protocol-errors.js';
import { createServer, type ServerParts } from './server-factory.js';
import { CommandReports } from './results/command-reports.js';
import { ResultsEdge } from './results/results-edge.js';
import { SagaDesk } from './sagas/saga-desk.js';
import { HIDDEN_SAGAS, SagaResources } from './sagas/saga-resources.js';
import { SessionRouter } from './sessions/session-router.js';
import { ServerAccess } from './server-access.js';
import { StreamRoom } from './stream-room.js';
import { Tasks } from './tasks.js';

export const LOGGER = Symbol('logger');
export const NATS = Symbol('nats');
export const EVENTS = Symbol('events');
/** What is behind each MCP server, by its name. */
const SERVERS = Symbol('servers');
/** What serves the 2026 revision at each of them. */
export const FRONTS = Symbol('fronts');
const BUSES = Symbol('buses');
const REPORT = Symbol('report');

type Servers = ReadonlyMap<string, ServerParts>;
type Buses = ReadonlyMap<string, EventBus>;
export type Fronts = ReadonlyMap<string, ModernFront>;
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
        { provide: REPORT, inject: [LOGGER], useFactory: faultReporter },
        { provide: NATS, inject: [FrontendConfig, LOGGER], useFactory: openNats },
        { provide: Catalog, inject: [NATS, LOGGER], useFactory: followRegistry },
        { provide: AuditTrail, inject: [NATS, FrontendConfig, LOGGER], useFactory: startAudit },
        { provide: CommandClient, inject: [NATS, FrontendConfig, AuditTrail], useFactory: startCommands },
        { provide: Policies, inject: [FrontendConfig, LOGGER], useFactory: loadPolicies },
        { provide: Gate, inject: [Policies, AuditTrail], useFactory: gateOf },
        { provide: StreamRoom, inject: [NATS, LOGGER], useFactory: watchStreams },
        { provide: QuotasFile, inject: [FrontendConfig, LOGGER], useFactory: openQuotas },
        { provide: Admission, inject: [QuotasFile, StreamRoom], useFactory: admission },
        { provide: EVENTS, inject: [NATS, FrontendConfig, QuotasFile, LOGGER, AuditTrail], useFactory: serveEvents },
        { provide: ServersFile, inject: [FrontendConfig, LOGGER], useFactory: openServersFile },
        {
          provide: SERVERS,
          inject: [
            ...[NATS, FrontendConfig, Catalog, CommandClient, Admission, EVENTS, AuditTrail],
            ...[Gate, REPORT, LOGGER, ServersFile],
          ],
          useFactory: openServers,
        },
        { provide: SessionRouter, inject: [NATS, FrontendConfig, SERVERS, REPORT, LOGGER], useFactory: startSessions },
        { provide: BUSES, inject: [NATS, SERVERS, LOGGER], useFactory: openBuses },
        { provide: FRONTS, inject: [FrontendConfig, SERVERS, BUSES], useFactory: modernFronts },
        { provide: Access, inject: [FrontendConfig, LOGGER], useFactory: access },
        { provide: FailedAuthentications, inject: [FrontendConfig], useFactory: countFailures },
        { provide: ProtectedResources, inject: [Access], useFactory: protectedResources },
        { provide: ResourceMetadata, inject: [ProtectedResources, SERVERS], useFactory: resourceMetadata },
        {
          provide: McpEdge,
          inject: [
            ...[FrontendConfig, Access, ProtectedResources, FRONTS, SessionRouter, REPORT],
            ...[AuditTrail, FailedAuthentications, ServersFile],
          ],
          useFactory: mcpEdge,
        },
        { provide: DeadlineKeeper, inject: [NATS, CommandClient, LOGGER], useFactory: keepDeadlines },
        { provide: CommandReports, inject: [NATS, CommandClient], useFactory: CommandReports.open },
        {
          provide: ResultsEdge,
          inject: [FrontendConfig, CommandReports, REPORT, AuditTrail, FailedAuthentications],
          useFactory: resultsEdge,
        },
        { provide: ScheduledCommands, inject: [NATS, Catalog, CommandClient, LOGGER], useFactory: runSchedules },
        {
          provide: Shutdown,
          inject: [
            ...[NATS, Catalog, CommandClient, StreamRoom, BUSES, EVENTS, DeadlineKeeper],
            ...[ScheduledCommands, AuditTrail, Access, Policies, QuotasFile, ServersFile],
          ],
          useFactory: shutdown,
        },
      ],
    };
  }
}

function openNats(config: FrontendConfig, log: Logger): Promise<NatsConnection> {
  return connectApp('mcp-frontend', config, log);
}

async function followRegistry(nc: NatsConnection, log: Logger): Promise<Catalog> {
  const catalog = new Catalog(
    await KeyValueStore.open(nc, BUCKET.actions),
    warn(log, 'the registry could not be read'),
  );
  await catalog.start();
  return catalog;
}

function startAudit(nc: NatsConnection, { instance }: FrontendConfig, log: Logger): AuditTrail {
  return watchAudit(new AuditTrail(nc, { app: 'mcp-frontend', instance }), log);
}

function loadPolicies({ policies }: FrontendConfig, log: Logger): Promise<Policies> {
  return openPolicies(policies, log);
}

async function startCommands(nc: NatsConnection, config: FrontendConfig, audit: AuditTrail): Promise<CommandClient> {
  const commands = await CommandClient.start(nc, {
    instance: config.instance,
    audit,
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

function admission(quotas: QuotasFile, room: StreamRoom): Admission {
  return watchAdmission(new Admission(quotas, () => room.full));
}

async function serveEvents(
  nc: NatsConnection,
  config: FrontendConfig,
  quotas: QuotasFile,
  log: Logger,
  audit: AuditTrail,
): Promise<Events> {
  const options = {
    waits: watchLimit(new Limit('waiting polls', config.maxWaitingPolls, 1_000)),
    metrics: eventMetrics(),
    quotas,
    ttlMs: config.eventSubscriptionTtlMs,
    experimental: config.experimentalEvents,
  };
  const events = await openEvents(nc, options, warn(log, 'which events came is not known now; trying again'), audit);
  watchSubscriptions(() => events.subscriptions.count());
  return events;
}

async function openServersFile({ servers }: FrontendConfig, log: Logger): Promise<ServersFile> {
  const file = await ServersFile.open(servers, {
    changed: () => log.info({ file: 'servers' }, 'what the file says now is in force'),
    broken: (problem) =>
      log.error(
        { file: 'servers', problem },
        'the file cannot be used as it is now; what it said before stays in force',
      ),
  });
  gauge('callboard_servers_broken', 'Is what is in the servers file not in force? 1: yes', () => Number(file.broken));
  return file;
}

/** Every MCP server, and what is behind it. */
async function openServers(
  nc: NatsConnection,
  config: FrontendConfig,
  catalog: Catalog,
  commands: CommandClient,
  admission: Admission,
  events: Events,
  audit: AuditTrail,
  gate: Gate,
  report: FaultReporter,
  log: Logger,
  file: ServersFile,
): Promise<Servers> {
  const sagas = await SagaDesk.open(nc, config.callSagaDeadlineMs);
  if (config.requestStateKey === '') {
    log.warn('CALLBOARD_REQUEST_STATE_KEY is not set: calls that need several rounds work with one replica only');
  }
  const secret = config.requestStateKey === '' ? randomBytes(32) : Buffer.from(config.requestStateKey, 'base64');
  const handles = await Handles.open(nc, commands, admission);
  const tokens = new CallerTokens(nc);
  gauge(
    'callboard_caller_tokens',
    "Callers' tokens that are held for the runners of their commands",
    () => tokens.size,
  );
  const onError = warn(log, 'a command could not be cancelled for a caller that went away');
  const turns = watchTurns(
    new FairShare({
      underWay: new UnderWayLimit(config.commandsUnderWay, () => performance.now()),
      linePerTenant: config.maxLinePerTenant,
    }),
    admission,
  );
  const partsOf = (spec: ServerSpec): ServerParts => {
    const server = new McpServer(spec, catalog);
    const access = new ServerAccess(gate, spec.path);
    const held = handles.of(server);
    const { calls, resources, extension } = events.of(access);
    return {
      server,
      access,
      invoker: new Invoker(
        commands,
        held,
        admission,
        turns,
        config.syncWindowMs,
        calls,
        sagas,
        onError,
        audit,
        tokens,
        access,
        server,
      ),
      tasks: new Tasks(held, commands, access),
      events: spec.events ? resources : HIDDEN_EVENTS,
      sagas: spec.results ? new SagaResources(sagas, access) : HIDDEN_SAGAS,
      eventsExtension: spec.events ? extension : undefined,
      seal: new StateSeal(secret, spec.name),
      audit,
      report,
    };
  };
  const servers = new Map(file.specs.map((spec) => [spec.name, partsOf(spec)]));
  file.onChange(() => {
    for (const spec of file.specs) servers.get(spec.name)!.server.replace(spec);
  });
  for (const { server } of servers.values()) tellOfUnusable(server, log);
  return servers;
}

function tellOfUnusable(server: McpServer, log: Logger): void {
  const tell = () => {
    const { unusable } = server.listing;
    if (unusable.length === 0) return;
    log.error({ server: server.name, actions: unusable }, 'no client could use these actions: they are not listed');
  };
  tell();
  server.onChange(tell);
}

function faultReporter(log: Logger): FaultReporter {
  return ({ errorId, error }) => log.error({ error_id: errorId, err: error }, 'a request met a fault inside');
}

function startSessions(
  nc: NatsConnection,
  config: FrontendConfig,
  servers: Servers,
  report: FaultReporter,
  log: Logger,
): Promise<SessionRouter> {
  return SessionRouter.start({
    nc,
    instance: config.instance,
    createServer,
    servers,
    report,
    requests: watchLimit(new Limit('session requests', config.maxSessionRequests, 1_000)),
    streams: watchLimit(new Limit('session streams', config.maxSessionStreams, 5_000)),
    log,
    options: { ttlMs: config.sessionTtlMs, maxSessions: config.maxSessions, retryMs: config.sessionRetryMs },
  });
}

/** What tells the clients of each MCP server of changes. */
function openBuses(nc: NatsConnection, servers: Servers, log: Logger): Buses {
  const onError = warn(log, 'a change could not be told');
  return new Map([...servers].map(([name, { server, access }]) => [name, new EventBus(nc, server, access, onError)]));
}

function modernFronts(config: FrontendConfig, servers: Servers, buses: Buses): Fronts {
  const listens = watchLimit(new Limit('listens', config.maxListens, 5_000));
  return new Map([...servers].map(([name, parts]) => [name, new ModernFront(parts, buses.get(name)!, listens)]));
}

function access(config: FrontendConfig, log: Logger): Promise<Access> {
  return openAccess(config, log);
}

function countFailures(config: FrontendConfig): FailedAuthentications {
  return new FailedAuthentications(config);
}

function protectedResources(access: Access): ProtectedResources {
  return new ProtectedResources(access);
}

function resourceMetadata(resources: ProtectedResources, servers: Servers): ResourceMetadata {
  const all = () => [...servers.values()].map(({ server }) => resources.of(server.spec));
  return new ResourceMetadata(all, () => resources.of(servers.get(ServerSpec.DEFAULT_NAME)!.server.spec));
}

function mcpEdge(
  config: FrontendConfig,
  access: Access,
  resources: ProtectedResources,
  fronts: Fronts,
  sessions: SessionRouter,
  report: FaultReporter,
  audit: AuditTrail,
  failures: FailedAuthentications,
  file: ServersFile,
) {
  const { maxBodyBytes, maxDepth } = config;
  const allowedHosts = commaSeparated(config.allowedHosts);
  const allowedOrigins = commaSeparated(config.allowedOrigins);
  const edge = new McpEdge(
    { allowedHosts, allowedOrigins, maxBodyBytes, maxDepth },
    access.authenticator,
    watchLimit(new Limit('requests', config.maxRequests, 1_000)),
    watchLimit(new Limit('request bytes', config.maxRequestBytes, 1_000)),
    fronts,
    resources,
    sessions,
    report,
    audit,
    failures,
  );
  for (const changing of [access, file]) changing.onChange(() => edge.lookAtStreamsAgain());
  return edge;
}

function resultsEdge(
  config: FrontendConfig,
  reports: CommandReports,
  report: FaultReporter,
  audit: AuditTrail,
  failures: FailedAuthentications,
): ResultsEdge {
  const { maxBodyBytes, maxDepth, resultsKey } = config;
  return new ResultsEdge(
    { key: Buffer.from(resultsKey, 'base64'), maxBodyBytes, maxDepth },
    reports,
    watchLimit(new Limit('reports', MAX_REPORTS, 1_000)),
    report,
    audit,
    failures,
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
  buses: Buses,
  events: Events,
  deadlines: DeadlineKeeper,
  schedules: ScheduledCommands,
  audit: AuditTrail,
  access: Access,
  policies: Policies,
  quotas: QuotasFile,
  servers: ServersFile,
): Shutdown {
  return new Shutdown(async () => {
    access.close();
    policies.close();
    quotas.close();
    servers.close();
    schedules.stop();
    deadlines.stop();
    for (const bus of buses.values()) bus.close();
    events.stop();
    room.stop();
    catalog.stop();
    commands.close();
    await audit.close();
    await nc.drain();
  });
}
