/**
 * Builds the SDK server for one exchange of the 2026 revision or for one session of the 2025 revisions. One definition serves both
 * eras: what is listed comes from the live catalog at the moment of the request, and what is called runs as a command.
 *
 * A server built here holds no state of its own. What a session must remember (its log level, the resources it subscribed to) is
 * told to `session`, which may live anywhere; without one the server speaks the 2026 revision, which has neither.
 *
 * Notifications of a call (progress, log) are sent in order and before its result. Calls that ask their caller for input are
 * answered with an input_required result on the 2026 revision; on the 2025 revisions the SDK sends the questions as requests and
 * calls the handler again with the answers, so an action never sees the difference.
 */
import type { Principal } from '@callboard/access';
import type { RegisteredAction } from '@callboard/actions';
import type { Audit } from '@callboard/audit';
import { CallboardError, LOG_LEVELS, type JsonObject, type LogLevel, type Progress } from '@callboard/envelope';
import {
  CLIENT_CAPABILITIES_META_KEY,
  LOG_LEVEL_META_KEY,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  SdkError,
  Server,
  isInputRequiredResult,
  type CallToolResult,
  type ClientCapabilities,
  type CompleteRequestParams,
  type CompleteResult,
  type GetPromptResult,
  type InputRequiredResult,
  type JSONRPCRequest,
  type ReadResourceResult,
  type Resource,
  type ResourceTemplateType,
  type Result,
  type ServerCapabilities,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { TaskRequired, type Invocation, type Invoker } from './call.js';
import { EVENT_TEMPLATE, type EventResources } from './events/event-resources.js';
import { isEventUri } from './events/event-uri.js';
import { EVENTS_EXTENSION, type EventsExtension } from './events/events-extension.js';
import { inputKinds, missingKinds, type StateSeal } from './input-rounds.js';
import type { Listing } from './listing.js';
import type { McpServer } from './mcp-server.js';
import { RPC, toRpcError, type FaultReporter } from './protocol-errors.js';
import type { SagaResources } from './sagas/saga-resources.js';
import type { ServerAccess, ShownLists } from './server-access.js';
import { REQUIRES_TASKS, TASKS_EXTENSION, type Tasks } from './tasks.js';

export const SERVER_CAPABILITIES: ServerCapabilities = {
  tools: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  prompts: { listChanged: true },
  completions: {},
  logging: {},
};

function modernCapabilities({ eventsExtension }: ServerParts): ServerCapabilities {
  const extensions = { [TASKS_EXTENSION]: {}, ...(eventsExtension && { [EVENTS_EXTENSION]: {} }) };
  return { ...SERVER_CAPABILITIES, extensions };
}

/** Lists may be kept this long by a client that does not listen for changes. */
export const LIST_CACHE = { ttlMs: 5_000, cacheScope: 'private' } as const;
const CACHE_HINTS = {
  'tools/list': LIST_CACHE,
  'prompts/list': LIST_CACHE,
  'resources/list': LIST_CACHE,
  'resources/templates/list': LIST_CACHE,
  'server/discover': LIST_CACHE,
};

const MAX_COMPLETIONS = 100;

/** What is behind one MCP server; one for each in the process. */
export interface ServerParts {
  server: McpServer;
  access: ServerAccess;
  invoker: Pick<Invoker, 'invoke' | 'withdraw'>;
  tasks: Tasks;
  events: Pick<
    EventResources,
    'checkSubscribe' | 'list' | 'maySubscribe' | 'mayHaveSince' | 'position' | 'read' | 'told' | 'watch'
  >;
  sagas: Pick<SagaResources, 'watch'>;
  /** Where it is switched on. */
  eventsExtension: EventsExtension | undefined;
  seal: StateSeal;
  audit: Audit;
  report: FaultReporter;
}

/** What a 2025-era session remembers between requests, on whichever replica the next one arrives. */
export interface SessionMemory {
  logLevel(): LogLevel | undefined;
  setLogLevel(level: LogLevel): Promise<void>;
  subscribe(uri: string): Promise<void>;
  unsubscribe(uri: string): Promise<void>;
  /** Identity of a call that names no idempotency key, so that a request replayed on another replica is the same command. */
  implicitKey(requestId: string | number): string;
  /** Another replica had the request accepted before. */
  takenOver: boolean;
}

/** In `_meta` of a notification to a session: the number of the fact that it tells, by which the session keeps it once. Never sent. */
export const SEQUENCE_META = 'io.callboard/sequence';

export interface ServerOptions {
  era: 'modern' | 'legacy';
  principal: Principal;
  /** A header of the HTTP request that is being served, by its lower-case name. */
  header(name: string): string | undefined;
  parts: ServerParts;
  /** Asked when a request was aborted: was that its client, who no longer wants the result? */
  isCancelled(): boolean;
  /** Present exactly for the 2025 revisions. */
  session?: SessionMemory;
}

export function createServer(options: ServerOptions): Server {
  const capabilities = options.era === 'modern' ? modernCapabilities(options.parts) : SERVER_CAPABILITIES;
  const { info, spec } = options.parts.server;
  const server = new FrontServer(info, {
    capabilities,
    cacheHints: CACHE_HINTS,
    ...(spec.instructions && { instructions: spec.instructions }),
  });
  const handlers = new Handlers(server, options);
  const guard = guarded(options.parts.report);

  server.setRequestHandler(
    'tools/list',
    guard(async () => ({ tools: handlers.lists.tools })),
  );
  server.setRequestHandler(
    'prompts/list',
    guard(async () => ({ prompts: handlers.lists.prompts })),
  );
  server.setRequestHandler(
    'resources/list',
    guard(async () => ({ resources: handlers.resources })),
  );
  server.setRequestHandler(
    'resources/templates/list',
    guard(async () => ({ resourceTemplates: handlers.resourceTemplates })),
  );
  server.setRequestHandler(
    'tools/call',
    guard(({ params }, ctx) => handlers.callTool(params, ctx)),
  );
  server.setRequestHandler(
    'resources/read',
    guard(({ params }, ctx) => handlers.readResource(params, ctx)),
  );
  server.setRequestHandler(
    'prompts/get',
    guard(({ params }, ctx) => handlers.getPrompt(params, ctx)),
  );
  server.setRequestHandler(
    'completion/complete',
    guard(async ({ params }) => handlers.complete(params)),
  );

  const { session } = options;
  if (session) {
    const done = async (work: Promise<void>) => (await work, {});
    server.setRequestHandler(
      'logging/setLevel',
      guard(({ params }) => done(session.setLogLevel(params.level))),
    );
    server.setRequestHandler(
      'resources/subscribe',
      guard(({ params }) => {
        handlers.checkSubscribe(params.uri);
        return done(session.subscribe(params.uri));
      }),
    );
    server.setRequestHandler(
      'resources/unsubscribe',
      guard(({ params }) => done(session.unsubscribe(params.uri))),
    );
  }
  return server;
}

/** Everything that a handler throws leaves it as a ProtocolError; see FrontServer for why that matters. */
function guarded(report: FaultReporter) {
  return <Request, Answer>(handler: (request: Request, ctx: ServerContext) => Promise<Answer>) =>
    async (request: Request, ctx: ServerContext): Promise<Answer> => {
      try {
        return await handler(request, ctx);
      } catch (error) {
        if (error instanceof ProtocolError) throw error;
        const { code, message, data } = toRpcError(error, report);
        throw new ProtocolError(code, message, data);
      }
    };
}

type RawHandler = (request: JSONRPCRequest, ctx: ServerContext) => Promise<Result>;

/**
 * The SDK answers malformed params of a spec method with its validator's raw findings, in part as an internal error. Our handlers
 * throw nothing but ProtocolErrors, so anything else that comes out of a handler is such a finding: a client gets -32602 instead.
 */
class FrontServer extends Server {
  protected override _wrapHandler(method: string, handler: RawHandler): RawHandler {
    const inner = super._wrapHandler(method, handler);
    return async (request, ctx) => {
      try {
        return await inner(request, ctx);
      } catch (error) {
        if (error instanceof SdkError) throw error;
        if (error instanceof ProtocolError && !error.message.startsWith('Invalid tools/call ')) throw error;
        if (error instanceof ProtocolError && error.message.startsWith('Invalid tools/call result')) {
          throw new ProtocolError(RPC.internal, 'The action returned something that is not a tool result');
        }
        throw new ProtocolError(RPC.invalidParams, `Invalid params for ${method}`);
      }
    };
  }
}

class Handlers {
  constructor(
    private readonly server: Server,
    private readonly options: ServerOptions,
  ) {}

  /** What this caller is shown. */
  get lists(): ShownLists {
    return this.options.parts.access.listsOf(this.listing, this.options.principal);
  }

  get listing(): Listing {
    return this.options.parts.server.listing;
  }

  get resources(): Resource[] {
    const { parts, principal } = this.options;
    return [...this.lists.resources, ...parts.events.list(principal)];
  }

  get resourceTemplates(): ResourceTemplateType[] {
    const { spec } = this.options.parts.server;
    return [...this.lists.resourceTemplates, ...(spec.events ? [EVENT_TEMPLATE] : [])];
  }

  async callTool(
    params: { name: string; arguments?: JsonObject },
    ctx: ServerContext,
  ): Promise<CallToolResult | InputRequiredResult> {
    const entry = this.listing.tool(params.name);
    if (!entry) throw this.options.parts.server.unknown('tool');
    const missing = missingKinds(entry.action.requires_input, this.#clientCapabilities(ctx));
    if (missing) {
      if (this.options.era === 'modern')
        throw new MissingRequiredClientCapabilityError({ requiredCapabilities: missing });
      return needs(Object.keys(missing).join(', '));
    }
    // 2025-11-25: the client is told to come back for the result; the transport offers this only where it can be resumed.
    if (entry.action.long_running) ctx.http?.closeSSE?.();
    const result = await this.#invoke(entry.action, params.arguments ?? {}, ctx).catch((error: unknown) => {
      if (!(error instanceof TaskRequired)) throw error;
      if (this.options.era === 'legacy') return needs(`of tasks, or to be called with "accept_async"`);
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities: REQUIRES_TASKS });
    });
    if (isInputRequiredResult(result)) return result;
    return this.server.projectCallToolResult(result as CallToolResult, entry.action.output_schema);
  }

  async readResource({ uri }: { uri: string }, ctx: ServerContext): Promise<ReadResourceResult | InputRequiredResult> {
    if (isEventUri(uri)) return this.options.parts.events.read(this.options.principal, uri);
    const found = this.listing.resource(uri);
    if (!found) throw new ProtocolError(RPC.resourceNotFound, 'Resource not found', { uri });
    return (await this.#invoke(found.action, found.args, ctx)) as ReadResourceResult | InputRequiredResult;
  }

  /** @throws CallboardError `forbidden` */
  checkSubscribe(uri: string): void {
    const { principal, parts } = this.options;
    const found = this.listing.resource(uri);
    if (isEventUri(uri)) parts.events.checkSubscribe(principal, uri);
    else if (found) parts.access.checkRun(principal, found.action, 'normal');
  }

  async getPrompt(
    params: { name: string; arguments?: Record<string, string> },
    ctx: ServerContext,
  ): Promise<GetPromptResult | InputRequiredResult> {
    const entry = this.listing.prompt(params.name);
    if (!entry) throw this.options.parts.server.unknown('prompt');
    return (await this.#invoke(entry.action, params.arguments ?? {}, ctx)) as GetPromptResult | InputRequiredResult;
  }

  complete({ ref, argument }: CompleteRequestParams): CompleteResult {
    if (ref.type === 'ref/resource') {
      if (!this.resourceTemplates.some(({ uriTemplate }) => uriTemplate === ref.uri))
        throw new CallboardError('not_found', 'Unknown resource template');
      return { completion: { values: [], total: 0, hasMore: false } };
    }
    const prompt = this.listing.prompt(ref.name);
    if (!prompt || !this.lists.prompts.some(({ name }) => name === ref.name)) {
      throw new CallboardError('unknown_action', 'Unknown prompt');
    }
    const suggestions = prompt.arguments.find(({ name }) => name === argument.name)?.suggestions ?? [];
    const fitting = suggestions.filter((suggestion) => suggestion.startsWith(argument.value));
    const values = fitting.slice(0, MAX_COMPLETIONS);
    return { completion: { values, total: fitting.length, hasMore: values.length < fitting.length } };
  }

  async #invoke(action: RegisteredAction, args: JsonObject, ctx: ServerContext): Promise<Result> {
    const { mcpReq } = ctx;
    const { principal, parts, session, isCancelled } = this.options;
    const binding = { method: mcpReq.method, actionId: action.id, principal };
    const sealed = mcpReq.requestState();
    const relay = this.#relay(ctx);
    const requestState = sealed === undefined ? undefined : parts.seal.open(sealed, binding);
    const inputResponses = mcpReq.inputResponses as JsonObject | undefined;
    const invocation: Invocation = {
      principal,
      action,
      args,
      meta: (mcpReq._meta ?? {}) as JsonObject,
      header: this.options.header,
      inputCapabilities: inputKinds(this.#clientCapabilities(ctx)),
      onGone: (leave) => whenAborted(mcpReq.signal, () => leave(isCancelled() ? 'cancelled' : 'cut_off')),
      ...(inputResponses && { inputResponses }),
      ...(requestState !== undefined && { requestState }),
      ...(session && { implicitKey: session.implicitKey(mcpReq.id), accepted: session.takenOver }),
      ...(relay && { onProgress: relay.tell }),
    };
    const result = await parts.invoker.invoke(invocation);
    await relay?.told();
    if (isInputRequiredResult(result) && typeof result.requestState === 'string') {
      const { requestState: round } = result;
      // While a 2025-era client is asked, its request is still open, and can be cancelled.
      if (session) whenAborted(mcpReq.signal, () => isCancelled() && parts.invoker.withdraw(principal, round));
      return { ...result, requestState: parts.seal.seal(round, binding) };
    }
    return result;
  }

  /** Passes on what the caller asked to hear, one after the other: a notification must not overtake another, nor the result. */
  #relay(ctx: ServerContext): { tell(fact: Progress, sequence: number): void; told(): Promise<void> } | undefined {
    const { notify, _meta: meta } = ctx.mcpReq;
    const progressToken = meta?.progressToken;
    const { session } = this.options;
    const threshold = session ? session.logLevel() : (envelopeOf(ctx)?.[LOG_LEVEL_META_KEY] as LogLevel | undefined);
    // Without a level, 2025-era clients hear everything and 2026-era clients nothing.
    const wantsLog = session !== undefined || threshold !== undefined;
    if (progressToken === undefined && !wantsLog) return undefined;

    let tail: Promise<unknown> = Promise.resolve();
    const tell = (fact: Progress, sequence: number) => {
      const mark = session && { _meta: { [SEQUENCE_META]: sequence } };
      if (fact.kind === 'progress' && progressToken !== undefined) {
        const params = { ...progressParams(fact, progressToken), ...mark };
        tail = tail.then(() => notify({ method: 'notifications/progress', params }));
      } else if (fact.kind === 'log' && wantsLog && isLoud(fact.level, threshold)) {
        tail = tail.then(() => notify({ method: 'notifications/message', params: { ...logParams(fact), ...mark } }));
      }
    };
    // A client that is gone hears nothing; its call goes on.
    return { tell, told: () => tail.then(undefined, () => undefined).then(() => undefined) };
  }

  #clientCapabilities(ctx: ServerContext): ClientCapabilities | undefined {
    return this.options.era === 'modern'
      ? (envelopeOf(ctx)?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined)
      : this.server.getClientCapabilities();
  }
}

function envelopeOf(ctx: ServerContext): JsonObject | undefined {
  return ctx.mcpReq.envelope as JsonObject | undefined;
}

export function progressParams(fact: Progress & { kind: 'progress' }, progressToken: string | number) {
  return {
    progressToken,
    progress: fact.progress,
    ...(fact.total !== undefined && { total: fact.total }),
    ...(fact.message !== undefined && { message: fact.message }),
  };
}

export function logParams(fact: Progress & { kind: 'log' }) {
  return { level: fact.level, ...(fact.logger !== undefined && { logger: fact.logger }), data: fact.data };
}

/** Is a message of this level as severe as the threshold, if there is one? */
export function isLoud(level: LogLevel, threshold: LogLevel | undefined): boolean {
  return threshold === undefined || LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(threshold);
}

function needs(what: string): CallToolResult {
  return { isError: true, content: [{ type: 'text', text: `This tool needs a client with the capability ${what}` }] };
}

function whenAborted(signal: AbortSignal, listener: () => void): void {
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
}
