/**
 * MCP over Streamable HTTP for the 2025 revisions, with sessions. Read `serve`, then `#post` and `#get`, top to bottom.
 *
 * A session belongs to no process: its record is in a key-value bucket, and what is sent on its streams in a stream, so any replica
 * serves any request of it, and a replica that dies takes nothing with it.
 *
 * Guaranteed, for requests that run as commands: once the client has the first event of the response, the request is answered
 * whoever dies, and each event is stored and told once (`exchange.ts`). A client that disconnects has not cancelled. The rest
 * (lists, ping, settings) is answered at once and not stored: asking again is the same.
 *
 * Not guaranteed: a client of 2025-06-18 that is cut off before the first event of a response has no id to come back with. Logs
 * are kept for an hour.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '@callboard/access';
import { CallboardError } from '@callboard/envelope';
import type { Limit } from '@callboard/http';
import type { Logger } from '@callboard/telemetry';
import {
  SUPPORTED_PROTOCOL_VERSIONS,
  isInitializeRequest,
  isJSONRPCRequest,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type Server,
} from '@modelcontextprotocol/server';
import type { NatsConnection } from '@nats-io/transport-node';
import { answerJson, answerRefusal, answerRpcError, readableId, type RequestId } from '../answers.js';
import { RPC, toRpcError, type FaultReporter } from '../protocol-errors.js';
import type { ServerOptions, ServerParts, SessionMemory } from '../server-factory.js';
import { EVENT_URI_TEMPLATE, isEventUri, parseEventUri } from '../events/event-uri.js';
import { ChangeLog } from './change-log.js';
import { EventLog } from './event-log.js';
import { eventId, parseEventId, type Exchange, type OpenRecord, type StreamPosition } from './exchange.js';
import { Exchanges } from './exchanges.js';
import { accepts, header, messagingHeaders, prefersEvents, readMessage } from './http.js';
import { Replicas, type Question } from './replicas.js';
import { ResumedStream, type ResumedParts } from './resumed-stream.js';
import { Session, SessionRecords, newSessionId, newStreamId, type SessionRecord } from './session-records.js';
import { SessionTransport } from './session-transport.js';
import { SseStreams } from './sse-stream.js';
import { StandaloneStreams, followLists } from './standalone-streams.js';

export interface SessionOptions {
  /** A session that is not used for so long is gone. */
  ttlMs: number;
  /** Sessions of all replicas together. */
  maxSessions: number;
  /** Requests of one session that a replica runs at once. */
  maxRunningPerSession: number;
  /** Subscriptions to resources of one session. */
  maxSubscriptions: number;
  /** How long clients are told to wait before they come back. */
  retryMs: number;
  keepAliveMs: number;
  /** Bytes that may wait for a slow client before it is disconnected. */
  maxBacklog: number;
  /** How long a stopping replica goes on with what it runs before others take it over. */
  drainMs: number;
  heartbeatMs: number;
  heartbeatTtlMs: number;
}

export const SESSION_DEFAULTS: SessionOptions = {
  ttlMs: 3_600_000,
  maxSessions: 50_000,
  maxRunningPerSession: 64,
  maxSubscriptions: 256,
  retryMs: 1_500,
  keepAliveMs: 15_000,
  maxBacklog: 4 * 1024 * 1024,
  drainMs: 3_000,
  heartbeatMs: 1_500,
  heartbeatTtlMs: 5_000,
};

export interface SessionDeps {
  nc: NatsConnection;
  /** Stable name of this replica. */
  instance: string;
  createServer: (options: ServerOptions) => Server;
  /** What is behind each MCP server, by its name. */
  servers: ReadonlyMap<string, ServerParts>;
  report: FaultReporter;
  /** Requests of sessions that this replica runs. */
  requests: Limit;
  /** Streams that its clients have open with GET. */
  streams: Limit;
  log: Logger;
  options?: Partial<SessionOptions>;
}

/** Requests that run as commands. */
const COMMANDS = new Set(['tools/call', 'resources/read', 'prompts/get']);
const SESSION_NOT_FOUND = -32001;
/** What the 2025 revisions say of requests that are wrong outside of JSON-RPC. */
const BAD_REQUEST = -32000;
/** How often it is looked whether those who run what clients here wait for are still there. */
const CHECK_MS = 1_000;
const MAX_URI_CHARS = 2_048;

/** Who makes a request, and of which MCP server. */
interface Caller {
  principal: Principal;
  server: string;
}

/** What a router is made of; one of each for the process. */
interface Parts {
  log: EventLog;
  records: SessionRecords;
  changes: ChangeLog;
  replicas: Replicas;
  exchanges: Exchanges;
  sse: SseStreams;
  standalone: StandaloneStreams;
}

export class SessionRouter {
  readonly #resumed = new Map<string, ResumedStream>();
  readonly #resuming: ResumedParts;
  readonly #checking: NodeJS.Timeout;
  readonly #unfollow: () => void;
  readonly #warn: (error: unknown) => void;
  #draining = false;

  private constructor(
    private readonly deps: SessionDeps,
    private readonly options: SessionOptions,
    private readonly parts: Parts,
  ) {
    const { changes, exchanges, log, replicas } = parts;
    this.#warn = warner(deps.log);
    this.#resuming = {
      log,
      replicas,
      retryMs: options.retryMs,
      isRunningHere: (stream) => exchanges.get(stream) !== undefined,
      takeOver: (session, stream, opened) => this.#takeOver(session, stream, opened),
      onError: this.#warn,
    };
    this.#checking = setInterval(() => this.#resumed.forEach((stream) => void stream.check()), CHECK_MS).unref();
    const unfollow = [...deps.servers.values()].map((behind) => followLists(behind, changes, this.#warn));
    this.#unfollow = () => unfollow.forEach((end) => end());
    replicas.answer = (question) => this.#answerReplica(question);
  }

  static async start(deps: SessionDeps): Promise<SessionRouter> {
    const { nc, instance, servers, report } = deps;
    const options = { ...SESSION_DEFAULTS, ...deps.options };
    const { retryMs } = options;
    const onError = warner(deps.log);
    const log = await EventLog.open(nc);
    const records = await SessionRecords.open(nc, options);
    const changes = await ChangeLog.start(log, servers.keys());
    const sse = new SseStreams(options);
    const replicas = await Replicas.join(nc, instance, options, onError);
    const exchangeParts = { log, replicas, report, requests: deps.requests, onError };
    const exchanges = new Exchanges(exchangeParts, options.maxRunningPerSession);
    const standalone = new StandaloneStreams({
      ...{ changes, records, replicas, retryMs, onError },
      streams: sse,
      servers,
    });
    return new SessionRouter(deps, options, { log, records, changes, replicas, exchanges, sse, standalone });
  }

  /** A resource has changed: the sessions that subscribed to it are told. */
  resourceChanged(uri: string): Promise<void> {
    return this.parts.changes.resourceChanged(uri);
  }

  /** Answers one request that has passed the edge. `body` is the parsed message of a POST. */
  serve(req: IncomingMessage, res: ServerResponse, principal: Principal, server: string, body?: unknown): void {
    this.#serve(req, res, { principal, server }, body).catch((error: unknown) =>
      this.#fault(res, error, readableId(body)),
    );
  }

  /** Lets go of everything in order: clients come back to another replica, which carries on. */
  async close(): Promise<void> {
    const { changes, exchanges, log, replicas, sse, standalone } = this.parts;
    this.#draining = true;
    clearInterval(this.#checking);
    this.#unfollow();
    changes.stop();
    await standalone.close();
    for (const stream of this.#resumed.values()) stream.end();
    await exchanges.drain(this.options.drainMs);
    await replicas.leave();
    sse.close();
    log.close();
  }

  async #serve(req: IncomingMessage, res: ServerResponse, caller: Caller, body: unknown): Promise<void> {
    if (this.#draining) throw new CallboardError('unavailable', 'This replica is stopping', { retryAfterMs: 1_000 });
    switch (req.method) {
      case 'POST':
        return this.#post(req, res, caller, body);
      case 'GET':
        return this.#get(req, res, caller);
      default:
        return this.#delete(req, res, caller);
    }
  }

  async #post(req: IncomingMessage, res: ServerResponse, caller: Caller, body: unknown): Promise<void> {
    const id = readableId(body);
    if (!accepts(req, 'application/json') || !accepts(req, 'text/event-stream')) {
      return refuse(res, 406, 'Accept must list both application/json and text/event-stream', { id });
    }
    const message = readMessage(body);
    if (!message) return refuse(res, 400, 'Not a JSON-RPC message', { id, code: RPC.invalidRequest });
    const isInitialize = 'method' in message && message.method === 'initialize';
    if (isInitialize && !header(req, 'mcp-session-id')) return this.#initialize(req, res, caller, message);
    const session = await this.#findSession(req, res, caller, id);
    if (!session) return;
    if (isInitialize) return refuse(res, 400, 'The session is initialized already', { id, code: RPC.invalidRequest });
    if (!isJSONRPCRequest(message)) {
      await this.#hear(session, message);
      res.writeHead(202).end();
    } else if (COMMANDS.has(message.method)) {
      await this.#runOnStream(req, res, session, message);
    } else {
      await this.#answerAtOnce(req, res, session, message);
    }
  }

  async #get(req: IncomingMessage, res: ServerResponse, caller: Caller): Promise<void> {
    if (!accepts(req, 'text/event-stream')) return refuse(res, 406, 'Accept must list text/event-stream');
    const session = await this.#findSession(req, res, caller);
    if (!session) return;
    const { streams } = this.deps;
    if (!streams.tryTake()) throw streams.refusal();
    res.once('close', () => streams.release());
    const lastEventId = header(req, 'last-event-id');
    if (!lastEventId) return this.#openStandalone(res, session);
    const position = parseEventId(lastEventId);
    if (position?.stream === session.record.standalone.stream) {
      return this.#openStandalone(res, session, position);
    }
    const found = position ? await ResumedStream.find(this.parts.log, session, position) : 'unknown';
    if (!position || found === 'unknown') return refuse(res, 400, 'Last-Event-ID is not of this session');
    // Nothing will come any more. Of the answers to a GET that MCP knows, this one lets clients rest.
    if (found === 'ended') return refuse(res, 405, 'The stream has ended', { headers: { Allow: 'POST, DELETE' } });
    this.#resume(res, session, position, found);
  }

  async #delete(req: IncomingMessage, res: ServerResponse, caller: Caller): Promise<void> {
    const session = await this.#findSession(req, res, caller);
    if (!session) return;
    // First of all: from here on no replica finds it.
    await this.parts.records.remove(session);
    this.parts.replicas.tellEveryone({ about: 'session_ended', session: session.id });
    res.writeHead(200, { 'Content-Length': 0 }).end();
  }

  /** The session that a request names. Answers the request itself when it names none that lives and is the caller's. */
  async #findSession(
    req: IncomingMessage,
    res: ServerResponse,
    { principal, server }: Caller,
    id: RequestId | null = null,
  ): Promise<Session | undefined> {
    const { records } = this.parts;
    const sessionId = header(req, 'mcp-session-id');
    const revision = header(req, 'mcp-protocol-version');
    if (!sessionId) return refuse(res, 400, 'Mcp-Session-Id is required', { id });
    if (revision !== undefined && !SUPPORTED_PROTOCOL_VERSIONS.includes(revision)) {
      const known = SUPPORTED_PROTOCOL_VERSIONS.join(', ');
      return refuse(res, 400, `MCP-Protocol-Version must be one of ${known}`, { id });
    }
    const session = await records.load(sessionId, principal, server);
    if (!session) return refuse(res, 404, 'Session not found', { id, code: SESSION_NOT_FOUND });
    records.touch(session).catch(this.#warn);
    return session;
  }

  async #initialize(req: IncomingMessage, res: ServerResponse, caller: Caller, message: JSONRPCMessage): Promise<void> {
    if (!isInitializeRequest(message)) {
      return refuse(res, 400, 'Invalid params for initialize', { id: readableId(message), code: RPC.invalidParams });
    }
    const request = message as JSONRPCRequest;
    const id = newSessionId();
    const session = new Session(id, newRecord(caller, request, this.parts.changes.position), 0, caller.principal);
    const response = await this.#ask(req, session, request);
    if (!('result' in response)) return answerJson(res, 400, JSON.stringify(response));
    session.record.protocol_version = String(response.result['protocolVersion']);
    await this.parts.records.create(id, session.record, caller.principal);
    answerJson(res, 200, JSON.stringify(response), { 'Mcp-Session-Id': id });
  }

  /** A request whose answer is not stored: one JSON body, or one event for a client that names that first. */
  async #answerAtOnce(
    req: IncomingMessage,
    res: ServerResponse,
    session: Session,
    request: JSONRPCRequest,
  ): Promise<void> {
    const text = JSON.stringify(await this.#ask(req, session, request));
    if (!prefersEvents(req)) return answerJson(res, 200, text, { 'Mcp-Session-Id': session.id });
    const sse = this.parts.sse.open(res, session.id);
    sse.event(undefined, Buffer.from(text));
    sse.end();
  }

  /** A request that runs as a command: everything that is said of it goes through the log of its stream. */
  async #runOnStream(
    req: IncomingMessage,
    res: ServerResponse,
    session: Session,
    request: JSONRPCRequest,
  ): Promise<void> {
    const { exchanges, records, sse } = this.parts;
    const exchange = exchanges.begin(session, newStreamId('r'), request);
    let sequence: number;
    try {
      sequence = await exchange.open(messagingHeaders(req));
    } catch (error) {
      exchange.abandon();
      throw error;
    }
    const stream = sse.open(res, session.id);
    stream.onKeepAlive = () => void records.touch(session).catch(this.#warn);
    if (session.readsEmptyEvents) stream.prime(eventId(sequence, exchange.stream), this.options.retryMs);
    exchange.attach(stream);
    await this.#run(exchange, (name) => header(req, name), false);
  }

  #takeOver(session: Session, stream: string, { request, headers }: OpenRecord): void {
    if (this.#draining) return;
    this.deps.log.info({ stream, method: request.method }, 'taking a request over');
    const exchange = this.parts.exchanges.continue(session, stream, request);
    this.#run(exchange, (name) => headers[name], true).catch(this.#warn);
  }

  #run(exchange: Exchange, headerOf: (name: string) => string | undefined, takenOver: boolean): Promise<void> {
    const { session, stream } = exchange;
    const isCancelled = () => exchange.cancelled;
    return exchange.run(() => this.#newServer(session, headerOf, isCancelled, { stream, takenOver }));
  }

  /** Has a server answer one request, and drops whatever else it says. */
  #ask(req: IncomingMessage, session: Session, request: JSONRPCRequest): Promise<JSONRPCMessage> {
    return new Promise((resolve, reject) => {
      const transport = new SessionTransport(session.id, '', async (message) => {
        if (!('method' in message)) resolve(message);
      });
      const headerOf = (name: string) => header(req, name);
      const server = this.#newServer(session, headerOf, () => false, { stream: '', takenOver: false });
      const initialize = request.method === 'initialize' ? undefined : session.record.initialize;
      transport
        .connect(server, initialize)
        .then(() => transport.receive(request))
        .catch(reject);
    });
  }

  #newServer(
    session: Session,
    headerOf: (name: string) => string | undefined,
    isCancelled: () => boolean,
    served: { stream: string; takenOver: boolean },
  ): Server {
    const { createServer } = this.deps;
    const parts = this.#partsOf(session);
    const { principal } = session;
    return createServer({
      era: 'legacy',
      principal,
      header: headerOf,
      parts,
      isCancelled,
      session: this.#memoryOf(session, served),
    });
  }

  /** A session is found only at the server that it is of, so the server is there. */
  #partsOf({ server }: Session): ServerParts {
    return this.deps.servers.get(server)!;
  }

  #memoryOf(session: Session, served: { stream: string; takenOver: boolean }): SessionMemory {
    const { records, changes } = this.parts;
    const { events, server } = this.#partsOf(session);
    const subscriptions = async (change: (uris: Set<string>) => void) => {
      const changed = await records.change(session, (record) => {
        const uris = new Set(record.subscriptions);
        change(uris);
        if (uris.size > this.options.maxSubscriptions) {
          throw new CallboardError('overloaded', 'Too many subscriptions of one session');
        }
        if (uris.size === record.subscriptions.length) return false;
        record.subscriptions = [...uris];
        record.events_since = positionsOf(record, events.position);
        return true;
      });
      if (changed) await changes.subscriptionsChanged(session.id);
    };
    return {
      logLevel: () => session.record.log_level,
      setLogLevel: async (level) => {
        await records.change(session, (record) => record.log_level !== level && Boolean((record.log_level = level)));
      },
      subscribe: async (uri) => {
        if (uri.length > MAX_URI_CHARS) throw new CallboardError('invalid_arguments', 'The URI is too long');
        if (isEventUri(uri) && !(server.spec.events && parseEventUri(uri))) {
          throw new CallboardError('invalid_arguments', `The URI is none of events: ${EVENT_URI_TEMPLATE}`);
        }
        await subscriptions((uris) => uris.add(uri));
      },
      unsubscribe: (uri) => subscriptions((uris) => uris.delete(uri)),
      implicitKey: () => served.stream,
      takenOver: served.takenOver,
    };
  }

  async #openStandalone(res: ServerResponse, session: Session, position?: StreamPosition): Promise<void> {
    if (await this.parts.standalone.open(session, res, position)) return;
    refuse(res, 409, 'The session has a stream open already');
  }

  #resume(
    res: ServerResponse,
    session: Session,
    position: { sequence: number; stream: string },
    found: Exclude<Awaited<ReturnType<typeof ResumedStream.find>>, string>,
  ): void {
    const { stream } = position;
    // The client is here now: an older connection is dead, or about to be.
    this.#resumed.get(stream)?.end();
    this.parts.exchanges.get(stream)?.detach();
    const sse = this.parts.sse.open(res, session.id);
    const resumed = ResumedStream.start(this.#resuming, session, position, found, sse);
    this.#resumed.set(stream, resumed);
    sse.onKeepAlive = () => void this.parts.records.touch(session).catch(() => sse.end());
    sse.onClose = () => {
      resumed.stop();
      if (this.#resumed.get(stream) === resumed) this.#resumed.delete(stream);
    };
    if (sse.closed) sse.onClose();
  }

  /** Notifications of the client, and its answers to questions. */
  async #hear(session: Session, message: JSONRPCMessage): Promise<void> {
    const { exchanges } = this.parts;
    if (!('method' in message)) await exchanges.answer(session, message.id, message);
    else if (message.method === 'notifications/cancelled') exchanges.cancel(session, message);
    else if (message.method === 'notifications/progress') {
      await exchanges.answer(session, message.params?.['progressToken'], message);
    }
  }

  /** What another replica asks of this one. */
  #answerReplica(question: Question): boolean {
    const { exchanges, standalone } = this.parts;
    const session = question['session'] as string;
    switch (question.about) {
      case 'standalone_open':
        return standalone.holds(session);
      case 'standalone_end':
        standalone.end(session);
        return true;
      case 'session_ended':
        standalone.end(session);
        for (const resumed of this.#resumed.values()) if (resumed.sessionId === session) resumed.end();
        return true;
      default:
        return exchanges.receive(question);
    }
  }

  #fault(res: ServerResponse, error: unknown, id: RequestId | null): void {
    if (res.headersSent) {
      this.#warn(error);
      res.destroy();
    } else if (error instanceof CallboardError) {
      answerRefusal(res, error, { id });
    } else if (error instanceof Error && AWAY.has(error.name)) {
      this.#warn(error);
      answerRefusal(res, new CallboardError('unavailable', undefined, { retryAfterMs: 1_000 }), { id });
    } else {
      answerRpcError(res, 500, id, toRpcError(error, this.deps.report));
    }
  }
}

/** What the NATS client throws when its server, or the server's streams, cannot be reached now. */
const AWAY = new Set(['TimeoutError', 'NoRespondersError', 'RequestError', 'ConnectionError', 'JetStreamError']);

/** From where on each resource of events is told; one that is new, from now on. */
function positionsOf({ subscriptions, events_since: before = {} }: SessionRecord, now: number): Record<string, number> {
  return Object.fromEntries(subscriptions.filter(isEventUri).map((uri) => [uri, before[uri] ?? now]));
}

function newRecord({ principal, server }: Caller, initialize: JSONRPCRequest, position: number): SessionRecord {
  const { tenantId, userId } = principal;
  const now = Date.now();
  return {
    principal: { tenantId, userId },
    ...(server !== '' && { server }),
    initialize: initialize as SessionRecord['initialize'],
    protocol_version: '',
    created_at: new Date(now).toISOString(),
    used_at: now,
    subscriptions: [],
    standalone: { stream: newStreamId('g'), position },
  };
}

function refuse(
  res: ServerResponse,
  status: number,
  message: string,
  options: { id?: RequestId | null; code?: number; headers?: Record<string, string> } = {},
): undefined {
  answerRpcError(res, status, options.id ?? null, { code: options.code ?? BAD_REQUEST, message }, options.headers);
}

function warner(log: Logger): (error: unknown) => void {
  return (error) => log.warn({ err: error }, 'sessions: a step failed');
}
