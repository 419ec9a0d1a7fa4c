/**
 * Publishes the records of one process to the audit stream.
 *
 * `record` resolves when JetStream has stored the record; whoever calls it does what is recorded only then. That is the whole of "what is not
 * recorded does not happen": there is no queue on disk, no second chance in memory. A full stream is `overloaded`, an unreachable one
 * `unavailable`; the same fact told again is the same record, should the first have been stored after all.
 *
 * `note` is for what has no effect, because it was refused: it is sent until it is stored, for as long as the process lives. So that
 * nobody can fill the stream with refusals, those that a stranger can cause at will (bad credentials, malformed requests, limits, and whatever
 * is refused to nobody in particular) are records one by one up to `BURST` of the same a minute; from then on they are counted, and the
 * count is a record. Not guaranteed: a note of the last moments of a process that is killed.
 */
import {
  NO_TENANT,
  writeRecord,
  type Audit,
  type AuditFact,
  type AuditOrigin,
  type WrittenRecord,
} from '@callboard/audit';
import { CallboardError, HEADER, JSON_CONTENT_TYPE } from '@callboard/envelope';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher, PublishRefused, headerLine } from './acked-publisher.js';

/** What becomes of facts: stored, not stored in time, made part of a count, lost because too many wait. */
export type AuditCount = 'recorded' | 'refused' | 'counted' | 'lost';

/** Longer than a server takes to be started again in a stack, shorter than a caller's patience. */
const RECORD_TIMEOUT_MS = 10_000;
const NOTE_TIMEOUT_MS = 3_600_000;
/** Notes that may wait for the stream. */
const MOST_NOTES = 10_000;
/** The same fact that many times a minute is that many records. */
const BURST = 20;
const COUNT_EVERY_MS = 60_000;
/** Different facts that are counted apart; beyond, their differences are not told. */
const MOST_COUNTED = 1_000;
const LAST_WORDS_MS = 1_000;

/** What a stranger can bring about as often as he likes. */
const AT_WILL = new Set<AuditFact['kind']>(['authentication', 'malformed', 'limit']);

interface Repeated {
  fact: AuditFact;
  seen: number;
  since: string;
}

export class AuditTrail implements Audit {
  readonly #publisher: AckedPublisher;
  readonly #repeated = new Map<string, Repeated>();
  /** Records of which it is not known whether they are stored: told again, the fact is the same record. */
  readonly #unsure = new WeakMap<AuditFact, WrittenRecord>();
  readonly #counting: NodeJS.Timeout;
  #notes = 0;
  #troubled = false;
  /** Hears what becomes of every fact. */
  onCount: (count: AuditCount) => void = () => undefined;
  /** Hears when the stream stops taking records, and when it takes them again. */
  onTrouble: (error: unknown) => void = () => undefined;

  constructor(
    nc: NatsConnection,
    private readonly origin: AuditOrigin,
    private readonly recordTimeoutMs = RECORD_TIMEOUT_MS,
  ) {
    this.#publisher = new AckedPublisher(nc);
    this.#counting = setInterval(() => this.#tellCounts(), COUNT_EVERY_MS).unref();
  }

  /** Did the stream not take the last record? */
  get troubled(): boolean {
    return this.#troubled;
  }

  async record(fact: AuditFact): Promise<void> {
    try {
      await this.#publish(fact, this.recordTimeoutMs);
    } catch (error) {
      throw toClientError(error);
    }
  }

  note(fact: AuditFact): void {
    if (canComeAtWill(fact) && this.#isOneOfMany(fact)) return this.onCount('counted');
    this.#send(fact);
  }

  /** Tells what was counted, and waits a moment for what is under way. */
  async close(): Promise<void> {
    clearInterval(this.#counting);
    this.#tellCounts();
    const until = Date.now() + LAST_WORDS_MS;
    while (this.#publisher.pending > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
    this.#publisher.close();
  }

  #send(fact: AuditFact): void {
    if (this.#notes >= MOST_NOTES) return this.onCount('lost');
    this.#notes += 1;
    void this.#publish(fact, NOTE_TIMEOUT_MS)
      .catch(() => this.onCount('lost'))
      .finally(() => (this.#notes -= 1));
  }

  async #publish(fact: AuditFact, timeoutMs: number): Promise<void> {
    const written = this.#unsure.get(fact) ?? writeRecord(fact, this.origin);
    const { messageId, subject, data } = written;
    try {
      await this.#publisher.publish(subject, data, RECORD_HEADERS + headerLine(HEADER.msgId, messageId), timeoutMs);
      this.#troubled = false;
      this.onCount('recorded');
    } catch (error) {
      if (!this.#troubled) this.onTrouble(error);
      this.#troubled = true;
      this.onCount('refused');
      this.#unsure.set(fact, written);
      throw error;
    }
  }

  #isOneOfMany(fact: AuditFact): boolean {
    const { kind, what, code = '', tenantId, who = {}, details } = fact;
    let key = JSON.stringify([kind, what, code, tenantId, who.userId, who.address, details?.['source']]);
    if (!this.#repeated.has(key) && this.#repeated.size >= MOST_COUNTED) key = kind;
    const repeated = this.#repeated.get(key);
    if (repeated) return ++repeated.seen > BURST;
    const anyone = key === kind ? { kind, what: 'of many', tenantId: NO_TENANT } : fact;
    this.#repeated.set(key, { fact: anyone, seen: 1, since: new Date().toISOString() });
    return false;
  }

  #tellCounts(): void {
    for (const { fact, seen, since } of this.#repeated.values()) {
      if (seen <= BURST) continue;
      const { args: _args, correlationId: _id, target: _target, ...rest } = fact;
      this.#send({ ...rest, details: { ...fact.details, more: seen - BURST, since } });
    }
    this.#repeated.clear();
  }
}

function canComeAtWill({ kind, what, who }: AuditFact): boolean {
  return AT_WILL.has(kind) || (what === 'refused' && who?.userId === undefined);
}

const RECORD_HEADERS = headerLine(HEADER.contentType, JSON_CONTENT_TYPE);

function toClientError(cause: unknown): CallboardError {
  if (cause instanceof PublishRefused && cause.isFull) {
    return new CallboardError('overloaded', 'The audit stream is full', { retryAfterMs: 5_000, cause });
  }
  return new CallboardError('unavailable', 'This cannot be recorded now, so it is not done', {
    retryAfterMs: 1_000,
    cause,
  });
}
