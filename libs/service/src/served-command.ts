/** One attempt at a command that came over NATS: what its handler sees, and how it speaks to the runner that sent it. */
import { ActionError, inputKindOf, type ActionContext, type InputKind } from '@callboard/actions';
import {
  CallboardError,
  HEADER,
  parseEnvelope,
  type CommandEnvelope,
  type InputRequest,
  type JsonObject,
  type LogLevel,
} from '@callboard/envelope';
import { traceContextOf, type TraceContext } from '@callboard/tracing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';

/** Thrown through a handler that asks: it is called again from its top with the answers. */
export class Asked extends Error {
  constructor(readonly requests: Record<string, InputRequest>) {
    super('the caller is asked');
  }
}

/** Longer timers fire at once in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class ServedCommand implements ActionContext {
  readonly command: Readonly<CommandEnvelope>;
  readonly attempt: number;
  readonly fence: number;
  readonly idempotencyKey: string;
  readonly reply: string;
  /** The trace of whoever asked. */
  readonly trace: TraceContext;
  readonly #answers: Record<string, JsonObject>;
  readonly #abort = new AbortController();
  readonly #deadline: NodeJS.Timeout;

  /** @throws CallboardError when it is no command */
  constructor(
    private readonly nc: NatsConnection,
    message: Msg,
  ) {
    if (!message.reply) throw new CallboardError('invalid_request', 'A command came without a reply subject');
    this.command = parseEnvelope(message.data);
    const header = (name: string) => message.headers?.get(name) ?? '';
    this.attempt = Number(header(HEADER.attempt)) || 1;
    this.fence = Number(header(HEADER.fence)) || 0;
    this.idempotencyKey = header(HEADER.idempotencyKey) || this.command.correlation_id;
    this.reply = message.reply;
    this.trace = traceContextOf(header(HEADER.traceparent), header(HEADER.tracestate));
    this.#answers = message.json<{ answers?: Record<string, JsonObject> }>().answers ?? {};
    // Whoever sent it may be dead by then.
    const left = Date.parse(this.command.deadline_at) - Date.now();
    this.#deadline = setTimeout(
      () => this.abort(new CallboardError('deadline_exceeded')),
      Math.min(Math.max(0, left), MAX_TIMER_MS),
    );
  }

  get correlationId(): string {
    return this.command.correlation_id;
  }

  get tenantId(): string {
    return this.command.tenant_id;
  }

  get userId(): string {
    return this.command.user_id;
  }

  get deadlineAt(): Date {
    return new Date(this.command.deadline_at);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get inputCapabilities(): ReadonlySet<InputKind> {
    return new Set(this.command.input_capabilities as InputKind[] | undefined);
  }

  get inputResponses(): Readonly<JsonObject> {
    return this.command.input_responses ?? {};
  }

  get requestState(): string | undefined {
    return this.command.request_state;
  }

  /** A far side's progress is told in per cent. */
  progress(progress: number, total = 100, message?: string): void {
    const percent = Math.min(100, Math.max(0, (100 * progress) / total));
    this.say({ status: 'progress', percent, ...(message !== undefined && { message }) });
  }

  /** The protocol has no lines of log: what is text is told as progress. */
  log(_level: LogLevel, data: unknown): void {
    if (typeof data === 'string') this.say({ status: 'progress', message: data });
  }

  secret(): Promise<string> {
    return Promise.reject(new ActionError('Only a runner reads the secrets of an action'));
  }

  async ask(requests: Record<string, InputRequest>): Promise<Record<string, JsonObject>> {
    const keys = Object.keys(requests);
    if (keys.every((key) => key in this.#answers)) {
      return Object.fromEntries(keys.map((key) => [key, this.#answers[key]!]));
    }
    for (const { method } of Object.values(requests)) {
      const kind = inputKindOf(method);
      if (kind && this.inputCapabilities.has(kind)) continue;
      throw new ActionError(`The caller cannot answer ${method}`, { code: 'input_unavailable' });
    }
    throw new Asked(requests);
  }

  answered(): Promise<JsonObject> {
    throw new ActionError('Nobody can answer to a command of this process', { code: 'input_unavailable' });
  }

  abort(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /** Says it once: what is lost in a reconnect is worth nothing later. */
  say(what: JsonObject): void {
    if (!this.nc.isClosed()) this.nc.publish(this.reply, JSON.stringify(what));
  }

  end(): void {
    clearTimeout(this.#deadline);
  }
}
