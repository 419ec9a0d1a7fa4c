import { ActionError, inputKindOf, type ActionContext, type InputKind } from '@callboard/actions';
import type { CommandEnvelope, InputRequest, JsonObject, LogLevel, Progress } from '@callboard/envelope';
import type { Delivery, InputExchange, ProgressLog } from '@callboard/jetstream';
import type { AttemptSecrets } from './attempt-secrets.js';

/** Facts of one attempt that are stored; what an action says beyond that is dropped, so that no action can fill the stream. */
const MAX_FACTS = 10_000;
const MAX_FACT_BYTES = 64 * 1024;

/** One attempt at a command: what its handler sees, and when it must stop. */
export class RunningCommand implements ActionContext {
  readonly #command: CommandEnvelope;
  readonly #delivery: Delivery;
  readonly #log: ProgressLog;
  readonly #inputs: InputExchange;
  readonly #secrets: AttemptSecrets;
  #abort: AbortController | undefined;
  #onAbort: (() => void) | undefined;
  #reason: unknown;
  #facts = 0;
  #said: Promise<void> = Promise.resolve();

  constructor(
    command: CommandEnvelope,
    delivery: Delivery,
    readonly attempt: number,
    log: ProgressLog,
    inputs: InputExchange,
    secrets: AttemptSecrets,
  ) {
    this.#command = command;
    this.#delivery = delivery;
    this.#log = log;
    this.#inputs = inputs;
    this.#secrets = secrets;
  }

  get command(): Readonly<CommandEnvelope> {
    return this.#command;
  }

  get correlationId(): string {
    return this.#command.correlation_id;
  }

  get idempotencyKey(): string {
    return this.#command.correlation_id;
  }

  get tenantId(): string {
    return this.#command.tenant_id;
  }

  get userId(): string {
    return this.#command.user_id;
  }

  get deadlineAt(): Date {
    return new Date(this.#command.deadline_at);
  }

  get fence(): number {
    return this.#delivery.fence;
  }

  get inputCapabilities(): ReadonlySet<InputKind> {
    return new Set(this.#command.input_capabilities as InputKind[] | undefined);
  }

  get inputResponses(): Readonly<Record<string, unknown>> {
    return this.#command.input_responses ?? {};
  }

  get requestState(): string | undefined {
    return this.#command.request_state;
  }

  /** Made when it is first asked for: most handlers never look, and a signal is the dearest part of a short command. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      const { signal } = this.#delivery;
      this.#onAbort = () => this.abort(signal.reason);
      signal.addEventListener('abort', this.#onAbort);
      if (signal.aborted) this.#abort.abort(signal.reason);
      else if (this.#reason !== undefined) this.#abort.abort(this.#reason);
    }
    return this.#abort.signal;
  }

  secret(name: string): Promise<string> {
    return this.#secrets.read(name);
  }

  /** What may be told of this attempt: without the secrets that it has read. Undefined when that is nothing that JSON can hold. */
  withoutSecrets<T>(said: T): T | undefined {
    return this.#secrets.cut(said);
  }

  async ask(requests: Record<string, InputRequest>): Promise<Record<string, JsonObject>> {
    const asked = Object.entries(requests);
    for (const [, { method }] of asked) {
      const kind = inputKindOf(method);
      if (kind && this.inputCapabilities.has(kind)) continue;
      throw new ActionError(`The caller cannot answer ${method}`, { code: 'input_unavailable' });
    }
    await Promise.all(asked.map(([key, request]) => this.#inputs.ask(this.#command, key, this.#secrets.cut(request)!)));
    const answers = asked.map(async ([key]) => [key, await this.#answer(key)] as const);
    return Object.fromEntries(await this.#delivery.rest(Promise.all(answers)));
  }

  answered(key: string): Promise<JsonObject> {
    return this.#delivery.rest(this.#answer(key));
  }

  #answer(key: string): Promise<JsonObject> {
    return this.#inputs.answer(this.#command, key, this.signal);
  }

  progress(progress: number, total?: number, message?: string): void {
    this.#say({
      kind: 'progress',
      correlation_id: this.correlationId,
      attempt: this.attempt,
      progress,
      ...(total !== undefined && { total }),
      ...(message !== undefined && { message }),
    });
  }

  log(level: LogLevel, data: unknown, logger?: string): void {
    this.#say({
      kind: 'log',
      correlation_id: this.correlationId,
      attempt: this.attempt,
      level,
      data,
      ...(logger && { logger }),
    });
  }

  /** Has its handler been told to stop? */
  get stopped(): boolean {
    return this.#reason !== undefined || this.#delivery.signal.aborted;
  }

  abort(reason: unknown): void {
    this.#reason = reason;
    this.#abort?.abort(reason);
  }

  /** Resolves when all that was said so far is stored: the outcome must not come before it. */
  get said(): Promise<void> {
    return this.#said;
  }

  /** The attempt is over: nothing holds on to it any more. */
  end(): void {
    this.#facts = MAX_FACTS;
    if (this.#onAbort) this.#delivery.signal.removeEventListener('abort', this.#onAbort);
  }

  #say(fact: Progress): void {
    if (this.#facts >= MAX_FACTS || !isSmall(fact)) return;
    this.#facts += 1;
    // One after the other: what is sent again after a reconnect could otherwise be stored after what followed it.
    const n = this.#facts;
    const told = this.#secrets.cut(fact)!;
    this.#said = this.#said.then(() => this.#log.publish(this.#command, told, n)).catch(() => undefined);
  }
}

/** What JSON cannot hold is no fact either; a line of log must not make an action fail. */
function isSmall(fact: Progress): boolean {
  try {
    return JSON.stringify(fact).length <= MAX_FACT_BYTES;
  } catch {
    return false;
  }
}
