/** One tools/call of the 2026 revision: what it asks of the invoker, and how its answer is written. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '@callboard/access';
import type { InputKind, RegisteredAction } from '@callboard/actions';
import { LOG_LEVELS, type JsonObject, type LogLevel, type Progress } from '@callboard/envelope';
import {
  CLIENT_CAPABILITIES_META_KEY,
  LOG_LEVEL_META_KEY,
  MissingRequiredClientCapabilityError,
  SERVER_INFO_META_KEY,
  type ClientCapabilities,
} from '@modelcontextprotocol/server';
import { answerJson, type RequestId } from './answers.js';
import { TaskRequired, type Invocation } from './call.js';
import { KEEP_ALIVE_MS, SSE_HEADERS, frame } from './event-frames.js';
import { checkQuestion, inputKinds, missingKinds } from './input-rounds.js';
import { RPC, toRpcError } from './protocol-errors.js';
import { isLoud, logParams, progressParams, type ServerParts } from './server-factory.js';
import { REQUIRES_TASKS, declaresTasks } from './tasks.js';
import type { Departure } from './waiting.js';

/** Progress for a client that does not read is dropped past this many unsent bytes; the result is not. */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** What a call needs to know of who serves it. */
export interface Serving {
  readonly parts: ServerParts;
  /** Is this replica about to stop? A connection that closes then was not closed by its client. */
  readonly closing: boolean;
}

/** A header of a request, by its lower-case name. */
export function headerOf(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name];
  return typeof value === 'string' ? value : undefined;
}

export class ToolCall implements Invocation {
  inputResponses?: JsonObject;
  requestState?: string;
  onProgress?: (fact: Progress) => void;
  #leave: ((how: Departure) => void) | undefined;
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
    private readonly serving: Serving,
  ) {
    this.#capabilities = meta[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
    const logLevel = meta[LOG_LEVEL_META_KEY];
    if (LOG_LEVELS.includes(logLevel as LogLevel)) this.#logLevel = logLevel as LogLevel;
    if (meta.progressToken !== undefined || this.#logLevel !== undefined) this.onProgress = (fact) => this.#tell(fact);
    res.once('close', () => {
      if (!res.writableFinished) this.#leave?.(this.#departure);
    });
  }

  readonly header = (name: string): string | undefined => headerOf(this.req, name);

  onGone(leave: (how: Departure) => void): void {
    if (this.res.closed) leave(this.#departure);
    else this.#leave = leave;
  }

  get #departure(): Departure {
    return this.serving.closing ? 'cut_off' : 'cancelled';
  }

  get acceptsTask(): boolean {
    return declaresTasks(this.meta);
  }

  get inputCapabilities(): readonly InputKind[] {
    return inputKinds(this.#capabilities);
  }

  async run(inputResponses: JsonObject | undefined, requestState: unknown): Promise<void> {
    try {
      const missing = missingKinds(this.action.requires_input, this.#capabilities);
      if (missing) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: missing });
      if (inputResponses) this.inputResponses = inputResponses;
      if (requestState !== undefined) this.requestState = this.serving.parts.seal.open(requestState, this.#binding);
      this.#succeed(await this.serving.parts.invoker.invoke(this));
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
        answer.requestState = this.serving.parts.seal.seal(result.requestState, this.#binding);
      }
    } else {
      answer = { ...result, resultType: result.resultType === 'task' ? 'task' : 'complete' };
    }
    answer._meta = {
      ...(result._meta as JsonObject | undefined),
      [SERVER_INFO_META_KEY]: this.serving.parts.server.info,
    };
    this.#finish(200, { result: answer, jsonrpc: '2.0', id: this.id });
  }

  #fail(thrown: unknown): void {
    if (this.res.destroyed) return;
    const error =
      thrown instanceof TaskRequired
        ? new MissingRequiredClientCapabilityError({ requiredCapabilities: REQUIRES_TASKS })
        : thrown;
    const rpcError = toRpcError(error, this.serving.parts.report);
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
