/** For specs of the edge: the real front on a real port, with actions that run in the process instead of behind a broker. */
import type { ServerResponse } from 'node:http';
import {
  Authenticator,
  ProtectedResources,
  ServerSpec,
  StaticTokens,
  type Access,
  type StaticToken,
} from '@callboard/access';
import {
  ActionSet,
  defineAction,
  definePrompt,
  defineResource,
  inputRequired,
  type ActionContext,
  type ActionDefinition,
  type CatalogView,
  type RegisteredAction,
} from '@callboard/actions';
import { MemoryAudit } from '@callboard/audit';
import { CallboardError, type JsonObject, type Progress } from '@callboard/envelope';
import { FailedAuthentications, HttpServer, Limit, ResourceMetadata } from '@callboard/http';
import type { CommandClient } from '@callboard/jetstream';
import { rawRequest, requestBytes, type HttpAnswer, type HttpHeaders } from '@callboard/testing';
import { InMemoryServerEventBus } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { answerJson } from './answers.js';
import type { Invocation } from './call.js';
import { McpEdge, type EdgeOptions, type SessionFront } from './edge.js';
import type { Handles } from './handles.js';
import { StateSeal } from './input-rounds.js';
import { McpServer } from './mcp-server.js';
import { ModernFront } from './modern.js';
import { HIDDEN_SAGAS } from './sagas/saga-resources.js';
import type { ServerParts } from './server-factory.js';
import { openAccess } from './spec-access.js';
import { Tasks } from './tasks.js';

const localhost = ['localhost', '127.0.0.1', '[::1]'];

export const specActions = new ActionSet([
  defineAction({
    id: 'demo.echo',
    description: 'Returns the text',
    input: z.object({ text: z.string() }),
    run: ({ text }) => text,
  }),
  defineAction({
    id: 'demo.progress',
    description: 'Reports twice, logs once',
    input: z.object({}),
    run: (_, context) => {
      context.progress(1, 2, 'half');
      context.log('warning', { what: 'a line' }, 'spec');
      context.log('debug', 'a detail');
      context.progress(2, 2);
      return 'done';
    },
  }),
  defineAction({
    id: 'demo.routed',
    description: 'Has an argument that is mirrored in a header',
    input: { type: 'object', properties: { region: { type: 'string', 'x-mcp-header': 'Region' } } },
    run: ({ region }) => String(region),
  }),
  defineAction({
    id: 'demo.samples',
    description: 'Needs a client that can sample',
    input: z.object({}),
    requiresInput: ['sampling'],
    run: () => 'sampled',
  }),
  defineAction({
    id: 'demo.asks',
    description: 'Asks for a name, and remembers that it did',
    input: z.object({}),
    run: (_, context) =>
      context.requestState === 'asked'
        ? `state-ok ${JSON.stringify(context.inputResponses)}`
        : inputRequired({
            inputRequests: {
              name: { method: 'elicitation/create', params: { message: 'Name?', requestedSchema: { type: 'object' } } },
            },
            requestState: 'asked',
          }),
  }),
  defineAction({
    id: 'demo.hangs',
    description: 'Never ends by itself',
    input: z.object({}),
    run: () => new Promise<string>(() => undefined),
  }),
  defineAction({
    id: 'demo.breaks',
    description: 'Fails in a way that nobody foresaw',
    input: z.object({}),
    run: () => {
      throw new Error('secret of the server');
    },
  }),
  defineResource({
    name: 'note',
    uri: 'spec://note/{id}',
    description: 'A note',
    run: ({ uri, id }) => ({ contents: [{ uri, text: String(id) }] }),
  }),
  definePrompt({
    name: 'greet',
    description: 'A greeting',
    arguments: [{ name: 'who', required: true, suggestions: ['Ada', 'Alan', 'Grace'] }],
    run: ({ who }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Greet ${who}` } }] }),
  }),
]);

function viewOf(actions: ActionDefinition[]): CatalogView {
  const registered = actions.map(({ descriptor }): RegisteredAction => ({
    ...descriptor,
    service: 'spec',
    instances: 1,
  }));
  return { version: 'spec', actions: new Map(registered.map((action) => [action.id, action])) };
}

/** Runs the action here and now. */
async function invoke(call: Invocation): Promise<JsonObject> {
  const definition = specActions.get(call.action.id);
  if (!definition) throw new CallboardError('unknown_action');
  let told = 0;
  const tell = (fact: Partial<Progress>) =>
    call.onProgress?.({ correlation_id: 'c_spec', attempt: 1, ...fact } as Progress, ++told);
  const context = {
    progress: (progress: number, total?: number, message?: string) =>
      tell({ kind: 'progress', progress, ...(total !== undefined && { total }), ...(message && { message }) }),
    log: (level: 'info', data: unknown, logger?: string) =>
      tell({ kind: 'log', level, data, ...(logger !== undefined && { logger }) }),
    inputResponses: call.inputResponses ?? {},
    requestState: call.requestState,
    inputCapabilities: new Set(call.inputCapabilities),
  } as unknown as ActionContext;
  const result = await definition.run(call.args, context);
  const whole = typeof result === 'string' ? { content: [{ type: 'text', text: result }] } : result;
  return { ...whole, _meta: { 'io.callboard/correlation_id': 'c_spec' } };
}

/** Where there are no events, and no NATS. */
export const NO_EVENTS: ServerParts['events'] = {
  list: () => [],
  checkSubscribe: () => undefined,
  maySubscribe: () => true,
  read: () => Promise.reject(new CallboardError('unavailable')),
  position: 0,
  mayHaveSince: () => false,
  watch: () => () => undefined,
  told: () => undefined,
};

export interface SpecFront {
  port: number;
  parts: ServerParts;
  audit: MemoryAudit;
  bus: InMemoryServerEventBus;
  modern: ModernFront;
  requests: Limit;
  bodies: Limit;
  listens: Limit;
  /** Bytes that clients have not taken yet, and that no socket has room for. */
  unsent(): number;
  /** What the log was told of. */
  faults: unknown[];
  stop(): Promise<void>;
}

export interface SpecFrontOptions extends Partial<EdgeOptions> {
  /** Runs commands for real, instead of actions in the process. */
  commands?: Pick<ServerParts, 'invoker' | 'tasks'>;
  events?: ServerParts['events'];
  eventsExtension?: ServerParts['eventsExtension'];
  server?: ServerSpec;
  /** Path of policies; without it everything is allowed. */
  policies?: string;
  /** More actions than `specActions`. */
  actions?: ActionSet;
  /** Is it not known which actions there are? */
  mayLack?: boolean;
  /** Instead of `tokens` and `anonymous`. */
  access?: Access;
  /** 0, unless it must be known before. */
  port?: number;
  tokens?: StaticToken[];
  anonymous?: boolean;
  /** Of one address, which is the last of X-Forwarded-For; no limit unless it is given. */
  maxFailedAuthentications?: number;
  maxRequests?: number;
  maxBodiesBytes?: number;
  maxListens?: number;
  requestTimeoutMs?: number;
}

export async function startSpecFront(options: SpecFrontOptions = {}): Promise<SpecFront> {
  const faults: unknown[] = [];
  const report = (fault: unknown) => void faults.push(fault);
  const audit = new MemoryAudit();
  const { access } = await openAccess(options.policies, audit);
  const parts: ServerParts = {
    audit,
    access,
    server: new McpServer(options.server ?? new ServerSpec(''), {
      view: viewOf([...specActions, ...(options.actions ?? [])]),
      mayLack: options.mayLack ?? false,
      onChange: () => () => undefined,
    }),
    ...(options.commands ?? {
      invoker: { invoke, withdraw: () => undefined },
      tasks: new Tasks({} as Handles, {} as CommandClient, access),
    }),
    events: options.events ?? NO_EVENTS,
    sagas: HIDDEN_SAGAS,
    eventsExtension: options.eventsExtension,
    seal: new StateSeal(Buffer.alloc(32, 7)),
    report,
  };
  const bus = new InMemoryServerEventBus();
  const requests = new Limit('requests', options.maxRequests ?? 256, 1_000);
  const bodies = new Limit('request bytes', options.maxBodiesBytes ?? 64 * 1024 * 1024, 1_000);
  const listens = new Limit('subscriptions', options.maxListens ?? 16, 5_000);
  const modern = new ModernFront(parts, bus, listens);
  const sessions: SessionFront = {
    serve: (req, res, principal, _server, body) =>
      answerJson(res, 200, JSON.stringify({ session: req.method, principal, body })),
  };
  const resources = new ProtectedResources(options.access ?? { settings: { issuers: [] } });
  const resource = () => resources.of(parts.server.spec);
  const metadata = new ResourceMetadata(() => [resource()], resource);
  const edge = new McpEdge(
    {
      allowedHosts: options.allowedHosts ?? localhost,
      allowedOrigins: options.allowedOrigins ?? localhost,
      maxBodyBytes: options.maxBodyBytes ?? 1024 * 1024,
      maxDepth: options.maxDepth ?? 64,
    },
    options.access?.authenticator ??
      new Authenticator([new StaticTokens(options.tokens ?? [])], { anonymous: options.anonymous ?? true }),
    requests,
    bodies,
    new Map([['', modern]]),
    resources,
    sessions,
    report,
    audit,
    new FailedAuthentications({ maxFailedAuthentications: options.maxFailedAuthentications ?? 0, trustedHops: 1 }),
  );
  options.access?.onChange(() => edge.lookAtStreamsAgain());
  const responses = new Set<ServerResponse>();
  const server = new HttpServer(
    {
      host: '127.0.0.1',
      port: options.port ?? 0,
      requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
      maxConnections: 1_000,
    },
    (req, res) => {
      responses.add(res);
      res.once('close', () => responses.delete(res));
      if (McpEdge.isMcp(req)) edge.handle(req, res);
      else if (ResourceMetadata.isMetadata(req)) metadata.handle(req, res);
      else res.writeHead(404).end('not MCP');
    },
  );
  const port = await server.start();
  const stop = async () => {
    await modern.close();
    await server.stop(0);
  };
  const unsent = () => [...responses].reduce((bytes, { writableLength }) => bytes + writableLength, 0);
  return { port, parts, audit, bus, modern, requests, bodies, listens, unsent, faults, stop };
}

export const ENVELOPE = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

/** The body as JSON, or the last frame of a stream. */
interface RpcJson {
  result?: JsonObject;
  error?: { code: number; message: string; data?: JsonObject };
  id?: unknown;
}

export type SpecHeaders = HttpHeaders;
export type RawAnswer = HttpAnswer<RpcJson>;

export function raw(port: number, bytes: string | Buffer | (string | Buffer)[]): Promise<RawAnswer> {
  return rawRequest<RpcJson>(port, bytes);
}

/** A request as bytes; a header set to `undefined` is left out. */
export function request(body: string | Buffer, headers: SpecHeaders = {}, method = 'POST', path = '/mcp'): Buffer {
  return requestBytes(
    method,
    path,
    { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body,
  );
}

/** A well-formed request of the 2026 revision, with whatever the spec changes about it. */
export function modernRequest(
  method: string,
  params: JsonObject = {},
  change: { headers?: SpecHeaders; meta?: JsonObject; message?: JsonObject; path?: string } = {},
): Buffer {
  const name = params.name ?? params.uri ?? params.taskId;
  const message = {
    jsonrpc: '2.0',
    id: 'id-1',
    method,
    params: { _meta: { ...ENVELOPE, ...change.meta }, ...params },
    ...change.message,
  };
  const headers = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    ...(typeof name === 'string' && { 'mcp-name': name }),
    ...change.headers,
  };
  return request(JSON.stringify(message), headers, 'POST', change.path);
}
