/**
 * The 2026-07-28 revision. Calling and listing tools, which is nearly all of what clients do, is answered here without an SDK
 * server: no instance, no web Request and Response, no schema is made for a request. Everything else goes to the SDK's handler,
 * and so does every request whose headers do not plainly agree with its body: the SDK knows the right refusal.
 *
 * What a client sees is the same on both roads, down to the frames of a stream: `modern.spec.ts` compares them. The front end's part
 * of a call costs about a tenth of the CPU time that the SDK's stateless handler with ten tools takes for a whole one.
 *
 * A client that closes the connection is gone: nothing more is written, and nobody waits for the outcome. The command goes on.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { InputKind, RegisteredAction } from '@callboard/actions';
import { CallboardError, LOG_LEVELS, type JsonObject, type LogLevel, type Progress } from '@callboard/envelope';
import {
  CLIENT_CAPABILITIES_META_KEY,
  LOG_LEVEL_META_KEY,
  MissingRequiredClientCapabilityError,
  SERVER_INFO_META_KEY,
  createMcpHandler,
  type ClientCapabilities,
  type InboundModernRoute,
  type McpHttpHandler,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import { answerJson, answerRefusal, answerRpcError, type RequestId } from './answers.js';
import type { Invocation, Principal } from './call.js';
import { checkQuestion, inputKinds, missingKinds } from './input-rounds.js';
import type { Limit } from './limit.js';
import { Listing } from './listing.js';
import { decodeHeaderValue, mismatchedParam } from './param-headers.js';
import { MODERN_REVISION } from './plain-request.js';
import { RPC, toRpcError } from './protocol-errors.js';
import {
  LIST_CACHE,
  SERVER_INFO,
  createServer,
  isLoud,
  logParams,
  progressParams,
  type ServerParts,
} from './server-factory.js';
import { sendWebResponse, toWebRequest } from './web-bridge.js';

const KEEP_ALIVE_MS = 15_000;
/** Progress for a client that does not read is dropped past this many unsent bytes; the result is not. */
const MAX_UNSENT_BYTES = 1024 * 1024;

const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};

const STOPPING = new CallboardError('unavailable', 'This replica is stopping', { retryAfterMs: 1_000 });

export class ModernFront {
  readonly #sdk: McpHttpHandler;
  #closing = false;
  #toolsOf: Listing | undefined;
  #toolsResult = '';

  constructor(
    private readonly parts: ServerParts,
    bus: ServerEventBus,
    private readonly listens: Limit,
  ) {
    this.#sdk = createMcpHandler(
      ({ authInfo }) => {
        const { principal, header } = authInfo!.extra as unknown as Caller;
        return createServer({ era: 'modern', principal, header, parts });
      },
      // The limit in front refuses earlier, and with the status of a refusal.
      { legacy: 'reject', bus, maxSubscriptions: Infinity, keepAliveMs: KEEP_ALIVE_MS },
    );
  }

  /** Ends every open `subscriptions/listen` in order, and takes no more of what the SDK serves. */
  close(): Promise<void> {
    this.#closing = true;
    return this.#sdk.close();
  }

  serve(
    req: IncomingMessage,
    res: ServerResponse,
    body: unknown,
    principal: Principal,
    route: InboundModernRoute,
  ): void {
    if (route.classification.revision !== MODERN_REVISION) return this.#serveBySdk(req, res, body, principal);
    // Nothing that a client can notify of changes anything here: cancelling a request is closing its stream.
    if (route.messageKind === 'notification') return void res.writeHead(202).end();
    const { id, method, params } = route.message;
    if (!this.#headersAgree(req, method, params)) return this.#serveBySdk(req, res, body, principal);
    switch (method) {
      case 'tools/list':
        if (params?.cursor !== undefined) return this.#refuseParams(res, id, method);
        return answerJson(res, 200, `{"result":${this.#tools()},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`);
      case 'tools/call':
        return this.#callTool(req, res, id, params ?? {}, principal);
      case 'subscriptions/listen':
        return this.#listen(req, res, id, body, principal);
      default:
        return this.#serveBySdk(req, res, body, principal);
    }
  }

  /** Are the three headers there, and do they say what the body says? */
  #headersAgree({ headers }: IncomingMessage, method: string, params: JsonObject | undefined): boolean {
    if (headers['mcp-protocol-version'] !== MODERN_REVISION || headers['mcp-method'] !== method) return false;
    const named = method === 'resources/read' ? params?.uri : params?.name;
    if (method !== 'tools/call' && method !== 'prompts/get' && method !== 'resources/read') return true;
    const name = headers['mcp-name'];
    return (
      typeof name === 'string' && typeof named === 'string' && (name === named || decodeHeaderValue(name) === named)
    );
  }

  /** The result of tools/list, as text: the same for every caller until the catalog changes. */
  #tools(): string {
    const listing = Listing.of(this.parts.catalog.view);
    if (listing !== this.#toolsOf) {
      this.#toolsOf = listing;
      this.#toolsResult = JSON.stringify({
        tools: listing.tools,
        resultType: 'complete',
        ...LIST_CACHE,
        _meta: { [SERVER_INFO_META_KEY]: SERVER_INFO },
      });
    }
    return this.#toolsResult;
  }

  #callTool(req: IncomingMessage, res: ServerResponse, id: RequestId, params: JsonObject, principal: Principal): void {
    const { name, arguments: args = {}, inputResponses, requestState } = params;
    const meta = params._meta as JsonObject;
    if (typeof name !== 'string' || !isObject(args) || (inputResponses !== undefined && !isObject(inputResponses))) {
      return this.#refuseParams(res, id, 'tools/call');
    }
    const entry = Listing.of(this.parts.catalog.view).tool(name);
    if (!entry) return answerRefusal(res, new CallboardError('unknown_action', 'Unknown tool'), { status: 200, id });
    if (entry.headers.length > 0) {
      const mismatch = mismatchedParam(entry.headers, args, req.headers);
      if (mismatch) {
        const message = `Bad Request: the request headers and body disagree: ${mismatch.header}: ${mismatch.body}`;
        return answerRpcError(res, 400, id, { code: RPC.headerMismatch, message, data: { mismatch } });
      }
    }
    const call = new ToolCall(req, res, id, principal, entry.action, args, meta, this.parts);
    void call.run(inputResponses, requestState);
  }

  #listen(req: IncomingMessage, res: ServerResponse, id: RequestId, body: unknown, principal: Principal): void {
    if (!this.listens.tryTake()) return answerRefusal(res, this.listens.refusal(), { id });
    res.once('close', () => this.listens.release());
    this.#serveBySdk(req, res, body, principal);
  }

  #refuseParams(res: ServerResponse, id: RequestId, method: string): void {
    answerRpcError(res, 200, id, { code: RPC.invalidParams, message: `Invalid params for ${method}` });
  }

  #serveBySdk(req: IncomingMessage, res: ServerResponse, body: unknown, principal: Principal): void {
    if (this.#closing) return answerRefusal(res, STOPPING, { headers: { Connection: 'close' } });
    const caller: Caller = { principal, header: (name) => headerOf(req, name) };
    const authInfo = { token: '', clientId: principal.userId, scopes: [], extra: { ...caller } };
    this.#sdk
      .fetch(toWebRequest(req, res), { parsedBody: body, authInfo })
      .then((response) => sendWebResponse(response, res))
      .catch((error: unknown) => {
        if (res.headersSent) res.destroy();
        else answerRpcError(res, 500, null, toRpcError(error, this.parts.report));
      });
  }
}

/** What travels through the SDK to the factory of servers. */
interface Caller {
  principal: Principal;
  header(name: string): string | undefined;
}

function headerOf(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** One tools/call: what it asks of the invoker, and how its answer is written. */
class ToolCall implements Invocation {
  inputResponses?: JsonObject;
  requestState?: string;
  onProgress?: (fact: Progress) => void;
  #leave: (() => void) | undefined;
  readonly #capabilities: ClientCapabilities | undefined;
  readonly #logLevel: LogLevel | undefined;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly id: RequestId,
    readonly principal: Principal,
    readonly action: RegisteredAction,
    readonly args: JsonObject,
    readonly meta: JsonObject,
    private readonly parts: ServerParts,
  ) {
    this.#capabilities = meta[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
    const logLevel = meta[LOG_LEVEL_META_KEY];
    if (LOG_LEVELS.includes(logLevel as LogLevel)) this.#logLevel = logLevel as LogLevel;
    if (meta.progressToken !== undefined || this.#logLevel !== undefined) this.onProgress = (fact) => this.#tell(fact);
    res.once('close', () => {
      if (!res.writableFinished) this.#leave?.();
    });
  }

  readonly header = (name: string): string | undefined => headerOf(this.req, name);

  onGone(leave: () => void): void {
    if (this.res.closed) leave();
    else this.#leave = leave;
  }

  get inputCapabilities(): readonly InputKind[] {
    return inputKinds(this.#capabilities);
  }

  async run(inputResponses: JsonObject | undefined, requestState: unknown): Promise<void> {
    try {
      const missing = missingKinds(this.action.requires_input, this.#capabilities);
      if (missing) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: missing });
      if (inputResponses) this.inputResponses = inputResponses;
      if (requestState !== undefined) this.requestState = this.parts.seal.open(requestState, this.#binding);
      this.#succeed(await this.parts.invoker.invoke(this));
    } catch (error) {
      this.#fail(error);
    }
  }

  get #binding() {
    return { method: 'tools/call', actionId: this.action.id, principal: this.principal };
  }

  #succeed(result: JsonObject): void {
    let answer: JsonObject;
    if (result.resultType === 'input_required') {
      checkQuestion(result, this.#capabilities);
      answer = { ...result };
      if (typeof result.requestState === 'string') {
        answer.requestState = this.parts.seal.seal(result.requestState, this.#binding);
      }
    } else {
      answer = { ...result, resultType: 'complete' };
    }
    answer._meta = { ...(result._meta as JsonObject | undefined), [SERVER_INFO_META_KEY]: SERVER_INFO };
    this.#finish(200, { result: answer, jsonrpc: '2.0', id: this.id });
  }

  #fail(error: unknown): void {
    if (this.res.destroyed) return;
    const rpcError = toRpcError(error, this.parts.report);
    // The one error of a handler that the revision gives a status of its own.
    const status = rpcError.code === RPC.missingCapability ? 400 : 200;
    this.#finish(status, { jsonrpc: '2.0', id: this.id, error: rpcError });
  }

  #finish(status: number, message: JsonObject): void {
    if (!this.res.headersSent) return answerJson(this.res, status, JSON.stringify(message));
    clearInterval(this.#keepAlive);
    this.res.end(frame(message));
  }

  /** The first thing told turns the answer into a stream. */
  #tell(fact: Progress): void {
    const { res } = this;
    if (res.destroyed || res.writableEnded || res.writableLength > MAX_UNSENT_BYTES) return;
    const notification = this.#notification(fact);
    if (!notification) return;
    if (!res.headersSent) {
      res.writeHead(200, SSE_HEADERS);
      this.#keepAlive = setInterval(() => res.write(': keepalive\n\n'), KEEP_ALIVE_MS).unref();
      res.once('close', () => clearInterval(this.#keepAlive));
    }
    res.write(frame(notification));
  }

  #notification(fact: Progress): JsonObject | undefined {
    if (fact.kind === 'progress') {
      const token = this.meta.progressToken as RequestId | undefined;
      if (token === undefined) return undefined;
      return { jsonrpc: '2.0', method: 'notifications/progress', params: progressParams(fact, token) };
    }
    if (fact.kind !== 'log' || this.#logLevel === undefined || !isLoud(fact.level, this.#logLevel)) return undefined;
    return { jsonrpc: '2.0', method: 'notifications/message', params: logParams(fact) };
  }
}

function frame(message: JsonObject): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
