export type { Catalog, CatalogAction } from './catalog.js';
export { decide, mayAnswer, outputOf } from './decide.js';
export {
  COMPENSATION_RETRY,
  DEFINITION_VERSION,
  type ActionStep,
  type ApprovalStep,
  type InDoubt,
  type ParallelSteps,
  type Retry,
  type SagaDefinition,
  type StepCompensation,
  type StepDefinition,
  type SubSaga,
  type Template,
} from './definition.js';
export {
  FACT_VERSION,
  SAGA_FACTS,
  parseSagaFact,
  type Doing,
  type OperatorVerb,
  type SagaEnd,
  type SagaFact,
  type StepCommand,
  type StepEnd,
  type StopReason,
  type Undo,
} from './fact.js';
export { plan, type Plan, type PlanOptions, type PlannedStep } from './plan.js';
export { readDefinitions, type ReadDefinitions, type ReadOptions, type SagaFile } from './read-definitions.js';
export { sagaMermaid, sagaText } from './graph.js';
export { sagaCorrelationId } from './ids.js';
export type {
  AbortInput,
  ApprovalInput,
  CompleteInput,
  JoinInput,
  OperatorInput,
  OutcomeInput,
  SagaInput,
  StartInput,
  TimerInput,
} from './input.js';
export { SAGA_LIMITS } from './limits.js';
export {
  DEADLINE_TIMER,
  outstanding,
  type ApprovalEffect,
  type CancelEffect,
  type CommandEffect,
  type Effect,
  type OperatorEffect,
  type TimerEffect,
  type WatchEffect,
} from './outstanding.js';
export {
  evolve,
  evolveAll,
  initialState,
  isEnded,
  type SagaPhase,
  type SagaState,
  type StepState,
  type UndoState,
} from './state.js';
