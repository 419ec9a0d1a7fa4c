/**
 * What should be in the world now for a saga in this state: the commands, timers and questions that are out, and the cancellations. It follows
 * from the state alone, so whoever takes a saga over brings all of it about again, and that does no harm: every effect has an id that is
 * always the same, a command also its correlation id, and what is there already is refused by the stream.
 *
 * A saga that has not ended has at least one effect out: there is always something that will tell it more.
 */
import type { ActionName, ErrorBody, JsonObject, Priority } from '@callboard/envelope';
import type { Doing, SentBy } from './fact.js';
import { isBeingUndone, isEnded, type SagaState, type StepState } from './state.js';

export type Effect = CommandEffect | WatchEffect | CancelEffect | TimerEffect | ApprovalEffect | OperatorEffect;

/** A command of the saga is to be run. Its outcome is told to the saga. */
export interface CommandEffect {
  kind: 'command';
  id: string;
  step: string;
  doing: Doing;
  attempt: number;
  correlation_id: string;
  /** One for all attempts at the same thing. */
  idempotency_key: string;
  action: ActionName;
  args: JsonObject;
  ordering_key: string;
  deadline_ms?: number;
  priority?: Priority;
  /** Absent: whoever began the saga. */
  sent_by?: SentBy;
  /** When it was decided; what is worked out from it is the same whenever it is sent again. */
  issued_at: string;
}

/** The outcome of a call that joined is to be told to the saga. */
export interface WatchEffect {
  kind: 'watch';
  id: string;
  step: string;
  correlation_id: string;
}

/** The command is to be cancelled. Its outcome is told to the saga, whatever it is. */
export interface CancelEffect {
  kind: 'cancel';
  id: string;
  step: string;
  correlation_id: string;
}

/** The saga is to be told when this time has come. */
export interface TimerEffect {
  kind: 'timer';
  id: string;
  due_at: string;
}

/** A person is to be asked. */
export interface ApprovalEffect {
  kind: 'approval';
  id: string;
  step: string;
  prompt: string;
  approvers: readonly string[];
  due_at?: string;
}

/** An operator is to be called: this step cannot be undone. */
export interface OperatorEffect {
  kind: 'operator';
  id: string;
  step: string;
  error: ErrorBody;
}

export const DEADLINE_TIMER = 'deadline';

export function outstanding(state: SagaState): Effect[] {
  if (state.phase === 'absent' || isEnded(state)) return [];
  const running = state.phase === 'running';
  const effects: Effect[] = [];
  for (const [path, step] of Object.entries(state.steps)) {
    if (step.ended === undefined) effects.push(...ofStep(state, path, step, running));
  }
  if (running) effects.push({ kind: 'timer', id: DEADLINE_TIMER, due_at: state.deadline_at });
  if (state.phase === 'compensating' || state.phase === 'halted') effects.push(...ofUndo(state));
  return effects;
}

function ofStep(state: SagaState, path: string, step: StepState, running: boolean): Effect[] {
  const { command } = step;
  if (step.status === 'retrying') return [{ kind: 'timer', id: actTimer(path, step), due_at: step.due_at! }];
  if (step.question) {
    const due = step.due_at === undefined ? {} : { due_at: step.due_at };
    const ask: Effect = { kind: 'approval', id: `ask:${path}`, step: path, ...step.question, ...due };
    return step.due_at === undefined ? [ask] : [ask, { kind: 'timer', id: approvalTimer(path), due_at: step.due_at }];
  }
  if (!command) return [];
  const { correlation_id } = command;
  const effects: Effect[] = [
    command.joined
      ? { kind: 'watch', id: `watch:${correlation_id}`, step: path, correlation_id }
      : commandEffect(state, path, 'act', {
          attempt: step.attempt,
          correlation_id,
          action: command.action,
          args: step.args,
          ordering_key: command.ordering_key,
          ...(command.deadline_ms !== undefined && { deadline_ms: command.deadline_ms }),
          ...(command.priority && { priority: command.priority }),
          issued_at: step.started_at,
        }),
  ];
  // After the command itself: one that was never sent would have no outcome either.
  if (!running) effects.push({ kind: 'cancel', id: `cancel:${correlation_id}`, step: path, correlation_id });
  return effects;
}

function ofUndo(state: SagaState): Effect[] {
  const path = Object.keys(state.steps).find((each) => isBeingUndone(state.steps[each]!));
  if (path === undefined) return [];
  const { undoing, undo } = state.steps[path] as Required<StepState>;
  if (undoing.status === 'halted') {
    const error = undoing.error ?? ('error' in undo ? undo.error : undefined);
    return [{ kind: 'operator', id: `operator:${path}:${undoing.attempt}`, step: path, error: error! }];
  }
  if (undoing.status === 'retrying') {
    return [{ kind: 'timer', id: undoTimer(path, undoing.attempt), due_at: undoing.due_at! }];
  }
  if ('error' in undo) return [];
  return [
    commandEffect(state, path, 'undo', {
      attempt: undoing.attempt,
      correlation_id: undoing.correlation_id!,
      action: undo.action,
      args: undo.args,
      ordering_key: undo.ordering_key,
      ...(undo.deadline_ms !== undefined && { deadline_ms: undo.deadline_ms }),
      ...(undo.sent_by && { sent_by: undo.sent_by }),
      issued_at: undoing.started_at!,
    }),
  ];
}

function commandEffect(
  state: SagaState,
  step: string,
  doing: Doing,
  command: Omit<CommandEffect, 'kind' | 'id' | 'step' | 'doing' | 'idempotency_key'>,
): CommandEffect {
  return {
    kind: 'command',
    id: `command:${command.correlation_id}`,
    step,
    doing,
    idempotency_key: `${state.saga_id}:${step}:${doing}`,
    ...command,
  };
}

export function actTimer(path: string, { attempt }: Pick<StepState, 'attempt'>): string {
  return `retry:act:${attempt}:${path}`;
}

export function undoTimer(path: string, attempt: number): string {
  return `retry:undo:${attempt}:${path}`;
}

export function approvalTimer(path: string): string {
  return `approval:${path}`;
}
