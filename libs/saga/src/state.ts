/**
 * What the facts of a saga amount to. Plain JSON, never changed in place, and made by `evolve` alone, which only takes down what a fact says:
 * it decides nothing, evaluates nothing, and comes to the same state whoever reads the facts, as often as they are read.
 */
import type { ActionName, ErrorBody, JsonObject, Priority } from '@callboard/envelope';
import type { SagaDefinition } from './definition.js';
import type { SagaEnd, SagaFact, StepEnd, StopReason, Undo } from './fact.js';

export interface SagaState {
  phase: SagaPhase;
  saga_id: string;
  tenant_id: string;
  user_id: string;
  groups: readonly string[];
  definition?: SagaDefinition;
  input: JsonObject;
  started_at: string;
  deadline_at: string;
  /** By path, in the order in which they began. */
  steps: Readonly<Record<string, StepState>>;
  /** How many steps have ended; the next one that does gets this number. */
  ended: number;
  /** The client of an envelope saga said that nothing more will join. */
  complete: boolean;
  stopped?: StopReason;
  output?: JsonObject;
  left: readonly string[];
  ended_at?: string;
}

/**
 * `absent` before the first fact. `running`: steps are begun. `stopping`: nothing is begun, and what runs is waited for. `compensating`: what
 * is done is undone. `halted`: something could not be undone, and an operator must decide. The rest is final.
 */
export type SagaPhase = 'absent' | 'running' | 'stopping' | 'compensating' | 'halted' | SagaEnd;

export interface StepState {
  kind: 'action' | 'saga' | 'approval';
  status: 'running' | 'retrying' | StepEnd;
  attempt: number;
  started_at: string;
  args: JsonObject;
  /** Of the attempt under way, or of the last one. */
  command?: {
    correlation_id: string;
    action: ActionName;
    ordering_key: string;
    deadline_ms?: number;
    priority?: Priority;
    /** It is a call that joined: others sent it. */
    joined: boolean;
  };
  question?: { prompt: string; approvers: readonly string[] };
  /** When the next attempt is due, or the wait for an answer over. */
  due_at?: string;
  output?: JsonObject;
  error?: ErrorBody;
  /** An attempt ended and nobody knows whether it had its effect. */
  in_doubt: boolean;
  /** Its place in the order in which steps ended. */
  ended?: number;
  ended_at?: string;
  /** What undoes it: known from the beginning for a call that joined, from its end for others. Gone when there is nothing to undo. */
  undo?: Undo;
  undoing?: UndoState;
}

export interface UndoState {
  status: 'running' | 'retrying' | 'halted' | 'retry' | 'undone' | 'skipped';
  attempt: number;
  /** Attempts made before an operator last said to try again. */
  attempts_before: number;
  correlation_id?: string;
  started_at?: string;
  due_at?: string;
  error?: ErrorBody;
  ended_at?: string;
}

export function initialState(): SagaState {
  return {
    phase: 'absent',
    saga_id: '',
    tenant_id: '',
    user_id: '',
    groups: [],
    input: {},
    started_at: '',
    deadline_at: '',
    steps: {},
    ended: 0,
    complete: false,
    left: [],
  };
}

/** The state after one more fact. */
export function evolve(state: SagaState, fact: SagaFact): SagaState {
  switch (fact.fact) {
    case 'saga_started':
      return {
        ...state,
        phase: 'running',
        saga_id: fact.saga_id,
        tenant_id: fact.tenant_id,
        user_id: fact.user_id,
        groups: fact.groups ?? [],
        ...(fact.definition && { definition: fact.definition }),
        input: fact.input,
        started_at: fact.at,
        deadline_at: fact.deadline_at,
      };
    case 'step_joined':
      return withStep(state, fact.step, {
        kind: 'action',
        status: 'running',
        attempt: 1,
        started_at: fact.at,
        args: {},
        command: {
          correlation_id: fact.correlation_id,
          action: fact.action,
          ordering_key: fact.ordering_key,
          joined: true,
        },
        in_doubt: false,
        ...(fact.undo && { undo: fact.undo }),
      });
    case 'step_started':
      return withStep(state, fact.step, {
        kind: fact.command ? 'action' : 'saga',
        status: 'running',
        attempt: fact.attempt,
        started_at: fact.at,
        args: fact.args,
        ...(fact.command && { command: { ...fact.command, joined: false } }),
        in_doubt: state.steps[fact.step]?.in_doubt ?? false,
      });
    case 'approval_requested':
      return withStep(state, fact.step, {
        kind: 'approval',
        status: 'running',
        attempt: 1,
        started_at: fact.at,
        args: {},
        question: { prompt: fact.prompt, approvers: fact.approvers },
        ...(fact.due_at !== undefined && { due_at: fact.due_at }),
        in_doubt: false,
      });
    case 'retry_scheduled':
      return fact.doing === 'act'
        ? withStep(state, fact.step, {
            ...state.steps[fact.step]!,
            status: 'retrying',
            due_at: fact.due_at,
            in_doubt: state.steps[fact.step]!.in_doubt || fact.in_doubt,
            ...(fact.error && { error: fact.error }),
          })
        : withUndo(state, fact.step, {
            status: 'retrying',
            due_at: fact.due_at,
            ...(fact.error && { error: fact.error }),
          });
    case 'step_ended':
      return stepEnded(state, fact.step, fact.status, fact.at, {
        ...(fact.output && { output: fact.output }),
        ...(fact.error && { error: fact.error }),
        in_doubt: fact.in_doubt ?? false,
        undo: fact.undo,
      });
    case 'approval_given': {
      const output = {
        approved: fact.approved,
        by: fact.by,
        ...(fact.comment !== undefined && { comment: fact.comment }),
      };
      return stepEnded(state, fact.step, fact.approved ? 'succeeded' : 'rejected', fact.at, { output });
    }
    case 'compensation_started':
      return withUndo({ ...state, phase: 'compensating' }, fact.step, {
        status: 'running',
        attempt: fact.attempt,
        correlation_id: fact.correlation_id,
        started_at: fact.at,
      });
    case 'compensation_ended':
      return withUndo({ ...state, phase: fact.status === 'succeeded' ? 'compensating' : 'halted' }, fact.step, {
        status: fact.status === 'succeeded' ? 'undone' : 'halted',
        ...(fact.error && { error: fact.error }),
        ended_at: fact.at,
      });
    case 'operator_decided':
      return operatorDecided(state, fact.step, fact.verb);
    case 'abort_requested':
      return stop(state, {
        kind: 'aborted',
        by: fact.by,
        ...(fact.reason !== undefined && { reason: fact.reason }),
      });
    case 'deadline_fired':
      return stop(state, { kind: 'deadline_exceeded' });
    case 'output_failed':
      return stop(state, { kind: 'output_failed', error: fact.error });
    case 'complete_requested':
      return { ...state, complete: true };
    case 'saga_ended':
      return { ...state, phase: fact.status, ended_at: fact.at, ...(fact.output && { output: fact.output }) };
  }
}

/** The state that facts amount to. */
export function evolveAll(state: SagaState, facts: readonly SagaFact[]): SagaState {
  return facts.reduce(evolve, state);
}

export function isEnded(state: SagaState): boolean {
  return state.phase === 'succeeded' || state.phase === 'compensated' || state.phase === 'failed';
}

export function isBeingUndone({ undoing }: StepState): boolean {
  return undoing?.status === 'running' || undoing?.status === 'retrying' || undoing?.status === 'halted';
}

function withStep(state: SagaState, step: string, after: StepState): SagaState {
  return { ...state, steps: { ...state.steps, [step]: after } };
}

function withUndo(state: SagaState, step: string, change: Partial<UndoState>): SagaState {
  const before = state.steps[step]!;
  const undoing: UndoState = { status: 'running', attempt: 0, attempts_before: 0, ...before.undoing, ...change };
  return withStep(state, step, { ...before, undoing });
}

function stepEnded(
  state: SagaState,
  step: string,
  status: StepEnd,
  at: string,
  end: Pick<StepState, 'output' | 'error'> & { in_doubt?: boolean; undo?: Undo | undefined },
): SagaState {
  const {
    due_at: _,
    undo: _known,
    ...before
  } = state.steps[step] ?? {
    // Skipped, or failed before it began.
    kind: 'action' as const,
    attempt: 0,
    started_at: at,
    args: {},
  };
  const after: StepState = {
    ...before,
    status,
    ...(end.output && { output: end.output }),
    ...(end.error && { error: end.error }),
    in_doubt: end.in_doubt ?? false,
    ended: state.ended,
    ended_at: at,
    ...(end.undo && { undo: end.undo }),
  };
  const next = withStep({ ...state, ended: state.ended + 1 }, step, after);
  if (status === 'succeeded' || status === 'skipped') return next;
  const by = status === 'rejected' ? String(end.output?.['by']) : undefined;
  return stop(
    next,
    by === undefined
      ? { kind: 'step_failed', step, status, ...(end.error && { error: end.error }) }
      : { kind: 'rejected', step, by },
  );
}

/** The first reason counts. */
function stop(state: SagaState, reason: StopReason): SagaState {
  return state.phase === 'running' ? { ...state, phase: 'stopping', stopped: reason } : state;
}

function operatorDecided(state: SagaState, step: string, verb: 'retry' | 'skip' | 'abort'): SagaState {
  const resumed: SagaState = { ...state, phase: 'compensating' };
  if (verb === 'retry') {
    const attempts = state.steps[step]!.undoing?.attempt ?? 0;
    return withUndo(resumed, step, { status: 'retry', attempts_before: attempts });
  }
  const left = verb === 'skip' ? [step] : toUndo(state);
  return left.reduce(
    (after, each) => withUndo({ ...after, left: [...after.left, each] }, each, { status: 'skipped' }),
    resumed,
  );
}

/** Steps that are to be undone still, the last one that ended first. */
export function toUndo(state: SagaState): string[] {
  return Object.keys(state.steps)
    .filter((path) => {
      const { ended, undo, undoing } = state.steps[path]!;
      return ended !== undefined && undo && undoing?.status !== 'undone' && undoing?.status !== 'skipped';
    })
    .sort((a, b) => state.steps[b]!.ended! - state.steps[a]!.ended!);
}
