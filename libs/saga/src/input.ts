/** What a saga may be told. All of it can come late, twice, in another order, or not be for this saga at all: then nothing is decided. */
import type { ActionName, ErrorBody, JsonObject, OutcomeStatus } from '@callboard/envelope';
import type { SagaDefinition } from './definition.js';
import type { OperatorVerb, SentBy } from './fact.js';

interface Input {
  /** When it is told, ISO 8601, UTC: the only clock that the engine knows. */
  at: string;
}

export type SagaInput =
  StartInput | JoinInput | OutcomeInput | TimerInput | ApprovalInput | AbortInput | CompleteInput | OperatorInput;

export interface StartInput extends Input {
  kind: 'start';
  saga_id: string;
  tenant_id: string;
  user_id: string;
  groups?: readonly string[];
  /** Absent: an envelope saga. */
  definition?: SagaDefinition;
  /** Has been held against the definition's input schema. */
  input?: JsonObject;
  /** At most the definition's own deadline from now, where there is one. */
  deadline_at?: string;
}

/** A call with `saga_id` was accepted. */
export interface JoinInput extends Input {
  kind: 'join';
  step: string;
  correlation_id: string;
  action: ActionName;
  ordering_key: string;
  compensation?: { tool: string; method: string; args: JsonObject };
  /** Absent where no caller sent the call. */
  sent_by?: SentBy;
}

/** A command ended. */
export interface OutcomeInput extends Input {
  kind: 'outcome';
  correlation_id: string;
  status: OutcomeStatus;
  /** As the action returned it. */
  result?: JsonObject;
  error?: ErrorBody;
  attempts?: number;
}

/** A timer of `outstanding` fired. */
export interface TimerInput extends Input {
  kind: 'timer';
  timer: string;
}

export interface ApprovalInput extends Input {
  kind: 'approval';
  step: string;
  approved: boolean;
  by: string;
  groups?: readonly string[];
  comment?: string;
}

export interface AbortInput extends Input {
  kind: 'abort';
  by: string;
  reason?: string;
}

export interface CompleteInput extends Input {
  kind: 'complete';
  by: string;
}

/** About the compensation for which the saga is halted. */
export interface OperatorInput extends Input {
  kind: 'operator';
  verb: OperatorVerb;
  by: string;
  reason?: string;
}
