import { actionId, type ErrorBody } from '@callboard/envelope';
import type { SagaState, StepState } from '@callboard/saga';
import type { SagaRecord } from './saga-journal.js';

/** A saga in words that a person or a client can use: no arguments, no results but the saga's own output. */
export interface SagaView {
  saga_id: string;
  tenant_id: string;
  user_id: string;
  /** `requested` until an orchestrator has begun it. */
  phase: string;
  /** `<id>@<version>`; absent for one whose steps join as calls. */
  definition?: string;
  started_at?: string;
  deadline_at?: string;
  ended_at?: string;
  steps: StepView[];
  /** Why it did not go on. */
  reason?: SagaState['stopped'];
  output?: SagaState['output'];
  /** Steps that an operator has left as they are. */
  left?: readonly string[];
}

export interface StepView {
  step: string;
  status: string;
  action?: string;
  attempt: number;
  correlation_id?: string;
  in_doubt?: boolean;
  /** How far undoing it is. */
  undone?: string;
  /** What a person is asked, and who may answer; nobody in particular when it is empty. */
  question?: { prompt: string; approvers: readonly string[] };
  error?: Pick<ErrorBody, 'code' | 'message'>;
}

export function describeSaga({ tenantId, sagaId, command, state }: SagaRecord): SagaView {
  const { definition, stopped, output, left } = state;
  return {
    saga_id: sagaId,
    tenant_id: tenantId,
    user_id: state.user_id || (command?.user_id ?? ''),
    phase: state.phase === 'absent' ? 'requested' : state.phase,
    ...(definition && { definition: `${definition.id}@${definition.version}` }),
    ...(state.started_at && { started_at: state.started_at, deadline_at: state.deadline_at }),
    ...(state.ended_at !== undefined && { ended_at: state.ended_at }),
    steps: Object.entries(state.steps).map(([step, is]) => describeStep(step, is)),
    ...(stopped && { reason: stopped }),
    ...(output && { output }),
    ...(left.length > 0 && { left }),
  };
}

function describeStep(
  step: string,
  { status, attempt, command, undoing, question, error, ...is }: StepState,
): StepView {
  const failure = undoing?.error ?? error;
  return {
    step,
    status,
    ...(command && { action: actionId(command.action) }),
    attempt,
    ...(command && { correlation_id: command.correlation_id }),
    ...(is.in_doubt && { in_doubt: true }),
    ...(undoing && { undone: undoing.status }),
    ...(question && { question }),
    ...(failure && { error: { code: failure.code, message: failure.message } }),
  };
}
