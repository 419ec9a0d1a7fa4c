import type { ErrorBody } from './errors.js';
import type { JsonObject } from './envelope.js';

export const OUTCOME_STATUSES = ['succeeded', 'failed', 'cancelled', 'deadline_exceeded', 'dead_lettered'] as const;
export type OutcomeStatus = (typeof OUTCOME_STATUSES)[number];

/** The one terminal fact about a command, as stored at `out.<tenant>.<correlation_id>`. */
export interface Outcome {
  outcome_version: '1.0';
  correlation_id: string;
  tenant_id: string;
  /** Whose command it was. */
  user_id: string;
  tool: string;
  method: string;
  status: OutcomeStatus;
  /** What the action returned, when it succeeded. */
  result?: JsonObject;
  /** Why it did not, otherwise. */
  error?: ErrorBody;
  /** Attempts begun; 0 when the command never started. Absent when whoever ended it did not run it, and cannot know. */
  attempts?: number;
  /** When the command was accepted, ISO 8601, UTC. */
  issued_at: string;
  /** ISO 8601, UTC. */
  ended_at: string;
  /** Which process wrote it. */
  written_by: string;
}

/** A non-terminal fact about a running command, as stored at `progress.<tenant>.<correlation_id>`. The oldest are dropped when there is too much of it. */
export type Progress =
  | {
      kind: 'progress';
      correlation_id: string;
      attempt: number;
      progress: number;
      total?: number;
      message?: string;
    }
  | {
      kind: 'log';
      correlation_id: string;
      attempt: number;
      level: LogLevel;
      logger?: string;
      data: unknown;
    };

/** What is stored of the attempts at a command, at `attempt.<tenant>.<correlation_id>.<n>.<begun|failed>`. */
export type AttemptFact =
  | {
      /** Stored before the attempt, where an attempt must not be repeated unknowingly. */
      kind: 'begun';
      correlation_id: string;
      attempt: number;
    }
  | {
      kind: 'failed';
      correlation_id: string;
      attempt: number;
      error: ErrorBody;
      /** When the next attempt is due, ISO 8601, UTC. */
      next_at: string;
    };

/**
 * The record of a command that may outlive its caller, as stored at `deadline.<tenant>.<correlation_id>` until the command ends;
 * at its deadline the server moves it to `due.<tenant>.<correlation_id>`.
 */
export interface AcceptedRecord {
  correlation_id: string;
  tenant_id: string;
  user_id: string;
  tool: string;
  method: string;
  ordering_key: string;
  /** SHA-256 of what was asked, where the caller gave an idempotency key. */
  fingerprint?: string;
  issued_at: string;
  deadline_at: string;
}

/** A question that a running command asks of its caller, in MCP's words: `elicitation/create`, `sampling/createMessage`, `roots/list`. */
export interface InputRequest {
  method: string;
  params?: JsonObject;
}

/** @throws TypeError when it is none of ours. */
export function parseAcceptedRecord(data: Uint8Array): AcceptedRecord {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
  const record = JSON.parse(text) as AcceptedRecord | null;
  const members = ['correlation_id', 'tenant_id', 'user_id', 'tool', 'deadline_at'] as const;
  if (!members.every((member) => typeof record?.[member] === 'string')) throw new TypeError('not an accepted command');
  return record!;
}

export const LOG_LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Reads what only our own runners and front ends may write; a wrong shape is a fault and says so. */
export function parseOutcome(data: Uint8Array): Outcome {
  const outcome = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')) as Outcome;
  if (!OUTCOME_STATUSES.includes(outcome?.status)) throw new TypeError('not an outcome');
  return outcome;
}
