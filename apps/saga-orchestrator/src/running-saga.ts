/**
 * The life of one saga in the orchestrator that owns its partition. Read `#work` top to bottom: what it was told is decided on, what follows is
 * stored, and only then is it brought about.
 *
 * Invariants: one decision of a saga is under way at a time (G1). Nothing is done in the world that is not in the journal (G2). What is out follows
 * from the state alone, under ids that are always the same, so whoever takes the saga over does all of it again and does no harm (G3). An
 * orchestrator that does not know yet that it lost the partition is refused by the journal, and by the ids (G4).
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  CallboardError,
  ENVELOPE_VERSION,
  actionId,
  type AcceptedRecord,
  type CommandEnvelope,
  type Outcome,
} from '@callboard/envelope';
import { PublishRefused, STREAM, type CommandClient, type Submission } from '@callboard/jetstream';
import {
  DEADLINE_TIMER,
  isEnded,
  mayAnswer,
  outstanding,
  type ApprovalEffect,
  type CommandEffect,
  type Effect,
  type OperatorEffect,
  type SagaEnd,
  type SagaInput,
  type SagaState,
} from '@callboard/saga';
import { decideAll, type SagaJournal, type SagaRecord } from '@callboard/saga-journal';
import type { Audit } from '@callboard/audit';
import type { Logger } from '@callboard/telemetry';
import { ATTRIBUTE, carry, sending, traceContextOf, traced } from '@callboard/tracing';
import { auditFacts } from './audit-facts.js';
import type { DueList } from './due-list.js';
import type { SagaMetrics } from './metrics.js';
import { SagaCaller, type CallerChannels } from './saga-caller.js';
import type { SagaEvents } from './saga-events.js';

export interface SagaDependencies {
  journal: SagaJournal;
  commands: CommandClient;
  channels: CallerChannels;
  due: DueList;
  /** Deadline of a command of an action whose step names none. */
  deadlineMsOf(actionId: string): number;
  audit: Audit;
  events: SagaEvents;
  metrics: SagaMetrics;
  log: Logger;
}

/** How what is out comes to its end: it is wanted no more, or this process leaves it to the next owner. */
type Over = 'over' | 'left';

/** An entry must not be given up: it is tried again for as long as the process lives and owns the saga. */
const APPEND_TIMEOUT_MS = 3_600_000;
const FULL_PAUSE_MS = 1_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const STALE_READ_MS = 50;

export class RunningSaga {
  readonly #queue: SagaInput[] = [];
  readonly #out = new Map<string, (how: Over) => void>();
  readonly #caller: SagaCaller | undefined;
  #working = false;
  #stopped = false;
  /** The journal is known to go on to here. */
  #heard = 0;

  /**
   * @param young it began a moment ago, and nothing can have happened to its command yet
   * @param onEnded it has ended, and its caller knows
   */
  constructor(
    private record: SagaRecord,
    private readonly deps: SagaDependencies,
    young: boolean,
    private readonly onEnded: () => void,
  ) {
    const { command } = record;
    this.#caller =
      command && new SagaCaller(command, deps.channels, young, (outcome) => this.#commandEnded(command, outcome));
  }

  get state(): SagaState {
    return this.record.state;
  }

  /** Brings about what should be out, as whoever takes a saga over does. */
  resume(): void {
    void this.deps.events.started(this.state);
    this.#guarded(() => this.#bringAbout());
    if (isEnded(this.state)) void this.#end();
  }

  tell(input: SagaInput): void {
    if (this.#stopped) return;
    this.#queue.push(input);
    void this.#work();
  }

  /** An entry of the journal came by: of ours, or of somebody else's. */
  heard(sequence: number): void {
    this.#heard = Math.max(this.#heard, sequence);
    if (sequence > this.record.sequence) void this.#work();
  }

  /** The caller says that it has cancelled the saga's command: is that so? */
  async lookAtCommand(): Promise<void> {
    const { command } = this.record;
    if (!command) return;
    const outcome = await this.deps.commands.lookup(command.tenant_id, command.correlation_id).catch(() => undefined);
    if (outcome) this.#commandEnded(command, outcome);
  }

  /** Leaves it to the next owner. */
  stop(): void {
    this.#stopped = true;
    for (const stop of this.#out.values()) stop('left');
    this.#out.clear();
    this.#caller?.release();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      while (!this.#stopped) {
        if (this.#heard > this.record.sequence) await this.#readAgain();
        else if (this.#queue.length > 0) await this.#decide(this.#queue.splice(0));
        else break;
      }
    } catch (error) {
      this.deps.log.error({ err: error, ...this.#ids() }, 'a saga stands still: a fault of the orchestrator');
      this.stop();
    } finally {
      this.#working = false;
    }
  }

  async #decide(told: SagaInput[]): Promise<void> {
    const [facts, after] = decideAll(this.state, told);
    if (facts.length === 0) return;
    const began = this.state.phase === 'absent';
    const sequence = await this.#append(async () => {
      // What is not recorded does not happen: nothing is brought about before both are stored.
      const recorded = Promise.all(auditFacts(facts, after).map((fact) => this.deps.audit.record(fact)));
      const [appended] = await Promise.all([
        this.deps.journal.append(this.record, facts, after, APPEND_TIMEOUT_MS),
        recorded,
      ]);
      return appended;
    });
    if (sequence === undefined) return;
    if (sequence === 'moved') {
      this.deps.metrics.entryRefused();
      this.#queue.unshift(...told);
      return this.#readAgain();
    }
    this.record = { ...this.record, state: after, sequence };
    if (began) {
      this.deps.metrics.started(after.definition?.id);
      void this.deps.events.started(after);
    }
    this.#caller?.tell(facts, after);
    this.#bringAbout();
    if (isEnded(after)) await this.#end();
  }

  /** Resolves with nothing when this process is not to go on. */
  async #append(attempt: () => Promise<number | 'moved'>): Promise<number | 'moved' | undefined> {
    while (!this.#stopped) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#stopped) return undefined;
        const full = error instanceof PublishRefused && error.isFull;
        this.deps.log.warn(
          { err: error, ...this.#ids() },
          full
            ? 'the stream of sagas is full: sagas stand still'
            : 'an entry of a saga could not be stored; trying again',
        );
        await delay(FULL_PAUSE_MS);
      }
    }
    return undefined;
  }

  /** Somebody else has appended, and was first. */
  async #readAgain(): Promise<void> {
    const { tenantId, sagaId, sequence } = this.record;
    while (!this.#stopped) {
      const read = await this.deps.journal.read(tenantId, sagaId).catch(() => undefined);
      if (this.#stopped) return;
      if (!read || read.sequence <= sequence) {
        await delay(STALE_READ_MS);
        continue;
      }
      this.record = { ...read, command: this.record.command };
      this.#heard = Math.min(this.#heard, read.sequence);
      this.#bringAbout();
      if (isEnded(this.state)) await this.#end();
      return;
    }
  }

  async #end(): Promise<void> {
    const { phase, definition, started_at } = this.state;
    // Before the outcome, by which the next owner sees that nothing is left to do.
    await this.deps.events.ended(this.state);
    await this.#caller?.end(this.state).catch((error: unknown) => {
      // The next owner of the partition finds that it is missing.
      this.deps.log.warn({ err: error, ...this.#ids() }, 'the outcome of a saga could not be stored');
    });
    if (this.#stopped) return;
    this.deps.metrics.ended(definition?.id, phase as SagaEnd, started_at);
    this.stop();
    this.onEnded();
  }

  #commandEnded({ user_id: by, deadline_at }: CommandEnvelope, { status }: Outcome): void {
    const at = new Date().toISOString();
    if (status === 'cancelled') return this.tell({ kind: 'abort', at, by, reason: 'cancelled by its caller' });
    // The call is over. A saga that may take longer than any call goes on.
    if (status === 'deadline_exceeded' && Date.parse(this.state.deadline_at) <= Date.parse(deadline_at)) {
      this.tell({ kind: 'timer', at, timer: DEADLINE_TIMER });
    }
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.deps.log.error({ err: error, ...this.#ids() }, 'a saga stands still: a fault of the orchestrator');
      this.stop();
    }
  }

  #bringAbout(): void {
    const wanted = outstanding(this.state);
    const ids = new Set(wanted.map(({ id }) => id));
    for (const [id, stop] of this.#out) {
      if (ids.has(id)) continue;
      this.#out.delete(id);
      stop('over');
    }
    for (const effect of wanted) if (!this.#out.has(effect.id)) this.#begin(effect);
  }

  #begin(effect: Effect): void {
    switch (effect.kind) {
      case 'command':
        return this.#send(effect);
      case 'watch':
        return this.#watch(effect.id, effect.correlation_id);
      case 'cancel':
        return this.#cancel(effect.id, effect.correlation_id);
      case 'timer': {
        const fire = () => this.tell({ kind: 'timer', at: new Date().toISOString(), timer: effect.id });
        const due = this.deps.due.add(Date.parse(effect.due_at), fire);
        return void this.#out.set(effect.id, () => due.cancel());
      }
      case 'approval':
        return this.#ask(effect);
      case 'operator':
        return this.#callOperator(effect);
    }
  }

  #send(effect: CommandEffect): void {
    let submission: Submission | undefined;
    let over = false;
    this.#out.set(effect.id, () => {
      over = true;
      submission?.release();
    });
    void this.#insist(
      () => over,
      async () => {
        try {
          submission = await this.#traced(effect, (command) => this.deps.commands.submit(command, { ownId: true }));
        } catch (error) {
          if (!(error instanceof CallboardError) || error.retryable) throw error;
          // No runner can get it: that is how it ended.
          return this.#tellOutcome(effect.correlation_id, { status: 'failed', error: error.toBody(), attempts: 0 });
        }
        if (over) return submission.release();
        this.#tellOutcome(effect.correlation_id, await submission.outcome);
      },
    );
  }

  /** A step is part of the trace of the call that began its saga. */
  #traced(effect: CommandEffect, submit: (command: CommandEnvelope) => Promise<Submission>): Promise<Submission> {
    const command = this.#commandOf(effect);
    const { name, ...settings } = sending(STREAM.commands, {
      [ATTRIBUTE.tenant]: command.tenant_id,
      [ATTRIBUTE.correlationId]: command.correlation_id,
      [ATTRIBUTE.messageId]: command.correlation_id,
      [ATTRIBUTE.sagaStep]: effect.step,
    });
    const parent = traceContextOf(command.traceparent, command.tracestate);
    return traced(name, { ...settings, parent }, (span) => submit(carry(span, command)));
  }

  #commandOf(effect: CommandEffect): CommandEnvelope {
    const { tenantId, sagaId, command } = this.record;
    const { groups, caller } = effect.sent_by ?? { groups: this.state.groups, caller: command?.caller };
    const now = Date.now();
    const deadlineMs = effect.deadline_ms ?? this.deps.deadlineMsOf(actionId(effect.action));
    return {
      envelope_version: ENVELOPE_VERSION,
      correlation_id: effect.correlation_id,
      idempotency_key: effect.idempotency_key,
      tenant_id: tenantId,
      user_id: this.state.user_id,
      ...(groups.length > 0 && { groups: [...groups] }),
      // By this policies decide about a step as if it had been called itself.
      ...(caller && { caller }),
      tool: effect.action.tool,
      method: effect.action.method,
      args: effect.args,
      ordering_key: effect.ordering_key,
      deadline_ms: deadlineMs,
      priority: effect.priority ?? 'normal',
      accept_partials: false,
      accept_async: false,
      saga_id: sagaId,
      saga_step: effect.step,
      issued_at: new Date(now).toISOString(),
      deadline_at: new Date(now + deadlineMs).toISOString(),
      ...(command?.traceparent && { traceparent: command.traceparent }),
      ...(command?.tracestate && { tracestate: command.tracestate }),
    };
  }

  /** A call that joined is another's command: it has its deadline from there, or, when it never was one, that of the saga. */
  #watch(id: string, correlationId: string): void {
    const { outcome, release } = this.deps.commands.watch(this.#recordOf(correlationId));
    this.#out.set(id, () => release());
    outcome.then((ended) => this.#tellOutcome(correlationId, ended)).catch(() => undefined);
  }

  #cancel(id: string, correlationId: string): void {
    let over = false;
    this.#out.set(id, () => (over = true));
    void this.#insist(
      () => over,
      async () => void (await this.deps.commands.cancel(this.#recordOf(correlationId))),
    );
  }

  /** What is known here of a command of this saga. */
  #recordOf(correlationId: string): AcceptedRecord {
    const { tenantId, state } = this.record;
    const step = Object.values(state.steps).find(({ command }) => command?.correlation_id === correlationId)!;
    return {
      correlation_id: correlationId,
      tenant_id: tenantId,
      user_id: state.user_id,
      ...step.command!.action,
      ordering_key: step.command!.ordering_key,
      issued_at: step.started_at,
      deadline_at: state.deadline_at,
    };
  }

  #ask(effect: ApprovalEffect): void {
    void this.deps.events.approvalWaits(this.state, effect.id, effect.step);
    const { user_id: by, groups } = this.state;
    const caller = this.#caller;
    if (!caller || !mayAnswer(this.state.steps[effect.step]!, { by, groups })) {
      return void this.#out.set(effect.id, () => undefined);
    }
    const stop = caller.ask(effect, ({ approved, comment }) =>
      this.tell({
        kind: 'approval',
        at: new Date().toISOString(),
        step: effect.step,
        approved,
        by,
        groups,
        ...(comment !== undefined && { comment }),
      }),
    );
    this.#out.set(effect.id, (how) => stop(how === 'over' ? 'answered' : 'left'));
  }

  #callOperator({ id, step, error }: OperatorEffect): void {
    void this.deps.events.halted(this.state, id, step, error);
    this.deps.log.error(
      { ...this.#ids(), step, code: error.code },
      'a saga is halted: a step could not be undone; callboard sagas show, then retry, skip or abort it',
    );
    this.#out.set(id, () => undefined);
  }

  #tellOutcome(correlation_id: string, outcome: Pick<Outcome, 'status' | 'result' | 'error' | 'attempts'>): void {
    const { status, result, error, attempts } = outcome;
    this.tell({
      kind: 'outcome',
      at: new Date().toISOString(),
      correlation_id,
      status,
      ...(result && { result }),
      ...(error && { error }),
      ...(attempts !== undefined && { attempts }),
    });
  }

  /** Tries until it went well, or is wanted no more. */
  async #insist(isOver: () => boolean, work: () => Promise<void>): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !isOver(); pause = Math.min(LONGEST_PAUSE_MS, pause * 2)) {
      try {
        return await work();
      } catch (error) {
        if (isOver()) return;
        this.deps.log.warn({ err: error, ...this.#ids() }, 'a command of a saga could not be sent; trying again');
        await delay(pause);
      }
    }
  }

  #ids(): { saga: string; tenant: string } {
    return { saga: this.record.sagaId, tenant: this.record.tenantId };
  }
}
