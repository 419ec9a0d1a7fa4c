/**
 * What follows when a saga is told something: facts, to be stored all together or not at all before anything else is done about them.
 *
 * 1. What is told is taken down, if it is news: `accept`. What is late, told twice, told too early or not for this saga decides nothing.
 * 2. Then whatever follows from the state is decided, fact by fact, until nothing does: `follow`.
 *
 * Invariants: nothing is begun once a saga stops. What is undone is always the step that ended last among those that are still to be undone,
 * one at a time, and not before all that ran has ended. A saga that has ended decides nothing.
 */
import {
  CallboardError,
  parseActionId,
  type ErrorBody,
  type ErrorCode,
  type JsonObject,
  LIMITS,
} from '@callboard/envelope';
import {
  COMPENSATION_RETRY,
  type ActionStep,
  type ApprovalStep,
  type Retry,
  type StepDefinition,
  type SubSaga,
} from './definition.js';
import { evaluateCondition, ExpressionError, type Scope } from './expression.js';
import { FACT_VERSION, type Doing, type SagaFact, type Undo } from './fact.js';
import { sagaCorrelationId, spreadOf } from './ids.js';
import type { ApprovalInput, JoinInput, OutcomeInput, SagaInput, StartInput } from './input.js';
import { SAGA_LIMITS } from './limits.js';
import { actTimer, approvalTimer, DEADLINE_TIMER, undoTimer } from './outstanding.js';
import { evolve, isBeingUndone, isEnded, toUndo, type SagaState, type StepState } from './state.js';
import { bytesOf, fill } from './template.js';

/** A fact without what all facts have. */
type News = SagaFact extends infer F ? (F extends SagaFact ? Omit<F, 'fact_version' | 'at'> : never) : never;

export function decide(state: SagaState, input: SagaInput): SagaFact[] {
  const facts: SagaFact[] = [];
  let after = state;
  const add = (news: News): void => {
    const fact = { fact_version: FACT_VERSION, ...news, at: input.at } as SagaFact;
    facts.push(fact);
    after = evolve(after, fact);
  };
  const accepted = accept(state, input);
  if (!accepted) return [];
  add(accepted);
  for (let next = follow(after, input.at); next; next = follow(after, input.at)) add(next);
  return facts;
}

function accept(state: SagaState, input: SagaInput): News | undefined {
  if (input.kind === 'start') return state.phase === 'absent' ? started(input) : undefined;
  if (state.phase === 'absent' || isEnded(state)) return undefined;
  switch (input.kind) {
    case 'join':
      return joined(state, input);
    case 'outcome':
      return outcome(state, input);
    case 'timer':
      return timer(state, input.timer);
    case 'approval':
      return answer(state, input);
    case 'abort':
      if (state.phase !== 'running') return undefined;
      return { fact: 'abort_requested', by: input.by, ...cut('reason', input.reason) };
    case 'complete':
      if (state.phase !== 'running' || state.definition || state.complete) return undefined;
      return { fact: 'complete_requested', by: input.by };
    case 'operator': {
      const step = Object.keys(state.steps).find((path) => state.steps[path]!.undoing?.status === 'halted');
      if (step === undefined) return undefined;
      return { fact: 'operator_decided', step, verb: input.verb, by: input.by, ...cut('reason', input.reason) };
    }
  }
}

function started(input: StartInput): News {
  const longest = after(input.at, input.definition?.deadline_ms ?? SAGA_LIMITS.deadlineMs);
  const wanted = input.deadline_at ?? longest;
  return {
    fact: 'saga_started',
    saga_id: input.saga_id,
    tenant_id: input.tenant_id,
    user_id: input.user_id,
    ...(input.groups && { groups: input.groups }),
    ...(input.definition && { definition: input.definition }),
    input: input.input ?? {},
    deadline_at: Date.parse(wanted) < Date.parse(longest) ? wanted : longest,
  };
}

/** Also one that joins too late: it runs, so it is cancelled, and undone if it was done all the same. */
function joined(state: SagaState, input: JoinInput): News | undefined {
  if (state.definition) return undefined;
  const steps = Object.entries(state.steps);
  if (steps.some(([, { command }]) => command?.correlation_id === input.correlation_id)) return undefined;
  if (steps.length >= SAGA_LIMITS.steps) return undefined;
  let step = input.step;
  for (let n = 2; state.steps[step]; n++) step = `${input.step}#${n}`;
  return {
    fact: 'step_joined',
    step,
    correlation_id: input.correlation_id,
    action: input.action,
    ordering_key: input.ordering_key,
    ...(input.compensation && { undo: undoOfCall(input, input.compensation) }),
  };
}

function undoOfCall({ ordering_key, sent_by }: JoinInput, compensation: NonNullable<JoinInput['compensation']>): Undo {
  const { tool, method, args } = compensation;
  const undo = { action: { tool, method }, args, ordering_key, retry: COMPENSATION_RETRY };
  return sent_by ? { ...undo, sent_by } : undo;
}

function outcome(state: SagaState, input: OutcomeInput): News | undefined {
  for (const [path, step] of Object.entries(state.steps)) {
    if (step.status === 'running' && step.command?.correlation_id === input.correlation_id) {
      return attemptEnded(state, path, step, input);
    }
    if (step.undoing?.status === 'running' && step.undoing.correlation_id === input.correlation_id) {
      return undoEnded(state, path, step, input);
    }
  }
  return undefined;
}

function attemptEnded(state: SagaState, path: string, step: StepState, input: OutcomeInput): News {
  const { status } = input;
  if (status === 'succeeded') return succeeded(state, path, step, outputOf(input.result));
  const error = input.error && { error: input.error };
  const in_doubt = step.in_doubt || isInDoubt(input);
  const retry = actionAt(state, path)?.retry;
  if (state.phase === 'running' && retry && mayRetry(input, step.attempt, retry)) {
    return retryScheduled(state, path, 'act', step.attempt, step.attempt, retry, input, isInDoubt(input));
  }
  return {
    fact: 'step_ended',
    step: path,
    status,
    ...error,
    ...(in_doubt && { in_doubt, ...undoInDoubt(state, path, step) }),
  };
}

/** Did the command end in a way that leaves open whether it had its effect? */
function isInDoubt({ status, error, attempts }: OutcomeInput): boolean {
  if (error?.code === 'in_doubt') return true;
  return (status === 'deadline_exceeded' || status === 'cancelled') && attempts !== 0;
}

/** A failure that the action calls final is not worth another attempt. */
function mayRetry({ status, error }: OutcomeInput, attempt: number, retry: Retry): boolean {
  if (status === 'failed' && !error?.retryable && error?.code !== 'in_doubt') return false;
  return attempt < Math.min(retry.max_attempts, SAGA_LIMITS.attempts);
}

function retryScheduled(
  state: SagaState,
  step: string,
  doing: Doing,
  attempt: number,
  failures: number,
  { backoff_ms, max_backoff_ms }: Retry,
  { status, error, at }: OutcomeInput,
  in_doubt: boolean,
): News {
  const wait = Math.min(backoff_ms * 2 ** (failures - 1), max_backoff_ms);
  const due_at = after(at, Math.round(wait * spreadOf(state.saga_id, step, doing, attempt)));
  const failure = status as Exclude<typeof status, 'succeeded'>;
  return { fact: 'retry_scheduled', step, doing, attempt, status: failure, ...(error && { error }), in_doubt, due_at };
}

/** A step is done. When what it returned cannot be kept, or what undoes it cannot be worked out, the saga goes no further. */
function succeeded(state: SagaState, path: string, step: StepState, output: JsonObject): News {
  const undo = undoOf(state, path, step, output);
  const kept = Object.values(state.steps).reduce((bytes, each) => bytes + bytesOf(each.output), 0);
  const size = bytesOf(output);
  if (size > SAGA_LIMITS.valueBytes || kept + size > SAGA_LIMITS.outputBytes) {
    const error = errorOf('payload_too_large', 'The step returned more than a saga can keep');
    return { fact: 'step_ended', step: path, status: 'failed', error, in_doubt: true, ...(undo && { undo }) };
  }
  if (undo && 'error' in undo) {
    return { fact: 'step_ended', step: path, status: 'failed', output, error: undo.error, in_doubt: true, undo };
  }
  return { fact: 'step_ended', step: path, status: 'succeeded', output, ...(undo && { undo }) };
}

function undoOf(state: SagaState, path: string, step: StepState, output: JsonObject): Undo | undefined {
  if (step.undo) return step.undo;
  const compensation = actionAt(state, path)?.compensation;
  if (!compensation) return undefined;
  const { action, deadline_ms, retry } = compensation;
  return attempt<Undo>(
    () => ({
      action: parseActionId(action),
      args: objectOf(fill(compensation.args, { ...scopeOf(state, parentOf(path)), args: step.args, output })),
      ordering_key: step.command!.ordering_key,
      ...(deadline_ms !== undefined && { deadline_ms }),
      retry,
    }),
    (error) => ({ error }),
  );
}

/** What the paths of a step's siblings begin with. */
function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}

function undoInDoubt(state: SagaState, path: string, step: StepState): { undo?: Undo } {
  const what = actionAt(state, path)?.compensation?.in_doubt ?? 'undo';
  if (what === 'skip') return {};
  if (what === 'halt') return { undo: { error: errorOf('in_doubt', 'Whether the step had its effect is not known') } };
  const undo = undoOf(state, path, step, {});
  return undo ? { undo } : {};
}

function undoEnded(state: SagaState, path: string, step: StepState, input: OutcomeInput): News {
  const { status, error } = input;
  const { attempt, attempts_before } = step.undoing!;
  const { retry } = step.undo as Exclude<Undo, { error: ErrorBody }>;
  const failures = attempt - attempts_before;
  if (status !== 'succeeded' && mayRetry(input, failures, retry)) {
    return retryScheduled(state, path, 'undo', attempt, failures, retry, input, false);
  }
  return {
    fact: 'compensation_ended',
    step: path,
    status,
    ...(status !== 'succeeded' && { error: error ?? errorOf('internal', 'The compensation ended without a reason') }),
  };
}

function timer(state: SagaState, id: string): News | undefined {
  if (id === DEADLINE_TIMER) return state.phase === 'running' ? { fact: 'deadline_fired' } : undefined;
  for (const [path, step] of Object.entries(state.steps)) {
    if (step.status === 'retrying' && id === actTimer(path, step)) {
      return state.phase === 'running' ? again(state, path, step) : undefined;
    }
    if (step.question && step.ended === undefined && step.due_at !== undefined && id === approvalTimer(path)) {
      return { fact: 'step_ended', step: path, status: 'deadline_exceeded', ...noAnswer() };
    }
    if (step.undoing?.status === 'retrying' && id === undoTimer(path, step.undoing.attempt)) return undo(state, path);
  }
  return undefined;
}

function noAnswer(): { error: ErrorBody } {
  return { error: errorOf('deadline_exceeded', 'Nobody answered in time') };
}

function again(state: SagaState, path: string, { attempt, args, command }: StepState): News {
  const { joined: _, ...same } = command!;
  const next = attempt + 1;
  const correlation_id = sagaCorrelationId(state.tenant_id, state.saga_id, path, 'act', next);
  return { fact: 'step_started', step: path, attempt: next, command: { ...same, correlation_id }, args };
}

function answer(state: SagaState, input: ApprovalInput): News | undefined {
  const step = state.steps[input.step];
  if (!step?.question || step.ended !== undefined || state.phase !== 'running') return undefined;
  if (!mayAnswer(step, input)) return undefined;
  const { approved, by } = input;
  return { fact: 'approval_given', step: input.step, approved, by, ...cut('comment', input.comment) };
}

/** May this principal answer a step's question? */
export function mayAnswer(
  { question }: StepState,
  { by, groups = [] }: { by: string; groups?: readonly string[] },
): boolean {
  if (!question) return false;
  const { approvers } = question;
  return approvers.length === 0 || approvers.includes(by) || groups.some((group) => approvers.includes(group));
}

/** The next fact that follows from the state alone. */
function follow(state: SagaState, at: string): News | undefined {
  switch (state.phase) {
    case 'running':
      return state.definition ? ahead(state, at) : completed(state);
    case 'stopping':
    case 'compensating':
      return back(state);
    default:
      return undefined;
  }
}

function completed(state: SagaState): News | undefined {
  const done = Object.values(state.steps).every(({ ended }) => ended !== undefined);
  return state.complete && done ? { fact: 'saga_ended', status: 'succeeded' } : undefined;
}

function ahead(state: SagaState, at: string): News | undefined {
  const { steps, output } = state.definition!;
  const next = inList(state, steps, { parent: '', lane: state.saga_id, at });
  if (next !== 'done') return next;
  return attempt<News>(
    () => ({
      fact: 'saga_ended',
      status: 'succeeded',
      ...(output !== undefined && { output: objectOf(fill(output, scopeOf(state, ''))) }),
    }),
    (error) => ({ fact: 'output_failed', error }),
  );
}

interface Position {
  /** Empty, or `<name of the sub-saga>/`. */
  parent: string;
  /** The ordering key of steps that name none: one a saga, and one for each parallel branch, or branches would wait for each other. */
  lane: string;
  at: string;
}

/** What is next in a list of steps: nothing yet when one of them runs, `done` when all of them have ended. */
function inList(state: SagaState, steps: readonly StepDefinition[], position: Position): News | 'done' | undefined {
  for (const step of steps) {
    const next = step.kind === 'parallel' ? inBranches(state, step.branches, position) : inStep(state, step, position);
    if (next !== 'done') return next;
  }
  return 'done';
}

function inBranches(
  state: SagaState,
  branches: readonly (readonly StepDefinition[])[],
  position: Position,
): News | 'done' | undefined {
  let ended = 0;
  for (const branch of branches) {
    const lane = `${position.lane}/${firstName(branch)}`;
    const next = inList(state, branch, { ...position, lane });
    if (next === 'done') ended++;
    else if (next) return next;
  }
  return ended === branches.length ? 'done' : undefined;
}

function firstName([first]: readonly StepDefinition[]): string {
  return first!.kind === 'parallel' ? firstName(first!.branches[0]!) : first!.name;
}

type NamedStep = ActionStep | SubSaga | ApprovalStep;

function inStep(state: SagaState, step: NamedStep, position: Position): News | 'done' | undefined {
  const path = position.parent + step.name;
  const known = state.steps[path];
  if (known?.ended !== undefined) return 'done';
  if (known) return step.kind === 'saga' ? inSubSaga(state, step, position) : undefined;
  return attempt<News>(
    () => begin(state, step, position),
    (error) => failed(path, error),
  );
}

function inSubSaga(state: SagaState, { name, steps, output }: SubSaga, position: Position): News | undefined {
  const path = position.parent + name;
  const next = inList(state, steps, { ...position, parent: `${path}/` });
  if (next !== 'done') return next;
  return attempt<News>(
    () => ({
      fact: 'step_ended',
      step: path,
      status: 'succeeded',
      output: output === undefined ? {} : objectOf(fill(output, scopeOf(state, `${path}/`))),
    }),
    (error) => failed(path, error),
  );
}

function failed(step: string, error: ErrorBody): News {
  return { fact: 'step_ended', step, status: 'failed', error };
}

function begin(state: SagaState, step: NamedStep, { parent, lane, at }: Position): News {
  const path = parent + step.name;
  const scope = scopeOf(state, parent);
  if (step.when !== undefined && !evaluateCondition(step.when, scope)) {
    return { fact: 'step_ended', step: path, status: 'skipped' };
  }
  switch (step.kind) {
    case 'saga':
      return { fact: 'step_started', step: path, attempt: 1, args: objectOf(fill(step.input, scope)) };
    case 'approval':
      return {
        fact: 'approval_requested',
        step: path,
        prompt: String(fill(step.prompt, scope)).slice(0, SAGA_LIMITS.textChars),
        approvers: step.approvers,
        ...(step.deadline_ms !== undefined && { due_at: after(at, step.deadline_ms) }),
      };
    case 'action':
      return {
        fact: 'step_started',
        step: path,
        attempt: 1,
        command: {
          correlation_id: sagaCorrelationId(state.tenant_id, state.saga_id, path, 'act', 1),
          action: parseActionId(step.action),
          ordering_key: step.ordering_key === undefined ? lane : keyOf(fill(step.ordering_key, scope)),
          ...(step.deadline_ms !== undefined && { deadline_ms: step.deadline_ms }),
          ...(step.priority && { priority: step.priority }),
        },
        args: objectOf(fill(step.args, scope)),
      };
  }
}

/** What is next on the way back: what runs is waited for, and then steps are undone one by one. */
function back(state: SagaState): News | undefined {
  for (const [path, step] of Object.entries(state.steps)) {
    const withdrawn = step.ended === undefined && (step.kind === 'approval' || step.status === 'retrying');
    if (withdrawn) {
      const doubt = step.in_doubt ? { in_doubt: true, ...undoInDoubt(state, path, step) } : {};
      return { fact: 'step_ended', step: path, status: 'cancelled', ...doubt };
    }
  }
  const unended = Object.keys(state.steps).filter((path) => state.steps[path]!.ended === undefined);
  if (unended.some((path) => state.steps[path]!.kind === 'action')) return undefined;
  // Of sub-sagas within each other, the innermost ends first.
  const innermost = unended.at(-1);
  if (innermost !== undefined) return { fact: 'step_ended', step: innermost, status: 'cancelled' };
  // A call that joined too late may have ended after the step that is being undone.
  if (Object.values(state.steps).some(isBeingUndone)) return undefined;
  const [path] = toUndo(state);
  return path === undefined ? endedBack(state) : undo(state, path);
}

function endedBack(state: SagaState): News {
  const { left, stopped } = state;
  const reason = stopped && { reason: stopped };
  return {
    fact: 'saga_ended',
    status: left.length > 0 ? 'failed' : 'compensated',
    ...reason,
    ...(left.length > 0 && { left }),
  };
}

function undo(state: SagaState, path: string): News {
  const { undo, undoing } = state.steps[path]!;
  if (undo && 'error' in undo) return { fact: 'compensation_ended', step: path, status: 'failed', error: undo.error };
  const attempt = (undoing?.attempt ?? 0) + 1;
  const correlation_id = sagaCorrelationId(state.tenant_id, state.saga_id, path, 'undo', attempt);
  return { fact: 'compensation_started', step: path, attempt, correlation_id };
}

/** What expressions of a saga, or of the sub-saga whose steps begin with `parent`, may name. */
function scopeOf(state: SagaState, parent: string): Scope {
  const steps: Record<string, unknown> = {};
  for (const [path, { status, output, ended }] of Object.entries(state.steps)) {
    const name = path.slice(parent.length);
    if (ended === undefined || !path.startsWith(parent) || name.includes('/')) continue;
    steps[name] = { status, output: output ?? null };
  }
  const { saga_id, tenant_id, user_id, input } = state;
  return {
    input: parent === '' ? input : state.steps[parent.slice(0, -1)]!.args,
    steps,
    saga: { id: saga_id, tenant: tenant_id, user: user_id },
  };
}

function actionAt(state: SagaState, path: string): ActionStep | undefined {
  return state.definition && actionIn(state.definition.steps, path);
}

function actionIn(steps: readonly StepDefinition[], path: string): ActionStep | undefined {
  for (const step of steps) {
    if (step.kind === 'parallel') {
      const found = actionIn(step.branches.flat(), path);
      if (found) return found;
    } else if (step.kind === 'saga' && path.startsWith(`${step.name}/`)) {
      return actionIn(step.steps, path.slice(step.name.length + 1));
    } else if (step.kind === 'action' && step.name === path) {
      return step;
    }
  }
  return undefined;
}

/** What an action returned, as expressions see it: its structured content, or `{text}` when it has none. */
export function outputOf(result: JsonObject = {}): JsonObject {
  const { structuredContent, content } = result;
  if (isObject(structuredContent)) return structuredContent;
  const texts = Array.isArray(content) ? content.filter(isObject).map(({ text }) => text) : [];
  return { text: texts.filter((text) => typeof text === 'string').join('\n') };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown): JsonObject {
  if (!isObject(value)) throw new ExpressionError('makes no object');
  return value;
}

function keyOf(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string' || value === '' || value.length > LIMITS.nameChars) {
    throw new ExpressionError(`makes no ordering key: a text of 1 to ${LIMITS.nameChars} characters`);
  }
  return value;
}

/** Expressions meet what they meet: that one fails is an ending, not a fault. */
function attempt<T>(run: () => T, failed: (error: ErrorBody) => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return failed(errorOf('expression_failed', `An expression of the definition ${error.message}`));
  }
}

function errorOf(code: ErrorCode, message: string): ErrorBody {
  return new CallboardError(code, message).toBody();
}

function after(at: string, ms: number): string {
  return new Date(Date.parse(at) + ms).toISOString();
}

function cut<K extends string>(name: K, text: string | undefined): { [name in K]?: string } {
  if (text === undefined) return {};
  return { [name]: text.slice(0, SAGA_LIMITS.textChars) } as { [name in K]?: string };
}
