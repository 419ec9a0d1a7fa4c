/**
 * What a run of the fault test has seen, from every side: the clients' calls and answers, the kills, the side effects in
 * `append.log`, and the stored commands and outcomes. Plain data, so that the checker is a function of it and a spec can write a
 * broken one by hand. All times are milliseconds since the epoch, by this machine's clock.
 */
import type { OutcomeStatus } from '@callboard/envelope';
import type { Answer } from './answer.js';

export interface History {
  expected: { keys: readonly string[]; valuesPerKey: number };
  calls: readonly Call[];
  kills: readonly Kill[];
  /** Lines of `append.log`, in the order of the file. */
  effects: readonly Effect[];
  /** Numbers of the lines that could not be read. */
  unreadableLines: readonly number[];
  /** COMMANDS, in the order of the stream. */
  commands: readonly StoredCommand[];
  /** The `out.` subjects of OUTCOMES, in the order of the stream. */
  outcomes: readonly StoredOutcome[];
  /** The consumers of COMMANDS, after the run went quiet. */
  consumers: readonly ConsumerState[];
}

/** One value of one key, from the first attempt to the answer that ended it. */
export interface Call {
  key: string;
  value: number;
  idempotencyKey: string;
  attempts: Attempt[];
}

/** The idempotency key under which a value of a key is called. */
export function idempotencyKeyOf(key: string, value: number): string {
  return `${key}:${value}`;
}

export interface Attempt {
  client: string;
  url: string;
  sentAt: number;
  answeredAt: number;
  answer: Answer;
}

export interface Kill {
  at: number;
  process: string;
  pid: number;
  /** When another process had taken its place and the stack was ready again; absent when that was not seen. */
  replacedAt?: number;
}

export interface Effect {
  line: number;
  key: string;
  value: number;
  correlationId: string;
  attempt: number;
  at: number;
}

export interface StoredCommand {
  sequence: number;
  storedAt: number;
  correlationId: string;
  idempotencyKey: string;
  orderingKey: string;
}

export interface StoredOutcome {
  sequence: number;
  storedAt: number;
  correlationId: string;
  status: OutcomeStatus;
  attempts: number;
  writtenBy: string;
}

export interface ConsumerState {
  name: string;
  pending: number;
  ackPending: number;
}
