/**
 * The life of a command in a runner, from its delivery to its outcome. Read `run` top to bottom.
 *
 * The order of commands is kept outside: the ordered keyed consumer hands over one command of a key at a time and goes on with
 * the key when `run` says `ended`. So whatever must hold its key back (a retry that waits, an outcome that cannot be stored) does
 * it by not returning.
 *
 * Guaranteed: `ended` is returned only when the stream holds an outcome of this command. Not guaranteed: that the effect of the
 * action happened once; a process that dies between effect and outcome leaves a command that is run again with a higher attempt.
 *
 * Whatever an action throws or returns, its command ends: what cannot be told to a caller as it is becomes a failure.
 */
import {
  ActionError,
  checkArguments,
  type ActionDefinition,
  type ActionReturn,
  type ActionSet,
} from '@callboard/actions';
import {
  CallboardError,
  actionId,
  parseEnvelope,
  type CommandEnvelope,
  type ErrorBody,
  type JsonObject,
} from '@callboard/envelope';
import {
  STREAM,
  type DeadLetterPublisher,
  type Delivery,
  type Ending,
  type Handled,
  type OutcomePublisher,
  type ProgressLog,
} from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';
import type { RunnerMetrics } from './metrics.js';
import { RunningCommand } from './running-command.js';

export interface CommandRunnerDependencies {
  actions: ActionSet;
  outcomes: OutcomePublisher;
  progress: ProgressLog;
  deadLetters: DeadLetterPublisher;
  metrics: RunnerMetrics;
  log: Logger;
}

/** How one attempt went, and so what happens next. */
type Attempt =
  | { kind: 'succeeded'; result: JsonObject }
  | { kind: 'failed'; error: ErrorBody }
  | { kind: 'retryable'; error: ErrorBody }
  | { kind: 'deadline'; settled: Promise<unknown> };

export class CommandRunner {
  constructor(private readonly deps: CommandRunnerDependencies) {}

  /** Never rejects. `left` only when this process is stopping or may no longer run the command. */
  async run(delivery: Delivery): Promise<Handled> {
    try {
      return await this.#run(delivery);
    } catch (error) {
      if (!(error instanceof MayNoLonger))
        this.deps.log.error({ err: error }, 'a command is left: a fault of the runner');
      return 'left';
    }
  }

  async #run(delivery: Delivery): Promise<Handled> {
    const command = this.#read(delivery);
    if (command instanceof CallboardError) return this.#refuse(delivery, command);

    const action = this.deps.actions.get(actionId(command));
    if (!action)
      return this.#end(delivery, command, { status: 'failed', error: errorOf('unknown_action', command), attempts: 0 });

    const wrongArguments = argumentsError(action, command);
    if (wrongArguments) return this.#end(delivery, command, { status: 'failed', error: wrongArguments, attempts: 0 });

    let attempt = delivery.mayHaveBegun ? await this.#nextAttemptAfterAnotherOwner(delivery, command) : 1;
    for (; ; attempt += 1) {
      // An expired command is never started.
      if (Date.now() >= Date.parse(command.deadline_at)) return this.#endByDeadline(delivery, command, attempt - 1);
      if (attempt > 1) await this.#recordAttempt(delivery, command, attempt);
      if (delivery.signal.aborted) return 'left';

      const went = await this.#attempt(action, command, delivery, attempt);
      // A success is worth writing even when the lease is gone: it saves the next owner a second effect, and the stream arbitrates.
      if (delivery.signal.aborted && went.kind !== 'succeeded') {
        if (went.kind === 'deadline') await went.settled;
        return 'left';
      }

      switch (went.kind) {
        case 'succeeded':
          return this.#end(delivery, command, { status: 'succeeded', result: went.result, attempts: attempt });
        case 'failed':
          return this.#end(delivery, command, { status: 'failed', error: went.error, attempts: attempt });
        case 'deadline':
          await this.#endByDeadline(delivery, command, attempt);
          // The key goes on only when the handler is out of the way: its effect could still come.
          await went.settled;
          return 'ended';
        case 'retryable':
          if (attempt >= action.descriptor.retry.max_attempts)
            return this.#giveUp(delivery, command, action, attempt, went.error);
          if (!(await this.#waitForNextAttempt(action, command, delivery, attempt))) return 'left';
      }
    }
  }

  #read(delivery: Delivery): CommandEnvelope | CallboardError {
    try {
      const command = parseEnvelope(delivery.data);
      const { address } = delivery;
      const agrees =
        command.tenant_id === address.tenantId &&
        command.correlation_id === address.correlationId &&
        command.ordering_key === address.orderingKey &&
        command.tool === address.tool &&
        command.method === address.method;
      return agrees ? command : new CallboardError('invalid_request', 'The envelope and its subject do not agree');
    } catch (error) {
      return error instanceof CallboardError ? error : new CallboardError('invalid_request');
    }
  }

  /** A message that is no command: it is kept as a dead letter, and whoever waits at its subject is told. */
  async #refuse(delivery: Delivery, error: CallboardError): Promise<Handled> {
    const { address } = delivery;
    this.deps.log.warn(
      { sequence: delivery.sequence, code: error.code, reason: error.message },
      'refused a message that is no command',
    );
    await this.#deadLetter(delivery, address.correlationId, error.code, 0, error.toBody());
    const named = {
      tenant_id: address.tenantId,
      correlation_id: address.correlationId,
      tool: address.tool,
      method: address.method,
    };
    return this.#end(delivery, named as CommandEnvelope, {
      status: 'dead_lettered',
      error: error.toBody(),
      attempts: 0,
    });
  }

  async #attempt(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
  ): Promise<Attempt> {
    const running = new RunningCommand(command, delivery, attempt, this.deps.progress);
    let timer: NodeJS.Timeout | undefined;
    delivery.acting = true;
    const handled = act(action, command, running).then(
      (returned): Attempt => {
        const result = toResult(action, returned);
        return result ? { kind: 'succeeded', result } : { kind: 'failed', error: errorOf('action_failed', command) };
      },
      (error: unknown): Attempt => this.#classify(error, command, running),
    );
    void handled.then(() => (delivery.acting = false));
    const deadline = new Promise<Attempt>((resolve) => {
      timer = setTimeout(
        () => {
          running.abort(new CallboardError('deadline_exceeded'));
          resolve({ kind: 'deadline', settled: handled });
        },
        Math.min(Date.parse(command.deadline_at) - Date.now(), MAX_TIMER_MS),
      );
    });
    const went = await Promise.race([handled, deadline]);
    clearTimeout(timer);
    running.end();
    await running.said;
    return went;
  }

  #classify(error: unknown, command: CommandEnvelope, running: RunningCommand): Attempt {
    if (error instanceof ActionError) {
      const body = {
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        correlation_id: command.correlation_id,
      };
      return { kind: error.retryable ? 'retryable' : 'failed', error: body };
    }
    // What a handler throws unforeseen may hold anything, in its message too: the caller gets a code, the log where it happened.
    // A handler that was told to stop and did is none of it.
    if (!running.stopped) {
      this.deps.log.warn(
        { correlation_id: command.correlation_id, action: actionId(command), ...whereItHappened(error) },
        'an attempt failed unforeseen',
      );
    }
    return { kind: 'retryable', error: errorOf('action_failed', command) };
  }

  async #nextAttemptAfterAnotherOwner(delivery: Delivery, command: CommandEnvelope): Promise<number> {
    const last = await this.#insist(delivery, command.correlation_id, () => this.deps.progress.last(command));
    return (last?.attempt ?? 1) + 1;
  }

  /** Durable before the attempt begins, so that a later owner counts on from here. */
  async #recordAttempt(delivery: Delivery, command: CommandEnvelope, attempt: number): Promise<void> {
    this.deps.metrics.retries.inc({ action: actionId(command) });
    const fact = { kind: 'attempt', correlation_id: command.correlation_id, attempt } as const;
    await this.#insist(delivery, command.correlation_id, () => this.deps.progress.publish(command, fact, 0));
  }

  /** Returns false when the process is to stop: the next owner makes the next attempt. */
  async #waitForNextAttempt(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
  ): Promise<boolean> {
    const { backoff_ms, max_backoff_ms } = action.descriptor.retry;
    const ceiling = Math.min(max_backoff_ms, backoff_ms * 2 ** (attempt - 1));
    const untilDeadline = Date.parse(command.deadline_at) - Date.now();
    const backoff = ceiling * (0.5 + Math.random() / 2);
    // A timer may fire a little early; an attempt must not begin in the last millisecond because of that.
    await waitUnless(delivery.draining, Math.min(backoff, Math.max(0, untilDeadline) + TIMER_SLACK_MS));
    return !delivery.draining.aborted;
  }

  async #giveUp(
    delivery: Delivery,
    command: CommandEnvelope,
    action: ActionDefinition,
    attempts: number,
    error: ErrorBody,
  ): Promise<Handled> {
    // One attempt was all that was ever meant: that is a failure, not a command that gave up.
    if (action.descriptor.retry.max_attempts === 1)
      return this.#end(delivery, command, { status: 'failed', error, attempts });
    await this.#deadLetter(delivery, command.correlation_id, 'attempts_exhausted', attempts, error);
    const body = { ...errorOf('dead_lettered', command), message: error.message };
    return this.#end(delivery, command, { status: 'dead_lettered', error: body, attempts });
  }

  #endByDeadline(delivery: Delivery, command: CommandEnvelope, attempts: number): Promise<Handled> {
    return this.#end(delivery, command, {
      status: 'deadline_exceeded',
      error: errorOf('deadline_exceeded', command),
      attempts,
    });
  }

  async #deadLetter(
    delivery: Delivery,
    correlationId: string,
    reason: string,
    attempts: number,
    last_error: ErrorBody,
  ): Promise<void> {
    const { subject, sequence, data } = delivery;
    const letter = { reason, attempts, last_error, stream: STREAM.commands, subject, sequence };
    await this.#insist(delivery, correlationId, () => this.deps.deadLetters.publish(letter, data));
  }

  async #end(delivery: Delivery, command: CommandEnvelope, ending: Ending): Promise<Handled> {
    const written = await this.#insist(delivery, command.correlation_id, () =>
      this.deps.outcomes.publish(command, ending),
    );
    // Whoever may publish commands could otherwise make a time series of every name.
    const action = this.deps.actions.get(actionId(command)) ? actionId(command) : 'unknown';
    this.deps.metrics.outcomes.inc({ action, status: written === 'written' ? ending.status : 'late' });
    return 'ended';
  }

  /**
   * Does not give up: what cannot be stored or read now (no server, no room) holds its key back until it can.
   * @throws MayNoLonger when this process must leave the command.
   */
  async #insist<T>(delivery: Delivery, correlationId: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (delivery.signal.aborted) throw new MayNoLonger();
        this.deps.log.warn({ correlation_id: correlationId, err: error }, 'a fact could not be kept; trying again');
        await waitUnless(delivery.signal, RETRY_MS);
      }
    }
  }
}

class MayNoLonger extends Error {}

const RETRY_MS = 1_000;
const TIMER_SLACK_MS = 5;

/** A handler that throws at once is one that rejects. */
async function act(action: ActionDefinition, command: CommandEnvelope, running: RunningCommand): Promise<ActionReturn> {
  return action.run(command.args, running);
}

/** Longer timers fire at once in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

function argumentsError(action: ActionDefinition, command: CommandEnvelope): ErrorBody | undefined {
  try {
    checkArguments(action.descriptor, command.args);
    return undefined;
  } catch (error) {
    return { ...(error as CallboardError).toBody(), correlation_id: command.correlation_id };
  }
}

function errorOf(code: ConstructorParameters<typeof CallboardError>[0], command: CommandEnvelope): ErrorBody {
  return new CallboardError(code, undefined, { correlationId: command.correlation_id }).toBody();
}

/** What a handler returns, as the result that MCP has for its surface; `undefined` when it is none. */
function toResult(action: ActionDefinition, returned: ActionReturn): JsonObject | undefined {
  if (typeof returned === 'string') return { content: [{ type: 'text', text: returned }] };
  if (returned === null || typeof returned !== 'object' || Array.isArray(returned)) return undefined;
  if (action.descriptor.surface.kind !== 'tool' || returned['resultType'] === 'input_required' || 'content' in returned)
    return returned;
  try {
    return { content: [{ type: 'text', text: JSON.stringify(returned) }], structuredContent: returned };
  } catch {
    return undefined;
  }
}

function whereItHappened(error: unknown): { thrown: string; at?: string[] } {
  if (!(error instanceof Error)) return { thrown: typeof error };
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  return { thrown: error.name, at: frames.slice(0, 5).map((line) => line.trim()) };
}

function waitUnless(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
