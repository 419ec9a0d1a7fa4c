/**
 * What has been taken from every budget, exactly, whoever takes and whoever dies.
 *
 * A notification takes from all its budgets in one atomic batch, in which each counter expects to be as it was read, and so does the note
 * that this command has taken (`taken.<tenant>.<correlation_id>`): all of it is stored or nothing. A batch that is refused was
 * overtaken by another process; what it needs is read anew, and decided anew. A command that is run again finds its note, and takes nothing.
 *
 * A counter holds the times at which something was taken, of the last window: so no window of that length, wherever it begins, ever has
 * more than `max`. Counters and notes expire by themselves.
 *
 * What waits in one process goes together: twenty writers that each compared and set one by one would be in each other's way a
 * hundred times for every ten that get through (measured: 2,200 refusals for 200 takings).
 *
 * Not guaranteed: windows are measured by the clocks of the processes that take.
 */
import { encodeToken } from '@callboard/envelope';
import { PublishRefused, STREAM, publishTogether, type ConditionalMessage } from '@callboard/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Budget, BudgetRule } from './budget-rules.js';

export type Taken =
  | { kind: 'taken' }
  /** Nothing was taken. */
  | { kind: 'exceeded'; rule: BudgetRule; retryAfterMs: number };

interface Command {
  tenantId: string;
  correlationId: string;
}

interface Request {
  command: Command;
  budgets: readonly Budget[];
  signal: AbortSignal;
  settle(taken: Taken): void;
  fail(error: unknown): void;
}

interface Counter {
  sequence: number;
  /** Milliseconds since 1970, the oldest first. */
  times: number[];
}

/** What a command has taken, where it can be given back. */
interface Note {
  at: number;
  /** Each counter, and for how long it counts. */
  counters: [subject: string, perMs: number][];
}

/** Longer than any command may live. */
const NOTE_TTL_MS = 13 * 3_600_000;
const TIMEOUT_MS = 3_000;
/** Below the server's limit of 1,000 messages a batch. */
const MOST_MESSAGES = 900;
const MOST_PAUSE_MS = 50;
const AWAY_PAUSE_MS = 500;

export class BudgetLedger {
  #waiting: Request[] = [];
  #working = false;

  constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly onError: (error: unknown) => void,
  ) {}

  /**
   * Takes one from each budget, or nothing. Waits for the server when it is away.
   * @throws the signal's reason when that fires first; it may have been taken then
   */
  take(command: Command, budgets: readonly Budget[], signal: AbortSignal): Promise<Taken> {
    if (budgets.length === 0) return Promise.resolve({ kind: 'taken' });
    return new Promise((settle, fail) => {
      this.#waiting.push({ command, budgets, signal, settle, fail });
      if (!this.#working) void this.#work();
    });
  }

  /** Gives back what a command has taken, for it had no effect. Tried a few times: what stays taken expires by itself. */
  async giveBack(command: Command): Promise<void> {
    for (let n = 0; n < 10; n++) {
      try {
        const note = await this.#note(command);
        if (!note.value) return;
        const { at, counters } = note.value;
        const read = await Promise.all(counters.map(([subject]) => this.#counter(subject)));
        const messages = counters.flatMap(([subject, perMs], i) => {
          const { sequence, times } = read[i]!;
          const index = times.indexOf(at);
          if (index < 0) return [];
          times.splice(index, 1);
          return [counterMessage(subject, sequence, times, perMs)];
        });
        await publishTogether(this.nc, [...messages, noteMessage(command, note.sequence, undefined)], TIMEOUT_MS);
        return;
      } catch (error) {
        if (!(error instanceof PublishRefused && error.isWrongLastSequence)) this.onError(error);
        await pause(Math.random() * MOST_PAUSE_MS);
      }
    }
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      const requests = this.#nextTogether();
      try {
        await this.#decide(requests);
      } catch (error) {
        this.#waiting.unshift(...requests);
        const overtaken = error instanceof PublishRefused && error.isWrongLastSequence;
        if (!overtaken) this.onError(error);
        await pause(overtaken ? Math.random() * MOST_PAUSE_MS : AWAY_PAUSE_MS);
      }
    }
    this.#working = false;
  }

  #nextTogether(): Request[] {
    for (const { signal, fail } of this.#waiting.filter(({ signal }) => signal.aborted)) fail(signal.reason);
    this.#waiting = this.#waiting.filter(({ signal }) => !signal.aborted);
    const subjects = new Set<string>();
    let count = 0;
    for (const { budgets } of this.#waiting) {
      for (const { subject } of budgets) subjects.add(subject);
      if (subjects.size + count + 1 > MOST_MESSAGES) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** One after the other, in the order in which they asked. @throws when nothing was stored, or that is not known */
  async #decide(requests: Request[]): Promise<void> {
    const subjects = [...new Set(requests.flatMap(({ budgets }) => budgets.map(({ subject }) => subject)))];
    const [read, notes] = await Promise.all([
      Promise.all(subjects.map((subject) => this.#counter(subject))),
      Promise.all(requests.map(({ command }) => this.#note(command))),
    ]);
    const counters = new Map(subjects.map((subject, i) => [subject, read[i]!]));
    const changed = new Map<string, number>();
    const messages: ConditionalMessage[] = [];
    const now = Date.now();
    const answers = requests.map(({ command, budgets }, i): Taken => {
      const note = notes[i]!;
      if (note.value) return { kind: 'taken' };
      const exceeded = longestWait(budgets, counters, now);
      if (exceeded) return exceeded;
      for (const { rule, subject } of budgets) {
        counters.get(subject)!.times.push(now);
        changed.set(subject, Math.max(changed.get(subject) ?? 0, rule.perMs));
      }
      const counted = budgets.map(({ rule, subject }): [string, number] => [subject, rule.perMs]);
      messages.push(noteMessage(command, note.sequence, { at: now, counters: counted }));
      return { kind: 'taken' };
    });
    for (const [subject, perMs] of changed) {
      const { sequence, times } = counters.get(subject)!;
      messages.push(counterMessage(subject, sequence, times, perMs));
    }
    if (messages.length > 0) await publishTogether(this.nc, messages, TIMEOUT_MS);
    requests.forEach(({ settle }, i) => settle(answers[i]!));
  }

  /** Asked of the leader, which is never behind. */
  async #counter(subject: string): Promise<Counter> {
    const message = await this.jsm.streams.getMessage(STREAM.budgets, { last_by_subj: subject });
    return { sequence: message?.seq ?? 0, times: message ? message.json<number[]>() : [] };
  }

  async #note(command: Command): Promise<{ sequence: number; value: Note | undefined }> {
    const message = await this.jsm.streams.getMessage(STREAM.budgets, { last_by_subj: noteSubject(command) });
    return { sequence: message?.seq ?? 0, value: message?.json<Note | null>() ?? undefined };
  }
}

/** The budget without room that has room last; forgets what has left its window on the way. */
function longestWait(budgets: readonly Budget[], counters: Map<string, Counter>, now: number): Taken | undefined {
  let longest: Extract<Taken, { kind: 'exceeded' }> | undefined;
  for (const { rule, subject } of budgets) {
    const counter = counters.get(subject)!;
    counter.times = counter.times.filter((at) => at > now - rule.perMs).sort((a, b) => a - b);
    if (counter.times.length < rule.max) continue;
    const retryAfterMs = Math.max(1, counter.times.at(-rule.max)! + rule.perMs - now);
    if (!longest || retryAfterMs > longest.retryAfterMs) longest = { kind: 'exceeded', rule, retryAfterMs };
  }
  return longest;
}

function noteSubject({ tenantId, correlationId }: Command): string {
  return `taken.${encodeToken(tenantId)}.${correlationId}`;
}

function noteMessage(command: Command, lastSequence: number, note: Note | undefined): ConditionalMessage {
  const data = Buffer.from(JSON.stringify(note ?? null));
  return { subject: noteSubject(command), data, lastSequence, ttlMs: NOTE_TTL_MS };
}

function counterMessage(subject: string, lastSequence: number, times: number[], ttlMs: number): ConditionalMessage {
  return { subject, data: Buffer.from(JSON.stringify(times)), lastSequence, ttlMs };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
