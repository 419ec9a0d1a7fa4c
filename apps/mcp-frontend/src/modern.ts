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
import type { Principal } from '@callboard/access';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import type { Limit } from '@callboard/http';
import {
  MissingRequiredClientCapabilityError,
  SERVER_INFO_META_KEY,
  createMcpHandler,
  type InboundModernRoute,
  type McpHttpHandler,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import { answerJson, answerRefusal, answerRpcError, type RequestId } from './answers.js';
import { KEEP_ALIVE_MS } from './event-frames.js';
import { isObject } from './is-object.js';
import { decodeHeaderValue, mismatchedParam, type HeaderMismatch } from './param-headers.js';
import { MODERN_REVISION } from './plain-request.js';
import { RPC, toRpcError } from './protocol-errors.js';
import type { ShownLists } from './server-access.js';
import { LIST_CACHE, createServer, type ServerParts } from './server-factory.js';
import { ListenStreams, costOf, needsOwnStream, readListenFilter } from './listen-streams.js';
import { REQUIRES_TASKS, declaresTasks } from './tasks.js';
import { ToolCall, headerOf, type Serving } from './tool-call.js';
import { sendWebResponse, toWebRequest } from './web-bridge.js';

const STOPPING = new CallboardError('unavailable', 'This replica is stopping', { retryAfterMs: 1_000 });

/** The member of its params that a method's Mcp-Name header repeats. */
const NAMED_BY = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId'],
]);

export class ModernFront implements Serving {
  closing = false;
  readonly #sdk: McpHttpHandler;
  readonly #listenStreams: ListenStreams;
  /** Results of tools/list, as text. The lists are others when the server is described otherwise. */
  readonly #tools = new WeakMap<ShownLists, string>();

  constructor(
    readonly parts: ServerParts,
    bus: ServerEventBus,
    private readonly listens: Limit,
  ) {
    this.#sdk = createMcpHandler(
      ({ authInfo }) => {
        const { principal, header } = authInfo!.extra as unknown as Caller;
        return createServer({ era: 'modern', principal, header, parts, isCancelled: () => !this.closing });
      },
      // The limit in front refuses earlier, and with the status of a refusal.
      { legacy: 'reject', bus, maxSubscriptions: Infinity, keepAliveMs: KEEP_ALIVE_MS },
    );
    this.#listenStreams = new ListenStreams(parts, bus);
  }

  /** Ends every open `subscriptions/listen` in order, and takes no more of what the SDK serves. */
  close(): Promise<void> {
    this.closing = true;
    this.#listenStreams.close();
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
        return answerJson(
          res,
          200,
          `{"result":${this.#listTools(principal)},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`,
        );
      case 'tools/call':
        return this.#callTool(req, res, id, params ?? {}, principal);
      case 'tasks/get':
      case 'tasks/update':
      case 'tasks/cancel':
        return void this.#serveTask(res, id, method, params ?? {}, principal);
      case 'events/list':
      case 'events/poll':
        return this.#serveEvents(req, res, id, method, body, params ?? {}, principal);
      case 'subscriptions/listen':
        return this.#listen(req, res, id, body, params ?? {}, principal);
      default:
        return this.#serveBySdk(req, res, body, principal);
    }
  }

  /** Are the three headers there, and do they say what the body says? */
  #headersAgree({ headers }: IncomingMessage, method: string, params: JsonObject | undefined): boolean {
    if (headers['mcp-protocol-version'] !== MODERN_REVISION || headers['mcp-method'] !== method) return false;
    const member = NAMED_BY.get(method);
    if (member === undefined) return true;
    const named = params?.[member];
    const name = headers['mcp-name'];
    return (
      typeof name === 'string' && typeof named === 'string' && (name === named || decodeHeaderValue(name) === named)
    );
  }

  /** The result of tools/list, as text: the same for all who may call the same, until the catalog or the policies change. */
  #listTools(principal: Principal): string {
    const { access, server } = this.parts;
    const lists = access.listsOf(server.listing, principal);
    let text = this.#tools.get(lists);
    if (text === undefined) {
      const _meta = { [SERVER_INFO_META_KEY]: server.info };
      text = JSON.stringify({ tools: lists.tools, resultType: 'complete', ...LIST_CACHE, _meta });
      this.#tools.set(lists, text);
    }
    return text;
  }

  #refuseUnknown(res: ServerResponse, id: RequestId): void {
    const error = this.parts.server.unknown('tool');
    answerRefusal(res, error, error.retryable ? { id } : { status: 200, id });
  }

  #callTool(req: IncomingMessage, res: ServerResponse, id: RequestId, params: JsonObject, principal: Principal): void {
    const { name, arguments: args = {}, inputResponses, requestState } = params;
    const meta = params._meta as JsonObject;
    if (typeof name !== 'string' || !isObject(args) || (inputResponses !== undefined && !isObject(inputResponses))) {
      return this.#refuseParams(res, id, 'tools/call');
    }
    const entry = this.parts.server.listing.tool(name);
    if (!entry) return this.#refuseUnknown(res, id);
    if (entry.headers.length > 0) {
      const mismatch = mismatchedParam(entry.headers, args, req.headers);
      if (mismatch) return refuseMismatch(res, id, mismatch);
    }
    const call = new ToolCall(req, res, id, principal, entry.action, args, meta, this);
    void call.run(inputResponses, requestState);
  }

  async #serveTask(
    res: ServerResponse,
    id: RequestId,
    method: 'tasks/get' | 'tasks/update' | 'tasks/cancel',
    { taskId, inputResponses, _meta: meta }: JsonObject,
    principal: Principal,
  ): Promise<void> {
    const { tasks, report } = this.parts;
    try {
      if (!declaresTasks(meta as JsonObject)) return refuseWithoutTasks(res, id);
      if (typeof taskId !== 'string') return this.#refuseParams(res, id, method);
      let result: JsonObject = {};
      if (method === 'tasks/get') {
        result = await tasks.get(principal, taskId);
      } else if (method === 'tasks/cancel') {
        await tasks.cancel(principal, taskId);
      } else {
        if (!isObject(inputResponses)) return this.#refuseParams(res, id, method);
        await tasks.update(principal, taskId, inputResponses);
      }
      this.#answer(res, id, result);
    } catch (error) {
      answerRpcError(res, 200, id, toRpcError(error, report));
    }
  }

  #serveEvents(
    req: IncomingMessage,
    res: ServerResponse,
    id: RequestId,
    method: 'events/list' | 'events/poll',
    body: unknown,
    params: JsonObject,
    principal: Principal,
  ): void {
    const { eventsExtension, report } = this.parts;
    // The SDK knows how an unknown method is refused.
    if (!eventsExtension) return this.#serveBySdk(req, res, body, principal);
    eventsExtension
      .serve(method, principal, params)
      .then((result) => this.#answer(res, id, result))
      .catch((error: unknown) => answerRpcError(res, 200, id, toRpcError(error, report)));
  }

  #listen(
    req: IncomingMessage,
    res: ServerResponse,
    id: RequestId,
    body: unknown,
    params: JsonObject,
    principal: Principal,
  ): void {
    const { notifications } = params;
    if (!isObject(notifications) || !needsOwnStream(notifications) || this.closing) {
      if (!this.listens.tryTake()) return answerRefusal(res, this.listens.refusal(), { id });
      res.once('close', () => this.listens.release());
      return this.#serveBySdk(req, res, body, principal);
    }
    const namesTasks = notifications.taskIds !== undefined;
    if (namesTasks && !declaresTasks(params._meta as JsonObject)) return refuseWithoutTasks(res, id);
    const filter = readListenFilter(notifications);
    if (!filter) return this.#refuseParams(res, id, 'subscriptions/listen');
    const cost = costOf(filter);
    if (!this.listens.tryTake(cost)) return answerRefusal(res, this.listens.refusal(), { id });
    res.once('close', () => this.listens.release(cost));
    this.#listenStreams.open(res, id, filter, principal);
  }

  #answer(res: ServerResponse, id: RequestId, result: JsonObject): void {
    const _meta = { [SERVER_INFO_META_KEY]: this.parts.server.info };
    answerJson(res, 200, JSON.stringify({ result: { ...result, resultType: 'complete', _meta }, jsonrpc: '2.0', id }));
  }

  #refuseParams(res: ServerResponse, id: RequestId, method: string): void {
    answerRpcError(res, 200, id, { code: RPC.invalidParams, message: `Invalid params for ${method}` });
  }

  #serveBySdk(req: IncomingMessage, res: ServerResponse, body: unknown, principal: Principal): void {
    if (this.closing) return answerRefusal(res, STOPPING, { headers: { Connection: 'close' } });
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

function refuseMismatch(res: ServerResponse, id: RequestId, mismatch: HeaderMismatch): void {
  const message = `Bad Request: the request headers and body disagree: ${mismatch.header}: ${mismatch.body}`;
  answerRpcError(res, 400, id, { code: RPC.headerMismatch, message, data: { mismatch } });
}

function refuseWithoutTasks(res: ServerResponse, id: RequestId): void {
  const { code, message, data } = new MissingRequiredClientCapabilityError({ requiredCapabilities: REQUIRES_TASKS });
  answerRpcError(res, 400, id, { code, message, data });
}
