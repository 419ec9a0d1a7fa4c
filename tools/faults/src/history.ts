/**
 * What a run of the fault test has seen, from every side: the clients' calls and answers, what the operator did, the kills, the lines that
 * the actions wrote, and what is stored. Plain data, so that the checker is a function of it and a spec can write a broken one by hand. All
 * times are milliseconds since the epoch, by this machine's clock.
 */
import type { OutcomeStatus, Priority } from '@callboard/envelope';
import type { Answer } from './answer.js';
import type { ActionName, Plan, Work } from './plan.js';

export interface History {
  calls: readonly Call[];
  cancels: readonly Cancel[];
  redrives: readonly Redrive[];
  kills: readonly Kill[];
  /** The log of the actions, in the order of the file. */
  lines: readonly Line[];
  /** Numbers of the lines that could not be read. */
  unreadableLines: readonly number[];
  /** COMMANDS, in the order of the stream. */
  commands: readonly StoredCommand[];
  /** The `out.` subjects of OUTCOMES, in the order of the stream. */
  outcomes: readonly StoredOutcome[];
  /** Every dead letter that was there at some time: a redriven one is deleted. */
  letters: readonly Letter[];
  /** The partitions of COMMANDS, after the run went quiet. */
  partitions: readonly PartitionState[];
}

/** One value of one key, from the first attempt to the answer that ended it. */
export interface Call {
  key: string;
  value: number;
  idempotencyKey: string;
  plan: Plan;
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

/** Somebody other than its caller cancelled a command. */
export interface Cancel {
  correlationId: string;
  askedAt: number;
  /** When it was said what had come of it, and what; absent when that was never said. */
  said?: { at: number; result: 'cancelled' | 'ended' };
}

/** An operator sent the command of a dead letter again. */
export interface Redrive {
  redriveOf: string;
  askedAt: number;
  /** Absent when it was never confirmed. */
  successor?: string;
}

export interface Kill {
  at: number;
  process: string;
  pid: number;
  /** One of several nats-servers: those that are left must find new leaders first. */
  node?: true;
  /** It led the command stream. */
  leader?: true;
  /** When another process had taken its place and the stack was ready again; absent when that was not seen. */
  replacedAt?: number;
}

/** An attempt began, or had its effect. */
export interface Line {
  line: number;
  event: 'began' | 'acted';
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
  /** Empty for one that was redriven: the key belongs to the command that gave up. */
  idempotencyKey: string;
  orderingKey: string;
  action: ActionName;
  key: string;
  value: number;
  work: Work;
  priority: Priority;
  deadlineAt: number;
  redriveOf?: string;
}

export interface StoredOutcome {
  sequence: number;
  storedAt: number;
  correlationId: string;
  status: OutcomeStatus;
  /** Why it did not succeed. */
  code?: string;
  /** Absent when whoever wrote it did not know. */
  attempts?: number;
  writtenBy: string;
}

export interface Letter {
  sequence: number;
  /** Of the command in its envelope; absent when there is no envelope. */
  correlationId?: string;
  attempts: number;
  reason: string;
}

export interface PartitionState {
  partition: number;
  /** Commands that its owner has not been given. */
  pending: number;
  /** How far what is known to have ended lies behind its last command. */
  unfinished: number;
}
