/**
 * A declared saga, as it is once its file has been read and held against the actions that there are: every default filled in, every sub-saga
 * put in its place. A saga takes a copy of it along in its first fact and never looks at the file again, so a new version of the file
 * changes sagas that begin later and no others.
 */
import type { JsonObject, Priority } from '@callboard/envelope';

export const DEFINITION_VERSION = '1.0';

/**
 * JSON in which a string `${{ expression }}` stands for the value of the CEL expression, and a string with such parts among others for
 * the text that they make.
 */
export type Template = unknown;

export interface SagaDefinition {
  definition_version: typeof DEFINITION_VERSION;
  /** The name of the MCP tool that starts it. */
  id: string;
  /** Counts up whenever what it does changes. */
  version: number;
  title?: string;
  description: string;
  /** JSON Schema (2020-12) of `input`; an object schema. */
  input_schema: JsonObject;
  /** JSON Schema of what it returns, where its author wrote one. */
  output_schema?: JsonObject;
  /** From its start until its done steps are undone, if it has not ended by then. */
  deadline_ms: number;
  /** One after the other. */
  steps: readonly StepDefinition[];
  output?: Template;
}

export type StepDefinition = ActionStep | ParallelSteps | SubSaga | ApprovalStep;

interface NamedStep {
  /** One among all steps of its saga; `steps.<name>` in expressions. */
  name: string;
  title?: string;
  /** CEL; a step whose condition is false is skipped. */
  when?: string;
}

export interface ActionStep extends NamedStep {
  kind: 'action';
  /** Id of an action. */
  action: string;
  args: Template;
  /** Of each attempt; the action's own when it is absent. */
  deadline_ms?: number;
  /** Beside the attempts that the runner makes by the action's own policy. */
  retry?: Retry;
  /** One for the whole saga when it is absent, but for parallel branches: those have one each. */
  ordering_key?: Template;
  priority?: Priority;
  compensation?: StepCompensation;
}

/** What undoes a step. Beside what a step sees, its arguments see `args` and `output`: those of the step that is undone. */
export interface StepCompensation {
  action: string;
  args: Template;
  deadline_ms?: number;
  retry: Retry;
  in_doubt: InDoubt;
}

/**
 * What to do about a step of which nobody knows whether it happened (its deadline passed, it was cancelled half-way, its runner died):
 * `undo` it, which asks for a compensation that does no harm when there is nothing to undo; `skip` it; or `halt` for an operator.
 */
export type InDoubt = 'undo' | 'skip' | 'halt';

export interface Retry {
  /** All attempts, the first included. */
  max_attempts: number;
  /** Wait before the second attempt; doubles from attempt to attempt. */
  backoff_ms: number;
  max_backoff_ms: number;
}

/** Branches that run side by side; the group has ended when all of them have. */
export interface ParallelSteps {
  kind: 'parallel';
  branches: readonly (readonly StepDefinition[])[];
}

/** Another saga in the place of a step: its steps are steps of this one, under `<name>/`, with an `input` and `steps` of their own. */
export interface SubSaga extends NamedStep {
  kind: 'saga';
  saga: string;
  version: number;
  input: Template;
  steps: readonly StepDefinition[];
  output?: Template;
}

export interface ApprovalStep extends NamedStep {
  kind: 'approval';
  /** What the person is asked. */
  prompt: Template;
  /** User ids and groups, any of which may answer; nobody in particular when it is empty. */
  approvers: readonly string[];
  /** From the question until the saga fails for want of an answer; the saga's own when it is absent. */
  deadline_ms?: number;
}

/** For a compensation that does not say how often. */
export const COMPENSATION_RETRY: Retry = { max_attempts: 5, backoff_ms: 1_000, max_backoff_ms: 60_000 };
