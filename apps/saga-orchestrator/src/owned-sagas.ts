/**
 * The sagas of one partition, for as long as this process owns it.
 *
 * Every entry of the partition's journals comes by here: of a saga that is known, it is heard; of one that is not and has not ended, the saga is
 * taken up. So a saga that somebody else begins, a call that joins, an operator's decision and a takeover are one and the same thing.
 *
 * A saga whose last entry says that it has ended may have lost its orchestrator before its caller was told. A new owner looks for that once,
 * among those that ended within the time for which outcomes are kept.
 */
import { checkArguments, type RegisteredAction } from '@callboard/actions';
import {
  CallboardError,
  actionId,
  outcomeSubject,
  parseStoredSagaSubject,
  sagaPartitionSubjects,
  sagaSubject,
  type CommandEnvelope,
} from '@callboard/envelope';
import { LOOKUP_MOST, storedAmong, type LastOfSubjects } from '@callboard/jetstream';
import { initialState, isEnded, type SagaDefinition } from '@callboard/saga';
import { take, type SagaRecord } from '@callboard/saga-journal';
import type { NatsConnection } from '@nats-io/transport-node';
import { endingOf } from './saga-caller.js';
import { RunningSaga, type SagaDependencies } from './running-saga.js';
import { sagaFeed, type FedEntry } from './saga-feed.js';

export interface OwnedSagasDependencies extends SagaDependencies {
  nc: NatsConnection;
  /** By the id of the action that begins it. */
  definitionOf(actionId: string): SagaDefinition | undefined;
  /** Does any orchestrator announce it? */
  registered(actionId: string): RegisteredAction | undefined;
  /** May one more saga begin here? */
  hasRoom(): boolean;
}

/** Journals that are read at once when a partition is taken over. */
const READS_AT_ONCE = 32;
const READ_AGAIN_MS = 500;
const LOOK_FOR_DEFINITION_MS = 1_000;
/** For so long outcomes are kept at least. */
const OUTCOMES_KEPT_MS = 24 * 3_600_000;

export class OwnedSagas {
  readonly #sagas = new Map<string, RunningSaga>();
  /** Subjects of sagas that are being read. */
  readonly #reading = new Set<string>();
  #toRead: string[] = [];
  /** Declared sagas that had ended before this process owned them. */
  #ended: string[] | undefined = [];
  readonly #feed: LastOfSubjects;
  #stopped = false;

  constructor(
    partition: number,
    private readonly deps: OwnedSagasDependencies,
  ) {
    this.#feed = sagaFeed(
      deps.nc,
      sagaPartitionSubjects(partition),
      (entry) => this.#take(entry),
      () => void this.#tellMissed(),
      (error) =>
        deps.log.warn({ err: error, partition }, 'the journals of a partition could not be followed; trying again'),
    );
  }

  start(): void {
    void this.#feed.start(Number.POSITIVE_INFINITY);
  }

  /** Leaves everything to the next owner. */
  stop(): void {
    this.#stopped = true;
    this.#feed.stop();
    for (const saga of this.#sagas.values()) saga.stop();
    this.#sagas.clear();
  }

  get size(): number {
    return this.#sagas.size + this.#reading.size;
  }

  get halted(): number {
    return [...this.#sagas.values()].filter(({ state }) => state.phase === 'halted').length;
  }

  /** @param tail tenant and saga as they stand in a subject */
  find(tail: string): RunningSaga | undefined {
    return this.#sagas.get(tail);
  }

  #take(entry: FedEntry): void {
    const tail = tailOf(entry.subject);
    const running = this.#sagas.get(tail);
    if (running) return running.heard(entry.sequence);
    if (this.#reading.has(tail)) return;
    if (isEndedPhase(entry.phase)) {
      if (entry.old && entry.declared && Date.now() - Date.parse(entry.storedAt) < OUTCOMES_KEPT_MS) {
        this.#ended?.push(entry.subject);
      }
      return;
    }
    if (entry.phase === '' && !entry.old) this.#begin(entry);
    else this.#readLater(entry.subject);
  }

  /** A command that asks for a saga was stored a moment ago. */
  #begin(entry: FedEntry): void {
    let record: SagaRecord;
    try {
      const { tenantId, sagaId } = parseStoredSagaSubject(entry.subject);
      record = { tenantId, sagaId, command: undefined, state: initialState(), sequence: 0 };
      take(record, { data: entry.data, seq: entry.sequence });
    } catch (error) {
      this.deps.log.error({ err: error, sequence: entry.sequence }, 'an entry in the stream of sagas cannot be read');
      return;
    }
    this.#takeUp(record, true);
  }

  #takeUp(record: SagaRecord, young: boolean): void {
    const tail = tailOfRecord(record);
    const saga = new RunningSaga(record, this.deps, young, () => this.#sagas.delete(tail));
    this.#sagas.set(tail, saga);
    if (record.state.phase !== 'absent') saga.resume();
    else this.#startDeclared(saga, record.command!, tail);
  }

  #startDeclared(saga: RunningSaga, command: CommandEnvelope, tail: string): void {
    const id = actionId(command);
    const definition = this.deps.definitionOf(id);
    const registered = this.deps.registered(id);
    // While versions change, the definition may be there in a moment, or where the saga goes next.
    if (!definition && registered && Date.parse(command.deadline_at) > Date.now()) {
      setTimeout(() => {
        if (this.#sagas.get(tail) === saga) this.#startDeclared(saga, command, tail);
      }, LOOK_FOR_DEFINITION_MS).unref();
      return;
    }
    const refused = refusalOf(definition, registered, command, this.deps.hasRoom());
    if (refused) return void this.#refuse(saga, command, refused, tail);
    const longer = definition!.deadline_ms > command.deadline_ms && registered?.deadline_ms === command.deadline_ms;
    saga.tell({
      kind: 'start',
      at: new Date().toISOString(),
      saga_id: command.correlation_id,
      tenant_id: command.tenant_id,
      user_id: command.user_id,
      ...(command.groups && { groups: command.groups }),
      definition: definition!,
      input: command.args,
      // Who names a deadline means it; where the call took the default, the saga may take longer than any call.
      ...(!longer && { deadline_at: command.deadline_at }),
    });
  }

  /** The saga never begins, and its caller is told why. */
  async #refuse(saga: RunningSaga, command: CommandEnvelope, error: CallboardError, tail: string): Promise<void> {
    const body = { ...error.toBody(), correlation_id: command.correlation_id };
    await this.deps.commands.outcomes
      .publish(command, { status: 'failed', error: body, attempts: 0 })
      .catch((cause: unknown) => this.deps.log.warn({ err: cause }, 'the outcome of a saga could not be stored'));
    saga.stop();
    this.#sagas.delete(tail);
  }

  #readLater(subject: string): void {
    this.#reading.add(tailOf(subject));
    this.#toRead.push(subject);
    // Each one that is done begins the next.
    if (this.#reading.size - this.#toRead.length < READS_AT_ONCE) void this.#readNext();
  }

  async #readNext(): Promise<void> {
    for (let subject = this.#toRead.shift(); subject !== undefined && !this.#stopped; subject = this.#toRead.shift()) {
      const tail = tailOf(subject);
      try {
        await this.#readOne(subject);
        this.#reading.delete(tail);
      } catch (error) {
        if (this.#stopped) return;
        if (error instanceof TypeError || error instanceof CallboardError) {
          this.#reading.delete(tail);
          this.deps.log.error({ err: error, subject }, 'the journal of a saga cannot be read');
          continue;
        }
        // The server is away.
        await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_MS));
        this.#toRead.push(subject);
      }
    }
  }

  async #readOne(subject: string): Promise<void> {
    const { tenantId, sagaId } = parseStoredSagaSubject(subject);
    const record = await this.deps.journal.read(tenantId, sagaId);
    if (this.#stopped || record.sequence === 0) return;
    // Asked for, and then cancelled or refused, before anybody began it.
    const cancelled =
      record.state.phase === 'absent' && (await this.deps.commands.lookup(tenantId, sagaId)) !== undefined;
    if (!this.#stopped && !cancelled) this.#takeUp(record, false);
  }

  /** Callers of declared sagas that ended, and whose orchestrator died before it could say so. */
  async #tellMissed(): Promise<void> {
    const subjects = this.#ended;
    this.#ended = undefined;
    if (!subjects) return;
    try {
      for (let at = 0; at < subjects.length && !this.#stopped; at += LOOKUP_MOST) {
        const sagas = subjects.slice(at, at + LOOKUP_MOST).map((subject) => parseStoredSagaSubject(subject));
        const outcomes = sagas.map(({ tenantId, sagaId }) => outcomeSubject(tenantId, sagaId));
        const stored = await storedAmong(this.deps.nc, outcomes);
        for (const [i, { tenantId, sagaId }] of sagas.entries()) {
          if (!stored.has(outcomes[i]!)) await this.#tellEnd(tenantId, sagaId);
        }
      }
    } catch (error) {
      if (this.#stopped) return;
      this.deps.log.warn(
        { err: error },
        'it could not be seen whether callers know of the end of their sagas; trying again',
      );
      this.#ended = subjects;
      setTimeout(() => void this.#tellMissed(), READ_AGAIN_MS).unref();
    }
  }

  async #tellEnd(tenantId: string, sagaId: string): Promise<void> {
    const { command, state } = await this.deps.journal.read(tenantId, sagaId);
    if (command && isEnded(state)) await this.deps.commands.outcomes.publish(command, endingOf(state));
  }
}

function refusalOf(
  definition: SagaDefinition | undefined,
  registered: RegisteredAction | undefined,
  command: CommandEnvelope,
  room: boolean,
): CallboardError | undefined {
  if (!definition) return new CallboardError('unknown_action');
  if (Date.parse(command.deadline_at) <= Date.now()) return new CallboardError('deadline_exceeded');
  if (!room) return new CallboardError('overloaded', 'Too many sagas are running', { retryAfterMs: 5_000 });
  try {
    if (registered) checkArguments(registered, command.args);
  } catch (error) {
    if (error instanceof CallboardError) return error;
    throw error;
  }
  return undefined;
}

const ENDED = new Set(['succeeded', 'compensated', 'failed']);
function isEndedPhase(phase: string): boolean {
  return ENDED.has(phase);
}

/** Tenant and saga, as they stand in every subject that is about a saga. */
function tailOf(storedSubject: string): string {
  return storedSubject.slice(storedSubject.indexOf('.', 'saga.'.length) + 1);
}

function tailOfRecord({ tenantId, sagaId }: SagaRecord): string {
  return sagaSubject(tenantId, sagaId).slice('saga.'.length);
}
