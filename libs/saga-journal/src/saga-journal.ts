/**
 * The journals of sagas. A saga's journal is the messages at its own subject in SAGAS, and nothing else is known of the saga.
 *
 * Whoever has something to tell a saga reads its journal, decides with `libs/saga`, and appends what follows under the condition that the
 * journal still ends where it was read to. The server refuses whoever was not the first: that is the fence, for orchestrators, front ends and
 * operators alike, and there is no inbox, no lock and no second store.
 *
 * Not guaranteed: that `read` sees what was appended a moment ago, where SAGAS has replicas. An append that is based on less is refused.
 */
import { CallboardError, sagaSubject, storedSagaSubjects, type CommandEnvelope } from '@callboard/envelope';
import { PublishRefused, STREAM, messagesAt, type AckedPublisher } from '@callboard/jetstream';
import { decide, evolveAll, initialState, type SagaFact, type SagaInput, type SagaState } from '@callboard/saga';
import { jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeEntry, entryHeaders, parseEntry } from './entry.js';

/** A saga as its journal has it. */
export interface SagaRecord {
  tenantId: string;
  sagaId: string;
  /** What asked for it, where it is a declared one. */
  command: CommandEnvelope | undefined;
  state: SagaState;
  /** Of its last entry; 0 when it has none. */
  sequence: number;
}

const READ_TIMEOUT_MS = 2_000;
/** Others who append to one saga at once, each of whom can be the first once. */
const TURNS = 50;
const TURN_MS = 20;

export class SagaJournal {
  private constructor(
    private readonly jsm: JetStreamManager,
    private readonly publisher: AckedPublisher,
  ) {}

  static async open(nc: NatsConnection, publisher: AckedPublisher): Promise<SagaJournal> {
    return new SagaJournal(await jetstreamManager(nc, { checkAPI: false, timeout: READ_TIMEOUT_MS }), publisher);
  }

  /** What is there of a saga; without an entry its state is `absent`. */
  async read(tenantId: string, sagaId: string): Promise<SagaRecord> {
    const record: SagaRecord = { tenantId, sagaId, command: undefined, state: initialState(), sequence: 0 };
    for await (const message of this.#messages(storedSagaSubjects(tenantId, sagaId))) take(record, message);
    return record;
  }

  /** The entries of a saga as they were stored, oldest first. */
  async entries(
    tenantId: string,
    sagaId: string,
  ): Promise<{ sequence: number; storedAt: string; facts: SagaFact[] }[]> {
    const entries = [];
    for await (const { data, seq, timestamp } of this.#messages(storedSagaSubjects(tenantId, sagaId))) {
      const entry = parseEntry(data);
      if ('facts' in entry) entries.push({ sequence: seq, storedAt: timestamp, facts: entry.facts });
    }
    return entries;
  }

  /**
   * Resolves with the sequence of the new entry, which has these facts, or `moved` when the journal does not end any more where the record does.
   * @throws PublishRefused when it is refused for another reason, PublishTimeout after `timeoutMs` without an answer
   */
  async append(
    { tenantId, sagaId, sequence }: SagaRecord,
    facts: readonly SagaFact[],
    after: SagaState,
    timeoutMs: number,
  ): Promise<number | 'moved'> {
    try {
      const subject = sagaSubject(tenantId, sagaId);
      const headers = entryHeaders(after, sequence);
      return (await this.publisher.publish(subject, encodeEntry(facts), headers, timeoutMs)).seq;
    } catch (error) {
      // Our own entry may be there, and only its ack was lost: whoever reads it finds that there is nothing more to decide.
      if (error instanceof PublishRefused && error.isWrongLastSequence) return 'moved';
      throw error;
    }
  }

  /**
   * Tells a saga something, however many others do at the same time. `inputs` looks at the saga as it is, and returns what it is told: nothing, when
   * there is nothing to tell. Resolves with the saga afterwards, and whether it took any of it in.
   * @throws CallboardError `unavailable` when it could not be told, and whatever `inputs` throws
   */
  async tell(
    tenantId: string,
    sagaId: string,
    inputs: (saga: SagaRecord) => readonly SagaInput[],
    timeoutMs: number,
  ): Promise<{ saga: SagaRecord; taken: boolean }> {
    for (let turn = 0; turn < TURNS; turn++) {
      const saga = await this.read(tenantId, sagaId).catch((cause: unknown) => {
        throw unavailable(cause);
      });
      const [facts, state] = decideAll(saga.state, inputs(saga));
      if (facts.length === 0) return { saga, taken: false };
      const sequence = await this.append(saga, facts, state, timeoutMs).catch((error: unknown) => {
        throw error instanceof PublishRefused && error.isFull
          ? new CallboardError('overloaded', 'The stream of sagas is full', { retryAfterMs: 5_000, cause: error })
          : unavailable(error);
      });
      if (sequence !== 'moved') return { saga: { ...saga, state, sequence }, taken: true };
      await delay(Math.random() * TURN_MS * (turn + 1));
    }
    throw unavailable(undefined);
  }

  #messages(subject: string): AsyncGenerator<StoredMsg> {
    return messagesAt(this.jsm, STREAM.sagas, subject);
  }
}

/** What follows when a saga is told several things, one after the other. */
export function decideAll(before: SagaState, inputs: readonly SagaInput[]): [facts: SagaFact[], after: SagaState] {
  let state = before;
  const all: SagaFact[] = [];
  for (const input of inputs) {
    const facts = decide(state, input);
    state = evolveAll(state, facts);
    all.push(...facts);
  }
  return [all, state];
}

/** Takes the next message of a journal in. */
export function take(record: SagaRecord, { data, seq }: { data: Uint8Array; seq: number }): void {
  const entry = parseEntry(data);
  if ('command' in entry) record.command = entry.command;
  else record.state = evolveAll(record.state, entry.facts);
  record.sequence = seq;
}

function unavailable(cause: unknown): CallboardError {
  return new CallboardError('unavailable', 'The saga could not be reached', { retryAfterMs: 1_000, cause });
}
