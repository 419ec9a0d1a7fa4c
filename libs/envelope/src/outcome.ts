import type { ErrorBody } from './errors.js';
import type { JsonObject } from './envelope.js';

export const OUTCOME_STATUSES = ['succeeded', 'failed', 'cancelled', 'deadline_exceeded', 'dead_lettered'] as const;
export type OutcomeStatus = (typeof OUTCOME_STATUSES)[number];

/** The one terminal fact about a command, as stored at `out.<tenant>.<correlation_id>`. */
export interface Outcome {
  outcome_version: '1.0';
  correlation_id: string;
  tenant_id: string;
  tool: string;
  method: string;
  status: OutcomeStatus;
  /** What the action returned, when it succeeded. */
  result?: JsonObject;
  /** Why it did not, otherwise. */
  error?: ErrorBody;
  /** Attempts begun; 0 when the command never started. */
  attempts: number;
  /** ISO 8601, UTC. */
  ended_at: string;
  /** Which process wrote it. */
  written_by: string;
}

/** A non-terminal fact about a running command, as stored at `progress.<tenant>.<correlation_id>`. */
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
    }
  | {
      /** Another attempt begins; written before it does, so that the count survives the process. */
      kind: 'attempt';
      correlation_id: string;
      attempt: number;
    };

export const LOG_LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Reads what only our own runners and front ends may write; a wrong shape is a fault and says so. */
export function parseOutcome(data: Uint8Array): Outcome {
  const outcome = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')) as Outcome;
  if (!OUTCOME_STATUSES.includes(outcome?.status)) throw new TypeError('not an outcome');
  return outcome;
}
