/**
 * Actions of a process that is ours and no runner, served over NATS: the far side of `libs/adapters/src/nats`, and the protocol that
 * processes in other languages speak. docs/adapters.md has it.
 *
 * It announces its actions for as long as it lives, takes their commands with its other instances in one queue group, and says what
 * becomes of each until the runner that asked has heard it, or does not listen any more.
 *
 * Invariants: one attempt of a command runs at a time in this process, and a later one stops the one before (S1); a process that takes the
 * place of a dead one says so at once, so that nobody waits for the dead one's heartbeat to run out (S2). Not guaranteed: that two
 * instances never run attempts of one command at once; a runner that has lost its connection asks again.
 */
import { randomBytes } from 'node:crypto';
import { ActionError, Announcer, type ActionReturn, type ActionSet } from '@callboard/actions';
import {
  CallboardError,
  ERROR_CODES,
  actionId,
  encodeToken,
  type ErrorCode,
  type JsonObject,
} from '@callboard/envelope';
import type { KeyValueStore } from '@callboard/jetstream';
import { ATTRIBUTE, processing, traced } from '@callboard/tracing';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { NoRespondersError, RequestError } from '@nats-io/transport-node';
import { Asked, ServedCommand } from './served-command.js';

export interface ActionServiceOptions {
  /** Name of the service in the registry, and of the queue group. */
  service: string;
  /** The place of this process among its replicas; whoever takes it later is another process. */
  place: string;
  /** What it serves. Each has a binding with this subject. */
  actions: ActionSet;
  subject: string;
  /** Commands at once; more are refused, and asked again elsewhere or later. */
  maxCommands: number;
  onError(error: unknown, command?: { correlation_id: string }): void;
}

const ANSWER_EVERY_MS = 1_000;
/** So often an answer is said again; a runner that is away for longer asks again itself. */
const ANSWERS = 120;
/** NATS cuts the connection of whoever sends more than it allows. */
const LARGEST_ANSWER_BYTES = 1_000_000;
const PROCESS_SUFFIX = /^-[0-9a-f]{8}$/;

export class ActionService {
  readonly #running = new Map<string, { command: ServedCommand; settled: Promise<void> }>();
  readonly #subscriptions: Subscription[] = [];
  readonly #answering = new Set<Promise<void>>();
  readonly #announcer: Announcer;
  readonly #instance: string;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly registry: KeyValueStore,
    private readonly options: ActionServiceOptions,
  ) {
    const { service, place, actions, onError } = options;
    this.#instance = `${place}-${randomBytes(4).toString('hex')}`;
    this.#announcer = new Announcer(registry, actions, { service, instance: this.#instance }, onError);
  }

  /** Resolves when its actions are announced. */
  static async start(
    nc: NatsConnection,
    registry: KeyValueStore,
    options: ActionServiceOptions,
  ): Promise<ActionService> {
    const service = new ActionService(nc, registry, options);
    await service.#start();
    return service;
  }

  /** Commands that it has now. */
  get running(): number {
    return this.#running.size;
  }

  /** Takes no more, ends what it has, at most for a time, and is gone from the registry. */
  async drain(timeoutMs: number): Promise<void> {
    const [commands, ...others] = this.#subscriptions;
    commands?.unsubscribe();
    // Alive, without actions, until it has done what it took.
    const { actions } = this.options;
    for (const { descriptor } of [...actions]) actions.remove(descriptor.id);
    const late = setTimeout(() => {
      for (const { command } of this.#running.values()) command.abort(new Stopping());
    }, timeoutMs);
    while (this.#running.size > 0) await Promise.all([...this.#running.values()].map(({ settled }) => settled));
    clearTimeout(late);
    await Promise.all(this.#answering);
    for (const other of others) other.unsubscribe();
    await this.#announcer.stop();
  }

  async #start(): Promise<void> {
    const { subject, service, onError } = this.options;
    this.#subscriptions.push(
      this.nc.subscribe(subject, {
        queue: service,
        callback: (error, message) => (error ? onError(error) : this.#take(message)),
      }),
      this.nc.subscribe(`${subject}.cancel`, {
        callback: (error, message) => (error ? onError(error) : this.#cancel(message)),
      }),
    );
    await this.#announcer.start();
    await this.#bury();
  }

  /** Takes back what the process before in this place has announced and could not take back itself. */
  async #bury(): Promise<void> {
    const prefix = `services.${encodeToken(this.options.service)}.`;
    const place = encodeToken(this.options.place);
    const dead: string[] = [];
    const watch = await this.registry.watch(`${prefix}*`, (key, value) => {
      const name = key.slice(prefix.length);
      const ofThisPlace = name.startsWith(place) && PROCESS_SUFFIX.test(name.slice(place.length));
      if (value && ofThisPlace && name !== encodeToken(this.#instance)) dead.push(key);
    });
    watch.stop();
    await Promise.all(dead.map((key) => this.registry.delete(key)));
  }

  #take(message: Msg): void {
    let command: ServedCommand;
    try {
      command = new ServedCommand(this.nc, message);
    } catch (error) {
      return this.options.onError(error);
    }
    const full = this.#running.size >= this.options.maxCommands;
    command.say({ status: 'accepted', instance: this.#instance });
    if (full) {
      command.end();
      const error = { code: 'overloaded', message: ERROR_CODES.overloaded.title, retryable: true };
      return this.#answer(command, { status: 'error', error });
    }
    const { correlationId } = command;
    const before = this.#running.get(correlationId);
    before?.command.abort(new Stopping());
    const settled = Promise.resolve(before?.settled)
      .then(() => this.#run(command))
      .then((answer) => {
        command.end();
        if (this.#running.get(correlationId)?.command === command) this.#running.delete(correlationId);
        this.#answer(command, answer);
      });
    this.#running.set(correlationId, { command, settled });
  }

  #cancel(message: Msg): void {
    let told: { correlation_id?: unknown; reason?: unknown } | null;
    try {
      told = message.json();
    } catch (error) {
      return this.options.onError(error);
    }
    const running = this.#running.get(String(told?.correlation_id));
    const reason = String(told?.reason);
    running?.command.abort(reason in ERROR_CODES ? new CallboardError(reason as ErrorCode) : new Stopping());
  }

  /** Never rejects. */
  async #run(command: ServedCommand): Promise<JsonObject> {
    try {
      const action = this.options.actions.get(actionId(command.command));
      // Announced by a process of another version, or not any more.
      if (!action) throw new ActionError('This process does not have the action', { retryable: true });
      const result = await this.#traced(command, () => Promise.resolve(action.run(command.command.args, command)));
      return { status: 'ok', result };
    } catch (error) {
      if (error instanceof Asked) return { status: 'input_required', requests: error.requests };
      if (error instanceof ActionError) return { status: 'error', error: bodyOf(error) };
      const { reason } = command.signal;
      if (command.signal.aborted && reason instanceof CallboardError)
        return { status: 'error', error: { code: reason.code } };
      if (command.signal.aborted) return { status: 'error', error: { message: 'The process stops', retryable: true } };
      this.options.onError(error, { correlation_id: command.correlationId });
      return { status: 'error', error: { message: 'The service met a fault; its log has it', retryable: true } };
    }
  }

  #traced({ trace, tenantId, correlationId, attempt }: ServedCommand, work: () => Promise<ActionReturn>) {
    const { subject } = this.options;
    const { name, ...settings } = processing(subject, {
      [ATTRIBUTE.tenant]: tenantId,
      [ATTRIBUTE.correlationId]: correlationId,
      [ATTRIBUTE.attempt]: attempt,
    });
    return traced(name, { ...settings, parent: trace }, work);
  }

  #answer(command: ServedCommand, answer: JsonObject): void {
    const said = this.#sayUntilHeard(command.reply, answer).catch((error: unknown) =>
      this.options.onError(error, { correlation_id: command.correlationId }),
    );
    this.#answering.add(said);
    void said.then(() => this.#answering.delete(said));
  }

  async #sayUntilHeard(reply: string, answer: JsonObject): Promise<void> {
    let data = Buffer.from(JSON.stringify(answer));
    if (data.byteLength > LARGEST_ANSWER_BYTES) {
      const error = { code: 'payload_too_large', message: ERROR_CODES.payload_too_large.title };
      data = Buffer.from(JSON.stringify({ status: 'error', error }));
    }
    for (let n = 0; n < ANSWERS && !this.nc.isClosed(); n++) {
      try {
        await this.nc.request(reply, data, { timeout: ANSWER_EVERY_MS });
        return;
      } catch (error) {
        if (isNobodyThere(error)) return;
      }
    }
  }
}

/** This process stops, or has another attempt of the command: nothing is said about the command itself. */
class Stopping extends Error {}

function bodyOf(error: ActionError): JsonObject {
  const { code, message, retryable, retryAfterMs, final } = error;
  return {
    code,
    message,
    retryable,
    ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }),
    ...(final && { final }),
  };
}

function isNobodyThere(error: unknown): boolean {
  return error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders());
}
