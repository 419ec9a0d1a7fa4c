export { ActionSet } from './action-set.js';
export { checkArguments } from './arguments.js';
export {
  ActionError,
  defineAction,
  definePrompt,
  defineResource,
  inputRequired,
  isReservedId,
  type ActionContext,
  type ActionDefinition,
  type ActionOptions,
  type ActionResult,
  type ActionReturn,
  type ActionSecrets,
  type Handler,
  type InputRequired,
  type Reconcile,
  type Reconciled,
} from './define-action.js';
export type {
  ActionAttributes,
  ActionDescriptor,
  Binding,
  InputKind,
  OnDeadLetter,
  Ordering,
  Origin,
  PromptArgument,
  RetryPolicy,
  Surface,
  TaskSupport,
} from './descriptor.js';
export { inputKindOf } from './input-kinds.js';
export { defaultOrderingKey } from './ordering.js';
export {
  Announcer,
  Catalog,
  HEARTBEAT_MS,
  HEARTBEAT_TTL_MS,
  type CatalogView,
  type RegisteredAction,
  type RegistryStore,
} from './registry.js';
