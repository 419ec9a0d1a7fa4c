/**
 * What a saga's stream holds: one fact a message, in the order in which they became true, and nothing else is known of a saga. A fact has
 * everything that was worked out when it became true (arguments, what will undo the step, when the next attempt is due), so reading facts
 * back evaluates no expression, and a newer Callboard comes to the same state.
 *
 * Steps are named by their path: `<name>`, or `<name of the sub-saga>/<name>`.
 */
import type { ActionName, CommandCaller, ErrorBody, JsonObject, OutcomeStatus, Priority } from '@callboard/envelope';
import type { Retry, SagaDefinition } from './definition.js';

export const FACT_VERSION = '1.0';

interface Fact {
  fact_version: typeof FACT_VERSION;
  /** When it became true, ISO 8601, UTC. */
  at: string;
}

export interface SagaStarted extends Fact {
  fact: 'saga_started';
  saga_id: string;
  tenant_id: string;
  /** Whose saga it is: its commands are this principal's. */
  user_id: string;
  groups?: readonly string[];
  /** Absent for an envelope saga, whose steps join as calls. */
  definition?: SagaDefinition;
  input: JsonObject;
  deadline_at: string;
}

/** A call of an envelope saga was accepted. It is in the world already; the saga waits for its outcome. */
export interface StepJoined extends Fact {
  fact: 'step_joined';
  step: string;
  correlation_id: string;
  action: ActionName;
  ordering_key: string;
  undo?: Undo;
}

/** An attempt at a step begins. */
export interface StepStarted extends Fact {
  fact: 'step_started';
  step: string;
  attempt: number;
  /** Absent for a sub-saga, whose steps follow: `args` is its input. */
  command?: StepCommand;
  args: JsonObject;
}

export interface StepCommand {
  correlation_id: string;
  action: ActionName;
  ordering_key: string;
  deadline_ms?: number;
  priority?: Priority;
}

/** An attempt at a step, or at undoing it, ended without success, and there will be another. */
export interface RetryScheduled extends Fact {
  fact: 'retry_scheduled';
  step: string;
  doing: Doing;
  /** The one that failed. */
  attempt: number;
  status: Exclude<OutcomeStatus, 'succeeded'>;
  error?: ErrorBody;
  in_doubt: boolean;
  due_at: string;
}

export type Doing = 'act' | 'undo';

export interface StepEnded extends Fact {
  fact: 'step_ended';
  step: string;
  status: StepEnd;
  output?: JsonObject;
  error?: ErrorBody;
  /** Nobody knows whether it happened. */
  in_doubt?: boolean;
  /** What undoes it; absent when there is nothing to undo. */
  undo?: Undo;
}

export type StepEnd = OutcomeStatus | 'skipped' | 'rejected';

/** What undoes a step, with its arguments worked out; or why that cannot be known, which an operator must decide about. */
export type Undo =
  | {
      action: ActionName;
      args: JsonObject;
      ordering_key: string;
      deadline_ms?: number;
      retry: Retry;
      /** Who sent the call that this undoes, where the step is a call: what undoes it is decided as that call was. */
      sent_by?: SentBy;
    }
  | { error: ErrorBody };

/** What policies may ask about the sender of a call, beyond tenant and user. */
export interface SentBy {
  groups: readonly string[];
  caller: CommandCaller;
}

export interface ApprovalRequested extends Fact {
  fact: 'approval_requested';
  step: string;
  prompt: string;
  approvers: readonly string[];
  /** Absent when only the saga's own deadline ends the wait. */
  due_at?: string;
}

/** The answer ends the step: `succeeded` when it was approved. */
export interface ApprovalGiven extends Fact {
  fact: 'approval_given';
  step: string;
  approved: boolean;
  by: string;
  comment?: string;
}

export interface CompensationStarted extends Fact {
  fact: 'compensation_started';
  step: string;
  attempt: number;
  correlation_id: string;
}

/** With any status but `succeeded` the saga halts until an operator decides. */
export interface CompensationEnded extends Fact {
  fact: 'compensation_ended';
  step: string;
  status: OutcomeStatus;
  error?: ErrorBody;
}

/** From here on nothing new is begun, and what is done is undone. */
export interface AbortRequested extends Fact {
  fact: 'abort_requested';
  by: string;
  reason?: string;
}

/** Nothing more will join; the saga succeeds when all that has joined has. */
export interface CompleteRequested extends Fact {
  fact: 'complete_requested';
  by: string;
}

export interface DeadlineFired extends Fact {
  fact: 'deadline_fired';
}

export interface OperatorDecided extends Fact {
  fact: 'operator_decided';
  step: string;
  verb: OperatorVerb;
  by: string;
  reason?: string;
}

/** About a compensation that could not succeed: try again; leave this step as it is and undo the others; leave all of them. */
export type OperatorVerb = 'retry' | 'skip' | 'abort';

/** The last fact of a saga. */
export interface SagaEnded extends Fact {
  fact: 'saga_ended';
  status: SagaEnd;
  output?: JsonObject;
  /** Why it did not succeed. */
  reason?: StopReason;
  /** Steps that were done, or may have been, and were not undone because an operator said so. */
  left?: readonly string[];
}

/** `compensated`: it did not succeed, and whatever was done and can be undone is undone. `failed`: an operator left something as it is. */
export type SagaEnd = 'succeeded' | 'compensated' | 'failed';

/** Why a saga stopped. */
export type StopReason =
  | { kind: 'step_failed'; step: string; status: StepEnd; error?: ErrorBody }
  | { kind: 'rejected'; step: string; by: string }
  | { kind: 'aborted'; by: string; reason?: string }
  | { kind: 'deadline_exceeded' }
  | { kind: 'output_failed'; error: ErrorBody };

export interface OutputFailed extends Fact {
  fact: 'output_failed';
  error: ErrorBody;
}

export type SagaFact =
  | SagaStarted
  | StepJoined
  | StepStarted
  | RetryScheduled
  | StepEnded
  | ApprovalRequested
  | ApprovalGiven
  | CompensationStarted
  | CompensationEnded
  | AbortRequested
  | CompleteRequested
  | DeadlineFired
  | OperatorDecided
  | OutputFailed
  | SagaEnded;

/** Every fact that there is. */
export const SAGA_FACTS = [
  'saga_started',
  'step_joined',
  'step_started',
  'retry_scheduled',
  'step_ended',
  'approval_requested',
  'approval_given',
  'compensation_started',
  'compensation_ended',
  'abort_requested',
  'complete_requested',
  'deadline_fired',
  'operator_decided',
  'output_failed',
  'saga_ended',
] as const satisfies readonly SagaFact['fact'][];

/**
 * Reads what only our own orchestrators may write; a wrong shape is a fault and says so.
 * @throws TypeError when it is no fact, or one of a version that is not known.
 */
export function parseSagaFact(data: Uint8Array | string): SagaFact {
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('utf8');
  const fact = JSON.parse(text) as SagaFact | null;
  if (fact?.fact_version !== FACT_VERSION) throw new TypeError('not a fact of a saga of a version that is known');
  if (!SAGA_FACTS.includes(fact.fact)) throw new TypeError('not a fact of a saga that is known');
  return fact;
}
