/**
 * The caller's side of a command: publish it durably, and wait for its one outcome.
 *
 * Acceptance. The command is published with expected-last-subject-sequence 0, so the server itself refuses a second command of the
 * same correlation id. A refusal is then read, not guessed: the stored command carries a fingerprint of what was asked, and the
 * id of the submission that stored it. Other fingerprint: conflict. Same fingerprint, other submission: this call joins the earlier
 * command. Same submission: our own publish had arrived and only its ack was lost. A command that has ended says the same by its
 * outcome, which is asked first where the caller named an idempotency key.
 *
 * Waiting. OUTCOMES republishes what it has stored, and one subscription hears it for all waiters. Republished messages can be
 * missed (a reconnect, a slow consumer), so every waiter is also looked up in the stream: at once when it joined an earlier
 * command, after every reconnect, and every few seconds.
 *
 * Progress. A waiter hears every stored fact once and in order, from the first, also when it joins late: each republished fact
 * names the sequence of the one before it, and what was missed is read from the stream, at the latest before the outcome.
 *
 * Deadline. A waiter whose command has passed its deadline tries to write `deadline_exceeded`; the stream takes the first terminal
 * fact only, so this never contradicts a result that was there first. Before a caller is given a handle to come back with (`keep`), and
 * once a command is no longer young, its deadline is scheduled in the stream, and holds without anybody.
 *
 * Record. That a command was submitted is recorded while the command is published; the caller is answered when both are stored. Neither waits
 * for the other, which costs next to no time, because no runner acts before a record of its own is stored. Only when the audit stream did not
 * take the last record is the next one waited for, so that no command is made that nobody could run.
 *
 * Cancelling is an attempt to write `cancelled`, then a word to the runner that has the command. A question that a running command
 * asks is heard like progress, and answered by a stored fact; the first answer counts.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { replayedCommand, submittedCommand, type Audit } from '@callboard/audit';
import {
  CallboardError,
  HEADER,
  JSON_CONTENT_TYPE,
  LIMITS,
  LIVE_PREFIX,
  abortSubject,
  answerSubject,
  commandSubject,
  commandFingerprint,
  deadlineSubject,
  dueSubject,
  inputKeyOf,
  inputSubject,
  outcomeSubject,
  parseAcceptedRecord,
  parseEnvelope,
  parseOutcome,
  progressSubject,
  sagaSubject,
  storedSagaSubjects,
  type AcceptedRecord,
  type CommandEnvelope,
  type InputRequest,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import { traceContextOf, type TraceContext } from '@callboard/tracing';
import { jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher, PublishRefused, PublishTimeout, headerLine, traceLines } from './acked-publisher.js';
import { onConnectionChange } from './connect.js';
import { acceptedRecord, scheduleDeadline } from './deadlines.js';
import { OutcomePublisher, type Ended } from './outcome-publisher.js';
import { readSubject } from './read-subject.js';
import { STREAM } from './topology.js';

export interface CommandClientOptions {
  /** Name of this process, for `written_by`. */
  instance: string;
  /** Absent where what is submitted is not recorded: benchmarks and specs. */
  audit?: Audit;
  /** How long to try to have a command accepted before saying that it could not be. */
  acceptTimeoutMs?: number;
  /**
   * From this age on, in milliseconds, the deadline of a command is scheduled in the stream also when its caller still waits; 0 schedules
   * every one with the command itself. Default 250.
   */
  scheduleDeadlinesAfterMs?: number;
}

/** Questions of a running command that have no answer yet, by key. */
export type OpenInputs = Record<string, InputRequest>;

/** What the streams say of a command that was accepted. */
export type CommandState =
  | { kind: 'ended'; outcome: Outcome; inputs: OpenInputs }
  | { kind: 'open'; accepted: AcceptedRecord; inputs: OpenInputs };

export type Cancelled = 'cancelled' | 'ended';

export interface SubmitOptions {
  /** Hears of all progress of the command, in order and before its outcome; with the fact's sequence in OUTCOMES. */
  onProgress?: (fact: Progress, sequence: number) => void;
  /** Hears of the questions that have no answer yet, whenever there is another. */
  onInput?: (inputs: OpenInputs) => void;
  /** The command is to outlive its caller from the beginning: it is accepted with its deadline on record. */
  keep?: boolean;
  /** The action is a saga: its command is the first entry of a journal in SAGAS, where an orchestrator takes it up. */
  saga?: boolean;
  /** Only this caller makes commands of this id: what is stored under it is its own, made before it forgot. */
  ownId?: boolean;
}

export interface Submission {
  correlationId: string;
  /** The command that is waited for: the earlier one, where this call joined that. */
  readonly command: Ended;
  /** Did this call join a command that an earlier call had brought? */
  replayed: boolean;
  /** The trace of that earlier call. */
  readonly earlier?: TraceContext;
  /** Settles once; rejects only when the client is closed. */
  outcome: Promise<Outcome>;
  /** Resolves when the command may outlive its caller: its deadline is on record. Rejects as `submit` does. */
  keep(): Promise<void>;
  /** Stops waiting; the command goes on. */
  release(): void;
}

interface Waiter {
  readonly tenantId: string;
  readonly correlationId: string;
  /** Where the call joined an earlier command, that one: its deadline is the one that holds. */
  command: Ended;
  earlier?: TraceContext;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((fact: Progress, sequence: number) => void) | undefined;
  readonly onInput: ((inputs: OpenInputs) => void) | undefined;
  /** Sequence of the last fact of progress that it was told. */
  heard: number;
  /** There may be progress that it has not heard of. */
  behind: boolean;
  catchingUp: Promise<void> | undefined;
  /** Before it is, its deadline says nothing: the stored command may be another one. */
  accepted: boolean;
  readonly scheduleFrom: number;
  kept: Promise<void> | undefined;
  deadlineAt: number;
  checkAt: number;
  checks: number;
  expiring: boolean;
}

const SWEEP_MS = 250;
const READ_TIMEOUT_MS = 1_000;
const FIRST_CHECK_MS = 2_000;
const LAST_CHECK_MS = 30_000;
/** A runner writes `deadline_exceeded` itself when it is alive; the caller's side waits this long for it. */
const DEADLINE_GRACE_MS = 500;
const DEFAULT_ACCEPT_TIMEOUT_MS = 15_000;
const DEFAULT_SCHEDULE_AFTER_MS = 250;
/** A runner that has a command says so at once; when none has it, nobody answers. */
const ABORT_ANSWER_MS = 400;
/** Reads of missed progress that may fail, a sweep apart. */
const CATCH_UP_ATTEMPTS = 40;

export class CommandClient {
  readonly #publisher: AckedPublisher;
  readonly #outcomes: OutcomePublisher;
  /** By subject of the outcome. */
  readonly #waiters = new Map<string, Waiter[]>();
  /** By subject of the progress; only waiters that listen. */
  readonly #listeners = new Map<string, Waiter[]>();
  readonly #sweep: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  readonly #acceptTimeoutMs: number;
  readonly #audit: Audit | undefined;
  #closed = false;
  /** While there is a reason, new commands are refused with it as `overloaded`; what was accepted goes on. */
  refusing: string | undefined;
  readonly #scheduleAfterMs: number;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    options: CommandClientOptions,
  ) {
    this.#scheduleAfterMs = options.scheduleDeadlinesAfterMs ?? DEFAULT_SCHEDULE_AFTER_MS;
    this.#acceptTimeoutMs = options.acceptTimeoutMs ?? DEFAULT_ACCEPT_TIMEOUT_MS;
    this.#publisher = new AckedPublisher(nc);
    this.#audit = options.audit;
    this.#outcomes = new OutcomePublisher(this.#publisher, options.instance, options.audit);
    nc.subscribe(`${LIVE_PREFIX}.out.>`, {
      callback: (error, message) => {
        if (error) return;
        const waiters = this.#waiters.get(message.subject.slice(LIVE_PREFIX.length + 1));
        if (waiters) this.#settle(waiters, message.data);
      },
    });
    nc.subscribe(`${LIVE_PREFIX}.progress.>`, {
      callback: (error, message) => {
        if (error) return;
        const listeners = this.#listeners.get(message.subject.slice(LIVE_PREFIX.length + 1));
        if (!listeners) return;
        const sequence = Number(message.headers?.get('Nats-Sequence'));
        const before = Number(message.headers?.get('Nats-Last-Sequence'));
        for (const waiter of listeners) this.#hear(waiter, message.data, sequence, before);
      },
    });
    nc.subscribe(`${LIVE_PREFIX}.input.>`, {
      callback: (error, message) => {
        if (error) return;
        const [, , tenant, id] = message.subject.split('.');
        for (const waiter of this.#waiters.get(`out.${tenant}.${id}`) ?? []) void this.#tellInputs(waiter);
      },
    });
    this.#sweep = setInterval(() => {
      const now = Date.now();
      for (const waiter of this.#all()) this.#checkIfDue(waiter, now);
    }, SWEEP_MS).unref();
    this.#unsubscribe = onConnectionChange(nc, (change) => {
      if (change === 'connected') for (const waiter of this.#all()) this.#lookAgain(waiter);
    });
  }

  static async start(nc: NatsConnection, options: CommandClientOptions): Promise<CommandClient> {
    const client = new CommandClient(
      nc,
      await jetstreamManager(nc, { checkAPI: false, timeout: READ_TIMEOUT_MS }),
      options,
    );
    await nc.flush();
    return client;
  }

  /** What this client ends commands with; for others of the same process. */
  get outcomes(): OutcomePublisher {
    return this.#outcomes;
  }

  /** Calls that wait for their outcome. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * Has a command accepted. Resolves when it is durable, here or in the earlier command that it joins.
   * @throws CallboardError `idempotency_conflict`, `invalid_request`, `payload_too_large`, `overloaded` when the stream is full or stores nothing, or
   *   `unavailable`; where no acknowledgement came in time the command may have been accepted or not, and the same idempotency key asks again.
   */
  async submit(envelope: CommandEnvelope, options: SubmitOptions = {}): Promise<Submission> {
    const data = Buffer.from(JSON.stringify(envelope));
    if (data.byteLength > LIMITS.envelopeBytes) throw new CallboardError('payload_too_large');
    const asked = envelope.idempotency_key === undefined || options.ownId ? '' : commandFingerprint(envelope);
    const { waiter, outcome } = this.#wait(envelope, options);
    const recorded = this.#audit?.record(submittedCommand(envelope)) ?? Promise.resolve();
    // It is asked after below.
    recorded.catch(() => undefined);
    try {
      if (this.#audit?.troubled) await recorded;
      const keep = options.keep || this.#scheduleAfterMs === 0;
      // Under an id that nobody else can have had, the deadline need not wait for the command.
      if (keep && asked === '') this.#keep(waiter).catch(() => undefined);
      const replayed =
        (asked !== '' && (await this.#joinEnded(envelope, asked, waiter))) ||
        (await this.#publish(envelope, data, asked, waiter, options.saga === true));
      if (keep) await this.#keep(waiter);
      await recorded.catch((error: unknown) => this.#takeBack(envelope, replayed, error));
      waiter.accepted = true;
      if (replayed) {
        this.#audit?.note(replayedCommand(envelope));
        void this.#tellInputs(waiter);
      }
      return this.#submission(waiter, replayed, outcome);
    } catch (error) {
      this.#forget(waiter);
      throw error;
    }
  }

  /** The command is stored and cannot be recorded: it does not go on, unless whoever brought it named a key to ask again with. */
  #takeBack(envelope: CommandEnvelope, replayed: boolean, error: unknown): never {
    if (!replayed && envelope.idempotency_key === undefined) this.cancel(envelope).catch(() => undefined);
    throw error;
  }

  /**
   * Waits for a command that was accepted before, here or elsewhere. One that is `young`, accepted a moment ago, is not looked up at once:
   * it will hardly have ended.
   */
  watch(accepted: AcceptedRecord, options: SubmitOptions & { young?: boolean } = {}): Submission {
    const { waiter, outcome } = this.#wait(accepted, options);
    waiter.accepted = true;
    waiter.kept = Promise.resolve();
    if (!options.young) {
      this.#lookAgain(waiter);
      this.#checkIfDue(waiter, Date.now());
    }
    return this.#submission(waiter, true, outcome);
  }

  /** What is known of a command that was kept or has ended; `undefined` for one that never was, or is forgotten. */
  async find(tenantId: string, correlationId: string): Promise<CommandState | undefined> {
    // What seems not to be there is asked of the leader, which is never behind: a handle is good at once.
    return (
      (await this.#find(tenantId, correlationId, this.jsm.direct)) ??
      this.#find(tenantId, correlationId, this.jsm.streams)
    );
  }

  async #find(
    tenantId: string,
    correlationId: string,
    from: Pick<JetStreamManager['direct'], 'getMessage'>,
  ): Promise<CommandState | undefined> {
    // In this order: a command whose deadline fires, or that ends, in between is found all the same.
    const last = (subject: string) => from.getMessage(STREAM.outcomes, { last_by_subj: subject });
    const record =
      (await last(deadlineSubject(tenantId, correlationId))) ?? (await last(dueSubject(tenantId, correlationId)));
    const [outcome, inputs] = await Promise.all([
      last(outcomeSubject(tenantId, correlationId)),
      this.#openInputs(tenantId, correlationId),
    ]);
    if (outcome) return { kind: 'ended', outcome: parseOutcome(outcome.data), inputs };
    return record ? { kind: 'open', accepted: parseAcceptedRecord(record.data), inputs } : undefined;
  }

  /**
   * Cancels a command, if it has not ended. When a runner has it, that has been told by the time this resolves: what has not begun will
   * not begin, and what runs was told to stop.
   * @param onRunner hears what the runner was doing with it, when one has it.
   * @throws CallboardError `unavailable` when the streams cannot be reached
   */
  async cancel(command: Ended, onRunner?: (state: 'waiting' | 'running') => void): Promise<Cancelled> {
    const { tenant_id: tenantId, correlation_id: correlationId } = command;
    const error = { ...new CallboardError('cancelled').toBody(), correlation_id: correlationId };
    const written = await this.#outcomes
      .publish(command, { status: 'cancelled', error })
      .catch((cause: unknown) => Promise.reject(toClientError(cause, correlationId)));
    if (written === 'ended' && (await this.lookup(tenantId, correlationId))?.status !== 'cancelled') return 'ended';
    // Said again for one that was cancelled before: whoever did may have died before it could say so.
    await this.nc
      .request(abortSubject(tenantId, correlationId), '', { timeout: ABORT_ANSWER_MS })
      .then((answer) => onRunner?.(answer.json<{ state: 'waiting' | 'running' }>().state))
      .catch(() => undefined);
    return 'cancelled';
  }

  /** Stores the answer to a question, or whatever a running command waits for from outside. The first answer counts. */
  async answer(
    tenantId: string,
    correlationId: string,
    key: string,
    response: JsonObject,
  ): Promise<'stored' | 'answered_before'> {
    const data = Buffer.from(JSON.stringify(response));
    if (data.byteLength > LIMITS.envelopeBytes) throw new CallboardError('payload_too_large');
    try {
      const subject = answerSubject(tenantId, correlationId, key);
      const first = await this.#publisher.publishOnce(subject, data, COMMAND_HEADERS, this.#acceptTimeoutMs);
      return first ? 'stored' : 'answered_before';
    } catch (error) {
      throw toClientError(error, correlationId);
    }
  }

  async #openInputs(tenantId: string, correlationId: string): Promise<OpenInputs> {
    const [asked, answered] = await Promise.all(
      [inputSubject, answerSubject].map((subject) =>
        readSubject(this.jsm, STREAM.outcomes, subject(tenantId, correlationId, '*'), 0),
      ),
    );
    const done = new Set(answered!.map(({ subject }) => inputKeyOf(subject)));
    const open = asked!.filter(({ subject }) => !done.has(inputKeyOf(subject)));
    return Object.fromEntries(open.map((message) => [inputKeyOf(message.subject), message.json<InputRequest>()]));
  }

  async #tellInputs(waiter: Waiter): Promise<void> {
    if (!waiter.onInput) return;
    try {
      const open = await this.#openInputs(waiter.tenantId, waiter.correlationId);
      if (Object.keys(open).length > 0) waiter.onInput(open);
    } catch {
      // The next look at the waiter asks again.
      waiter.checkAt = 0;
    }
  }

  #submission(waiter: Waiter, replayed: boolean, outcome: Promise<Outcome>): Submission {
    return {
      correlationId: waiter.correlationId,
      command: waiter.command,
      replayed,
      ...(waiter.earlier && { earlier: waiter.earlier }),
      outcome,
      keep: () => this.#keep(waiter),
      release: () => {
        const waiting = this.#waiters.get(outcomeSubject(waiter.tenantId, waiter.correlationId))?.includes(waiter);
        this.#forget(waiter);
        // Nobody looks after it any more: its deadline must.
        if (waiting) this.#keep(waiter).catch(() => undefined);
      },
    };
  }

  #keep(waiter: Waiter): Promise<void> {
    if (!waiter.kept) {
      const { command, correlationId } = waiter;
      const record = 'args' in command ? acceptedRecord(command) : command;
      waiter.kept = scheduleDeadline(this.#publisher, record, this.#acceptTimeoutMs).catch((error: unknown) => {
        waiter.kept = undefined;
        throw toClientError(error, correlationId);
      });
    }
    return waiter.kept;
  }

  /** The outcome of a command, if it has ended. */
  async lookup(tenantId: string, correlationId: string): Promise<Outcome | undefined> {
    const message = await this.jsm.streams.getMessage(STREAM.outcomes, {
      last_by_subj: outcomeSubject(tenantId, correlationId),
    });
    return message ? parseOutcome(message.data) : undefined;
  }

  /**
   * Lets go of every command that is waited for: who waits is told that it goes on, as `unavailable` with its correlation id. Resolves when the
   * deadlines of all of them are on record, or cannot be put there.
   */
  async letGo(why: string): Promise<void> {
    const waiters = [...this.#all()];
    await Promise.allSettled(waiters.map((waiter) => this.#keep(waiter)));
    for (const waiter of waiters) {
      this.#forget(waiter);
      const { correlationId } = waiter;
      waiter.reject(new CallboardError('unavailable', why, { correlationId, retryAfterMs: 1_000 }));
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#unsubscribe();
    for (const waiter of this.#all()) waiter.reject(new CallboardError('unavailable', 'This front end is stopping'));
    this.#waiters.clear();
    this.#listeners.clear();
    this.#publisher.close();
  }

  /** Returns whether an earlier call had brought this command. */
  async #publish(
    envelope: CommandEnvelope,
    data: Uint8Array,
    asked: string,
    waiter: Waiter,
    saga: boolean,
  ): Promise<boolean> {
    if (this.refusing !== undefined) throw overloaded(this.refusing, envelope.correlation_id);
    const { tenant_id: tenantId, correlation_id: correlationId } = envelope;
    const stream = saga ? STREAM.sagas : STREAM.commands;
    const subject = saga
      ? sagaSubject(tenantId, correlationId)
      : commandSubject({
          tenantId,
          tool: envelope.tool,
          method: envelope.method,
          orderingKey: envelope.ordering_key,
          correlationId,
        });
    if (subject.length > LIMITS.subjectChars) {
      throw new CallboardError('invalid_request', 'Tenant and ordering key are too long together');
    }
    const submission = nextSubmissionId();
    try {
      const ack = await this.#publisher.publish(
        subject,
        data,
        commandHeaders(envelope, asked, submission),
        this.#acceptTimeoutMs,
      );
      return ack.duplicate ? await this.#join(envelope, stream, { seq: ack.seq }, asked, submission, waiter) : false;
    } catch (error) {
      if (error instanceof PublishRefused && error.isWrongLastSequence) {
        // Stored it has its partition in front; in a saga's journal it is followed by what became of it.
        const earlier = saga
          ? { seq: 1, next_by_subj: storedSagaSubjects(tenantId, correlationId) }
          : { last_by_subj: subject.replace(/^cmd\./, 'cmd.*.') };
        return this.#join(envelope, stream, earlier, asked, submission, waiter);
      }
      if (error instanceof PublishTimeout && !this.#closed && (await this.#serverAnswers())) {
        throw overloaded('The command stream does not answer: its disk may be full', envelope.correlation_id, error);
      }
      throw toClientError(error, envelope.correlation_id);
    }
  }

  /** A stream that could not write once stays silent for good, and its server is as well as ever. */
  #serverAnswers(): Promise<boolean> {
    return Promise.race([this.nc.flush().then(() => true), delay(READ_TIMEOUT_MS, false)]).catch(() => false);
  }

  /**
   * Joins the earlier command of an idempotency key when that has ended. The server's own refusal does not see all of them: it is by
   * subject, and another ordering key is another subject.
   */
  async #joinEnded(envelope: CommandEnvelope, asked: string, waiter: Waiter): Promise<boolean> {
    const subject = outcomeSubject(envelope.tenant_id, envelope.correlation_id);
    const ended = await this.#read(STREAM.outcomes, { last_by_subj: subject }, envelope);
    if (!ended) return false;
    if (ended.header.get(HEADER.fingerprint) !== asked) throw conflict(envelope);
    waiter.command = { ...acceptedRecord(envelope), issued_at: parseOutcome(ended.data).issued_at };
    waiter.earlier = traceOf(ended);
    // There is no deadline any more.
    waiter.kept = Promise.resolve();
    this.#lookNow(subject);
    return true;
  }

  async #join(
    envelope: CommandEnvelope,
    stream: string,
    earlier: Query,
    asked: string,
    submission: string,
    waiter: Waiter,
  ): Promise<boolean> {
    const stored = await this.#read(stream, earlier, envelope);
    // Its age took it away in this very moment: the same call made again stores it anew.
    if (!stored) throw toClientError(new Error('the earlier command is gone'), envelope.correlation_id);
    const subject = outcomeSubject(envelope.tenant_id, envelope.correlation_id);
    if (stored.header.get(SUBMISSION_HEADER) === submission) {
      this.#lookNow(subject);
      return false;
    }
    if (stored.header.get(HEADER.fingerprint) !== asked) throw conflict(envelope);
    waiter.command = acceptedRecord(parseEnvelope(stored.data));
    waiter.earlier = traceOf(stored);
    waiter.deadlineAt = Date.parse(waiter.command.deadline_at);
    this.#lookNow(subject);
    return true;
  }

  /** Those who wait for this outcome may have missed it. */
  #lookNow(subject: string): void {
    for (const waiter of this.#waiters.get(subject) ?? []) {
      this.#lookAgain(waiter);
      this.#checkIfDue(waiter, Date.now());
    }
  }

  /** Asks again for as long as a publish would be tried: what is asked while the connection is down is lost. */
  async #read(stream: string, query: Query, envelope: CommandEnvelope): Promise<StoredMsg | null> {
    const until = Date.now() + this.#acceptTimeoutMs;
    for (;;) {
      try {
        // Of the leader, which has just refused the second: another replica may not know of the first yet.
        return await this.jsm.streams.getMessage(stream, query);
      } catch (cause) {
        if (Date.now() >= until) throw toClientError(cause, envelope.correlation_id);
        await delay(SWEEP_MS);
      }
    }
  }

  #wait(command: Ended, { onProgress, onInput }: SubmitOptions): { waiter: Waiter; outcome: Promise<Outcome> } {
    const { tenant_id: tenantId, correlation_id: correlationId } = command;
    let waiter!: Waiter;
    const outcome = new Promise<Outcome>((resolve, reject) => {
      waiter = {
        tenantId,
        correlationId,
        command,
        resolve,
        reject,
        onProgress,
        onInput,
        heard: 0,
        behind: false,
        catchingUp: undefined,
        accepted: false,
        scheduleFrom: Date.now() + this.#scheduleAfterMs,
        kept: undefined,
        deadlineAt: Date.parse(command.deadline_at),
        checkAt: Date.now() + FIRST_CHECK_MS,
        checks: 0,
        expiring: false,
      };
    });
    // A caller that releases, or is refused, does not wait: that is no unhandled rejection.
    outcome.catch(() => undefined);
    add(this.#waiters, outcomeSubject(tenantId, correlationId), waiter);
    if (onProgress) add(this.#listeners, progressSubject(tenantId, correlationId), waiter);
    return { waiter, outcome };
  }

  #forget(waiter: Waiter): void {
    remove(this.#waiters, outcomeSubject(waiter.tenantId, waiter.correlationId), waiter);
    if (waiter.onProgress) remove(this.#listeners, progressSubject(waiter.tenantId, waiter.correlationId), waiter);
  }

  #settle(waiters: readonly Waiter[], data: Uint8Array): void {
    for (const waiter of waiters) {
      this.#forget(waiter);
      const settle = () => {
        try {
          waiter.resolve(parseOutcome(data));
        } catch (cause) {
          waiter.reject(new CallboardError('internal', undefined, { correlationId: waiter.correlationId, cause }));
        }
      };
      if (waiter.behind || waiter.catchingUp) void this.#catchUp(waiter).finally(settle);
      else settle();
    }
  }

  /** Something may have been missed. */
  #lookAgain(waiter: Waiter): void {
    waiter.checkAt = 0;
    if (waiter.onProgress) void this.#catchUp(waiter);
    if (waiter.accepted) void this.#tellInputs(waiter);
  }

  #hear(waiter: Waiter, data: Uint8Array, sequence: number, before: number): void {
    if (waiter.behind || waiter.catchingUp || before > waiter.heard) void this.#catchUp(waiter);
    else if (sequence > waiter.heard) this.#tell(waiter, data, sequence);
  }

  /** A listener that fails, or a fact that nobody can read, is passed over: nats.js drops the connection when a callback throws. */
  #tell(waiter: Waiter, data: Uint8Array, sequence: number): void {
    waiter.heard = sequence;
    try {
      waiter.onProgress?.(JSON.parse(Buffer.from(data).toString()) as Progress, sequence);
    } catch {
      // The outcome comes all the same.
    }
  }

  /** Tells a waiter of the progress that it has missed; gives up when the server stays away. Does not reject. */
  #catchUp(waiter: Waiter): Promise<void> {
    waiter.behind = true;
    waiter.catchingUp ??= this.#readMissed(waiter).finally(() => (waiter.catchingUp = undefined));
    return waiter.catchingUp;
  }

  async #readMissed(waiter: Waiter): Promise<void> {
    const subject = progressSubject(waiter.tenantId, waiter.correlationId);
    for (let failures = 0; waiter.behind && failures < CATCH_UP_ATTEMPTS;) {
      waiter.behind = false;
      try {
        const facts = await readSubject(this.jsm, STREAM.progress, subject, waiter.heard);
        for (const { data, seq } of facts) this.#tell(waiter, data, seq);
        if (facts.length > 0) waiter.behind = true;
      } catch {
        waiter.behind = true;
        failures += 1;
        await delay(SWEEP_MS);
      }
    }
  }

  #checkIfDue(waiter: Waiter, now: number): void {
    if (now >= waiter.checkAt) {
      waiter.checkAt = now + Math.min(LAST_CHECK_MS, FIRST_CHECK_MS * 2 ** waiter.checks++);
      void this.#check(waiter);
    }
    if (waiter.accepted && !waiter.kept && now >= waiter.scheduleFrom) {
      // What fails here is tried at the next sweep.
      this.#keep(waiter).catch(() => undefined);
    }
    if (waiter.accepted && now >= waiter.deadlineAt + DEADLINE_GRACE_MS && !waiter.expiring) {
      waiter.expiring = true;
      void this.#expire(waiter);
    }
  }

  async #check(waiter: Waiter): Promise<void> {
    const subject = outcomeSubject(waiter.tenantId, waiter.correlationId);
    try {
      const message = await this.jsm.direct.getMessage(STREAM.outcomes, { last_by_subj: subject });
      const waiters = this.#waiters.get(subject);
      if (!message) void this.#tellInputs(waiter);
      if (!message || !waiters) return;
      // Whose outcome is found here may have missed progress too.
      for (const each of waiters) each.behind ||= each.onProgress !== undefined;
      this.#settle(waiters, message.data);
    } catch {
      // The server is away; the reconnect asks again.
      waiter.checkAt = Date.now() + SWEEP_MS;
    }
  }

  async #expire(waiter: Waiter): Promise<void> {
    try {
      await this.#outcomes.publish(waiter.command, {
        status: 'deadline_exceeded',
        error: new CallboardError('deadline_exceeded', undefined, { correlationId: waiter.correlationId }).toBody(),
      });
      waiter.checkAt = 0;
    } catch {
      waiter.expiring = false;
    }
  }

  *#all(): Generator<Waiter> {
    for (const waiters of this.#waiters.values()) yield* waiters;
  }
}

type Query = { seq: number; next_by_subj?: string } | { last_by_subj: string };

/** Which submission stored a command: tells a lost ack of ours from an earlier call. */
const SUBMISSION_HEADER = 'Callboard-Submission';
const PROCESS_ID = randomBytes(9).toString('base64url');
let submissions = 0;
function nextSubmissionId(): string {
  return `${PROCESS_ID}-${++submissions}`;
}

function conflict(envelope: CommandEnvelope): CallboardError {
  return new CallboardError('idempotency_conflict', undefined, { correlationId: envelope.correlation_id });
}

function traceOf({ header }: StoredMsg): TraceContext {
  return traceContextOf(header.get(HEADER.traceparent), header.get(HEADER.tracestate));
}

function commandHeaders(envelope: CommandEnvelope, asked: string, submission: string): string {
  let lines = `${COMMAND_HEADERS}${headerLine(HEADER.msgId, envelope.correlation_id)}${SUBMISSION_HEADER}: ${submission}\r\n`;
  if (asked) lines += headerLine(HEADER.fingerprint, asked);
  if (envelope.priority !== 'normal') lines += headerLine(HEADER.priority, envelope.priority);
  return lines + traceLines(envelope);
}

const COMMAND_HEADERS =
  headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.expectedLastSubjectSequence, '0');

function overloaded(message: string, correlationId: string, cause?: unknown): CallboardError {
  return new CallboardError('overloaded', message, { retryAfterMs: 5_000, correlationId, cause });
}

function toClientError(error: unknown, correlationId: string): CallboardError {
  if (error instanceof CallboardError) return error;
  if (error instanceof PublishRefused && error.isFull) {
    return overloaded('The command stream is full', correlationId, error);
  }
  if (error instanceof PublishRefused || error instanceof PublishTimeout || error instanceof Error) {
    return new CallboardError('unavailable', undefined, { retryAfterMs: 1_000, correlationId, cause: error });
  }
  return new CallboardError('internal', undefined, { correlationId, cause: error });
}

/** Nearly always there is one: an array of one is cheaper than a set. */
function add(map: Map<string, Waiter[]>, subject: string, waiter: Waiter): void {
  const waiters = map.get(subject);
  if (waiters) waiters.push(waiter);
  else map.set(subject, [waiter]);
}

/** Never changes a list in place: somebody may be going through it. */
function remove(map: Map<string, Waiter[]>, subject: string, waiter: Waiter): void {
  const rest = map.get(subject)?.filter((other) => other !== waiter);
  if (!rest) return;
  if (rest.length > 0) map.set(subject, rest);
  else map.delete(subject);
}
