/**
 * The life of a command in a runner, from its delivery to its outcome. Read `run` top to bottom.
 *
 * The order of commands is kept outside: the ordered keyed consumer hands over one command of a key at a time and goes on with
 * the key when `run` says `ended`. A command that must wait (for its next attempt, for an operator) says `again`: its key waits, and
 * everything else goes on.
 *
 * An action that is neither idempotent nor read-only is never repeated unknowingly: that an attempt begins is stored before it does, and
 * when its end is not known, the action is asked what became of it, or the command ends `in_doubt`.
 *
 * No attempt begins before the audit stream has stored that it does; one that only reads begins meanwhile, and what it read is told to nobody
 * before. When the audit stream takes no records, commands wait, and end by their deadlines.
 *
 * Guaranteed: `ended` is returned only when the stream holds an outcome of this command. Not guaranteed: that the effect of the
 * action happened once; a process that dies between effect and outcome leaves a command that is run again with a higher attempt.
 *
 * Whatever an action throws or returns, its command ends: what cannot be told to a caller as it is becomes a failure.
 */
import { callerOf, runActionOf, toolResource, type Gate } from '@callboard/access';
import {
  ActionError,
  checkArguments,
  type ActionDefinition,
  type ActionReturn,
  type ActionSet,
} from '@callboard/actions';
import type { Found } from '@callboard/adapters';
import type { SecretTexts } from '@callboard/config';
import { begunAttempt, endedAttempts, failedAttempt, type Audit, type AuditFact } from '@callboard/audit';
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
  onEnded,
  type AttemptLog,
  type DeadLetterPublisher,
  type Delivery,
  type Ending,
  type Halts,
  type Handled,
  type InputExchange,
  type OutcomePublisher,
  type ProgressLog,
  backOffMs,
} from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';
import { carry, endSpan, within } from '@callboard/tracing';
import { AttemptSecrets } from './attempt-secrets.js';
import { attemptSpan, tracedEnd, tracedHandover } from './command-trace.js';
import type { RunnerMetrics } from './metrics.js';
import { RunningCommand } from './running-command.js';

export interface CommandRunnerDependencies {
  /** What this process serves itself. */
  actions: ActionSet;
  /** Where else an action may be. */
  elsewhere?: (actionId: string) => Found | undefined;
  outcomes: OutcomePublisher;
  attempts: AttemptLog;
  progress: ProgressLog;
  inputs: InputExchange;
  halts: Halts;
  deadLetters: DeadLetterPublisher;
  /** What may be run, whoever had it accepted. */
  gate: Pick<Gate, 'allows'>;
  audit: Audit;
  /** Reads the secrets that actions declare. */
  secrets: SecretTexts;
  metrics: RunnerMetrics;
  log: Logger;
}

/** How one attempt went, and so what happens next. */
type Attempt =
  | { kind: 'succeeded'; result: JsonObject }
  | { kind: 'failed'; error: ErrorBody }
  | { kind: 'retryable'; error: ErrorBody }
  /** The deadline came, or somebody else ended the command, while the handler was busy. */
  | { kind: 'deadline' | 'ended_elsewhere'; settled: Promise<Attempt> }
  /** Asked what became of an earlier attempt: it had no effect. */
  | { kind: 'not_done' };

/** Which attempt is next, or what comes before there can be one. */
type Next = { attempt: number; record: boolean } | { now: Handled };

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
    return tracedHandover(delivery, command, (traced) => this.#handle(delivery, traced));
  }

  async #handle(delivery: Delivery, command: CommandEnvelope): Promise<Handled> {
    const action = this.#find(command);
    if (action === 'not here') return this.#waitForAction(delivery, command);
    if (!action)
      return this.#end(delivery, command, { status: 'failed', error: errorOf('unknown_action', command), attempts: 0 });

    const wrongArguments = argumentsError(action, command);
    if (wrongArguments) return this.#end(delivery, command, { status: 'failed', error: wrongArguments, attempts: 0 });

    // An expired command is never started.
    if (isExpired(command)) return this.#endByDeadline(delivery, command);
    if (this.#isHalted(command)) return { again: this.#untilReleased(delivery, command) };

    const next = await this.#nextAttempt(action, command, delivery);
    if ('now' in next) return next.now;
    const { attempt } = next;
    // Policies may have changed since it was accepted, and since the last attempt.
    if (!this.#isAllowed(action, command)) {
      const error = errorOf('forbidden', command);
      return this.#end(delivery, command, { status: 'failed', error, attempts: attempt - 1 });
    }
    const recorded = this.#record(delivery, begunAttempt(command, attempt));
    // Side by side: the attempt waits for both.
    if (next.record) await Promise.all([recorded, this.#recordBegun(delivery, command, attempt)]);
    else if (action.descriptor.attributes.read_only) recorded.catch(() => undefined);
    else await recorded;
    if (attempt > 1) this.deps.metrics.retries.inc({ action: action.descriptor.id });
    if (isExpired(command)) return this.#endByDeadline(delivery, command);
    if (delivery.ended) return 'ended';
    if (delivery.signal.aborted) return 'left';

    delivery.attempts = attempt;
    const went = await this.#attempt(action, command, delivery, attempt, (running) =>
      this.#act(action, command, running),
    );
    await recorded;
    return this.#conclude(action, command, delivery, attempt, went);
  }

  #isAllowed({ descriptor }: ActionDefinition, command: CommandEnvelope): boolean {
    const { priority, caller, correlation_id: correlationId } = command;
    const question = {
      principal: callerOf(command),
      action: runActionOf(descriptor),
      resource: toolResource(descriptor),
      circumstances: { server: caller?.server ?? '', priority },
    };
    return this.deps.gate.allows(question, { correlationId });
  }

  async #conclude(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
    went: Attempt,
  ): Promise<Handled> {
    // A success is worth writing even when the lease is gone: it saves the next owner a second effect, and the stream arbitrates.
    if (delivery.signal.aborted && went.kind !== 'succeeded') {
      if ('settled' in went) await went.settled;
      return 'left';
    }
    switch (went.kind) {
      case 'succeeded':
        return this.#end(delivery, command, { status: 'succeeded', result: went.result, attempts: attempt });
      case 'failed':
        return this.#end(delivery, command, { status: 'failed', error: went.error, attempts: attempt });
      case 'deadline':
        await this.#endByDeadline(delivery, command, attempt);
        return this.#afterEnd(command, delivery, attempt, went.settled);
      case 'ended_elsewhere':
        return this.#afterEnd(command, delivery, attempt, went.settled);
      case 'retryable':
        if (attempt >= action.descriptor.retry.max_attempts)
          return this.#giveUp(delivery, command, action, attempt, went.error);
        return this.#backOff(action, command, delivery, attempt, went.error);
      case 'not_done':
        throw new TypeError('only what reconciles can say so');
    }
  }

  /** The key goes on only when the handler is out of the way: its effect could still come. What it brings then changes nothing. */
  async #afterEnd(
    command: CommandEnvelope,
    delivery: Delivery,
    attempts: number,
    settled: Promise<Attempt>,
  ): Promise<Handled> {
    const late = await settled;
    if (late.kind === 'succeeded') {
      this.deps.log.info({ correlation_id: command.correlation_id }, 'a result came after its command had ended');
      return this.#end(delivery, command, { status: 'succeeded', result: late.result, attempts });
    }
    return 'ended';
  }

  /**
   * After an owner that did not finish, the stream says what it had begun. An action that may be repeated is; one that may not is asked
   * what became of it.
   */
  async #nextAttempt(action: ActionDefinition, command: CommandEnvelope, delivery: Delivery): Promise<Next> {
    const careful = mustNotRepeat(action);
    if (delivery.attempts > 0) return { attempt: delivery.attempts + 1, record: careful };
    if (!delivery.mayHaveBegun) return { attempt: 1, record: careful };

    const last = await this.#insist(delivery, command.correlation_id, () => this.deps.attempts.last(command));
    if (last?.kind === 'failed') {
      if (last.attempt >= action.descriptor.retry.max_attempts)
        return { now: await this.#deadLetterAndEnd(delivery, command, action, last.attempt, last.error) };
      delivery.attempts = last.attempt;
      const wait = Date.parse(last.next_at) - Date.now();
      if (wait > 0) return { now: { again: this.#until(delivery, command, wait) } };
      // The next one may have begun, unless it would have been on record.
      return { attempt: last.attempt + (careful ? 1 : 2), record: true };
    }
    if (!careful) {
      // Without a record the first may have begun all the same.
      const begun = last?.attempt ?? 1;
      const error = errorOf('action_failed', command);
      const most = Math.max(action.descriptor.retry.max_attempts, LEAST_AFTER_CRASHES);
      if (begun >= most) return { now: await this.#deadLetterAndEnd(delivery, command, action, begun, error) };
      return { attempt: begun + 1, record: true };
    }
    if (!last) return { attempt: 1, record: true };
    return this.#reconcile(action, command, delivery, last.attempt);
  }

  async #reconcile(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
  ): Promise<Next> {
    const went = await this.#attempt(action, command, delivery, attempt, async (running): Promise<Attempt> => {
      try {
        const told = action.reconcile ? await action.reconcile(command.args, running) : 'unknown';
        if (told === 'not_done') return { kind: 'not_done' };
        if (told !== 'unknown') return toAttempt(action, command, running.withoutSecrets(told.result));
      } catch (error) {
        const went = this.#classify(error, command, running);
        if (went.kind === 'retryable' && error instanceof ActionError) return went;
      }
      return { kind: 'failed', error: errorOf('in_doubt', command) };
    });
    if (went.kind === 'not_done') return { attempt: attempt + 1, record: true };
    // Whoever could tell could not be asked: it is asked again.
    if (went.kind === 'retryable')
      return { now: { again: this.#until(delivery, command, backoffOf(action, RECONCILE_BACKOFF)) } };
    return { now: await this.#conclude(action, command, delivery, attempt, went) };
  }

  /** Ours, or that of a process which takes commands over NATS. `not here`: somebody has it, or will have it again in a moment. */
  #find(command: CommandEnvelope): ActionDefinition | 'not here' | undefined {
    const id = actionId(command);
    const own = this.deps.actions.get(id);
    if (own) return own;
    const found = this.deps.elsewhere?.(id);
    return found?.kind === 'here' ? found.action : found && 'not here';
  }

  /** While versions change, a runner may get a command whose action only the others have: it waits for its turn, or for the action. */
  #waitForAction(delivery: Delivery, command: CommandEnvelope): Promise<Handled> | Handled {
    if (isExpired(command)) return this.#endByDeadline(delivery, command);
    return { again: this.#until(delivery, command, LOOK_FOR_ACTION_MS) };
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

  /** Runs the code of an action until it is done, the deadline comes or somebody else ends the command. */
  async #attempt(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
    work: (running: RunningCommand) => Promise<Attempt>,
  ): Promise<Attempt> {
    this.deps.metrics.begins(command.issued_at, attempt);
    const begun = performance.now();
    const span = attemptSpan(command, attempt);
    const { progress, inputs } = this.deps;
    const secrets = this.#secretsOf(action, command);
    const running = new RunningCommand(carry(span, command), delivery, attempt, progress, inputs, secrets);
    let timer: NodeJS.Timeout | undefined;
    let forget: (() => void) | undefined;
    delivery.acting = true;
    const settled = within(span, () => work(running));
    void settled.then((went) => {
      delivery.acting = false;
      this.deps.metrics.attempted(went.kind, performance.now() - begun);
      endSpan(span, 'error' in went ? went.error.code : undefined);
    });
    const interrupted = new Promise<Attempt>((resolve) => {
      timer = setTimeout(
        () => {
          running.abort(new CallboardError('deadline_exceeded'));
          resolve({ kind: 'deadline', settled });
        },
        Math.min(Date.parse(command.deadline_at) - Date.now(), MAX_TIMER_MS),
      );
      forget = onEnded(delivery, () => {
        running.abort(new CallboardError('cancelled'));
        resolve({ kind: 'ended_elsewhere', settled });
      });
    });
    const went = await Promise.race([settled, interrupted]);
    clearTimeout(timer);
    forget?.();
    running.end();
    await running.said;
    return went;
  }

  #secretsOf({ secrets = NO_SECRETS }: ActionDefinition, command: CommandEnvelope): AttemptSecrets {
    const { log, secrets: texts } = this.deps;
    return new AttemptSecrets(secrets, texts, (secret, why) =>
      log.warn(
        { correlation_id: command.correlation_id, action: actionId(command), secret, why },
        'a secret of an action cannot be had now',
      ),
    );
  }

  #act(action: ActionDefinition, command: CommandEnvelope, running: RunningCommand): Promise<Attempt> {
    return act(action, command, running).then(
      (returned) => toAttempt(action, command, running.withoutSecrets(returned)),
      (error: unknown) => this.#classify(error, command, running),
    );
  }

  #classify(error: unknown, command: CommandEnvelope, running: RunningCommand): Attempt {
    if (error instanceof ActionError) {
      const body = {
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        ...(error.retryAfterMs !== undefined && { retry_after_ms: error.retryAfterMs }),
        correlation_id: command.correlation_id,
        ...(error.rpcCode !== undefined && { rpc_code: error.rpcCode }),
      };
      return { kind: error.retryable && !error.final ? 'retryable' : 'failed', error: running.withoutSecrets(body)! };
    }
    // What a handler throws unforeseen may hold anything, in its message too: the caller gets a code, the log where it happened.
    // A handler that was told to stop and did is none of it.
    if (!running.stopped) {
      this.deps.log.warn(
        {
          correlation_id: command.correlation_id,
          action: actionId(command),
          ...running.withoutSecrets(whereItHappened(error)),
        },
        'an attempt failed unforeseen',
      );
    }
    return { kind: 'retryable', error: errorOf('action_failed', command) };
  }

  /** Durable before the attempt begins, so that a later owner knows. */
  async #recordBegun(delivery: Delivery, command: CommandEnvelope, attempt: number): Promise<void> {
    const fact = { kind: 'begun', correlation_id: command.correlation_id, attempt } as const;
    await this.#insist(delivery, command.correlation_id, () => this.deps.attempts.publish(command, fact));
  }

  /** Stores when the next attempt is due. Until then the key waits, and holds no place. */
  async #backOff(
    action: ActionDefinition,
    command: CommandEnvelope,
    delivery: Delivery,
    attempt: number,
    error: ErrorBody,
  ): Promise<Handled> {
    const wait = Math.max(backoffOf(action, attempt), error.retry_after_ms ?? 0);
    await Promise.all([
      this.#recordFailed(delivery, command, attempt, error, wait),
      this.#record(delivery, failedAttempt(command, attempt, error.code)),
    ]);
    return { again: this.#until(delivery, command, wait) };
  }

  async #recordFailed(
    delivery: Delivery,
    command: CommandEnvelope,
    attempt: number,
    error: ErrorBody,
    waitMs: number,
  ): Promise<void> {
    const fact = {
      kind: 'failed',
      correlation_id: command.correlation_id,
      attempt,
      error,
      next_at: new Date(Date.now() + waitMs).toISOString(),
    } as const;
    await this.#insist(delivery, command.correlation_id, () => this.deps.attempts.publish(command, fact));
  }

  /** Resolves after a time, at the deadline, when somebody else ends the command, or when the process is to stop. */
  #until(delivery: Delivery, command: CommandEnvelope, ms: number): Promise<void> {
    const untilDeadline = Math.max(0, Date.parse(command.deadline_at) - Date.now());
    const ended = new AbortController();
    const forget = onEnded(delivery, () => ended.abort());
    // A timer may fire a little early; an attempt must not begin in the last millisecond because of that.
    return waitUnless(
      AbortSignal.any([delivery.draining, ended.signal]),
      Math.min(ms, untilDeadline + TIMER_SLACK_MS),
    ).finally(forget);
  }

  #isHalted({ tenant_id, ordering_key, correlation_id }: CommandEnvelope): boolean {
    const halt = this.deps.halts.get(tenant_id, ordering_key);
    return halt !== undefined && halt.correlation_id !== correlation_id && halt.resume_with !== correlation_id;
  }

  /** Until an operator decides; where one has, until the command that goes first has ended, which nobody may be there to say. */
  async #untilReleased(delivery: Delivery, command: CommandEnvelope): Promise<void> {
    const { tenant_id: tenantId, ordering_key: orderingKey, correlation_id: id } = command;
    const { halts, attempts } = this.deps;
    const { told, forget } = halts.changed(tenantId, orderingKey);
    const first = halts.get(tenantId, orderingKey)?.resume_with;
    try {
      if (first !== undefined) {
        const hasEnded = (correlationId: string) => attempts.hasEnded(tenantId, correlationId);
        await this.#insist(delivery, id, () => halts.releaseIfEnded(tenantId, orderingKey, hasEnded));
        if (!this.#isHalted(command)) return;
        delivery.putFirst(first);
      }
      await Promise.race([told, this.#until(delivery, command, first === undefined ? MAX_TIMER_MS : LOOK_FOR_END_MS)]);
    } catch (error) {
      if (!(error instanceof MayNoLonger)) throw error;
    } finally {
      forget();
    }
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
    // On record, so that an owner after a crash gives up as well: an operator may have redriven the letter by then.
    await this.#recordFailed(delivery, command, attempts, error, 0);
    return this.#deadLetterAndEnd(delivery, command, action, attempts, error);
  }

  /** The halt first: whoever sees the letter can decide about both. Said again after a crash, it leaves alone what was decided since. */
  async #deadLetterAndEnd(
    delivery: Delivery,
    command: CommandEnvelope,
    action: ActionDefinition,
    attempts: number,
    error: ErrorBody,
  ): Promise<Handled> {
    const { tenant_id: tenantId, ordering_key: orderingKey, correlation_id: id } = command;
    if (action.descriptor.on_dead_letter === 'halt') {
      const halt = { correlation_id: id, action: action.descriptor.id, at: new Date().toISOString() };
      await this.#insist(delivery, id, () => this.deps.halts.halt(tenantId, orderingKey, halt));
    }
    await this.#deadLetter(delivery, id, 'attempts_exhausted', attempts, error);
    const body = { ...errorOf('dead_lettered', command), message: error.message };
    return this.#end(delivery, command, { status: 'dead_lettered', error: body, attempts });
  }

  #endByDeadline(delivery: Delivery, command: CommandEnvelope, attempts = delivery.attempts): Promise<Handled> {
    // What an owner before began is not known here.
    const known = attempts > 0 || !delivery.mayHaveBegun;
    return this.#end(delivery, command, {
      status: 'deadline_exceeded',
      error: errorOf('deadline_exceeded', command),
      ...(known && { attempts }),
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
    // Its caller is told meanwhile; the next of its key waits for both.
    const [written] = await Promise.all([
      tracedEnd(command, ending.status, () =>
        this.#insist(delivery, command.correlation_id, () => this.deps.outcomes.publish(command, ending)),
      ),
      this.#record(delivery, endedAttempts(command, ending)),
    ]);
    // Whoever may publish commands could otherwise make a time series of every name.
    const known = this.#find(command);
    const action = known ? actionId(command) : 'unknown';
    this.deps.metrics.outcomes.inc({ action, status: written === 'written' ? ending.status : 'late' });
    if (written === 'written' && command.issued_at !== undefined) this.deps.metrics.ended(command.issued_at);
    // By an owner who did not know yet that it was none any more, and who may have halted the key.
    if (written !== 'written' && typeof known === 'object' && known.descriptor.on_dead_letter === 'halt')
      await this.#insist(delivery, command.correlation_id, () => this.deps.halts.current());
    await this.#release(delivery, command, ending);
    return 'ended';
  }

  /** A halted key goes on when the command that an operator let through has ended, whatever came of it but another dead letter. */
  async #release(delivery: Delivery, command: CommandEnvelope, { status }: Ending): Promise<void> {
    const { tenant_id: tenantId, ordering_key: orderingKey, correlation_id: id } = command;
    const halt = this.deps.halts.get(tenantId, orderingKey);
    if (halt?.resume_with !== id || status === 'dead_lettered') return;
    await this.#insist(delivery, id, () => this.deps.halts.release(tenantId, orderingKey, id));
  }

  #record(delivery: Delivery, fact: AuditFact): Promise<void> {
    return this.#insist(delivery, delivery.address.correlationId, () => this.deps.audit.record(fact));
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

const LOOK_FOR_ACTION_MS = 1_000;
const LOOK_FOR_END_MS = 2_000;

class MayNoLonger extends Error {}

const NO_SECRETS = {};

const RETRY_MS = 1_000;
/** A command whose runners die is not run for ever, however many attempts its action has. */
const LEAST_AFTER_CRASHES = 3;
/** Asking what became of an attempt is repeated as the action's third attempt would be. */
const RECONCILE_BACKOFF = 3;
const TIMER_SLACK_MS = 5;

/** A handler that throws at once is one that rejects. */
async function act(action: ActionDefinition, command: CommandEnvelope, running: RunningCommand): Promise<ActionReturn> {
  return action.run(command.args, running);
}

/** Neither harmless to repeat, nor without an effect. */
function mustNotRepeat({ descriptor: { attributes } }: ActionDefinition): boolean {
  return !attributes.idempotent && !attributes.read_only;
}

function isExpired(command: CommandEnvelope): boolean {
  return Date.now() >= Date.parse(command.deadline_at);
}

/** Milliseconds before the next attempt. */
function backoffOf(action: ActionDefinition, attempt: number): number {
  const { backoff_ms, max_backoff_ms } = action.descriptor.retry;
  return backOffMs(attempt, backoff_ms, max_backoff_ms);
}

function toAttempt(action: ActionDefinition, command: CommandEnvelope, returned: ActionReturn | undefined): Attempt {
  const result = toResult(action, returned);
  return result ? { kind: 'succeeded', result } : { kind: 'failed', error: errorOf('action_failed', command) };
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
function toResult(action: ActionDefinition, returned: ActionReturn | undefined): JsonObject | undefined {
  if (typeof returned === 'string') return { content: [{ type: 'text', text: returned }] };
  if (!returned || typeof returned !== 'object' || Array.isArray(returned)) return undefined;
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
