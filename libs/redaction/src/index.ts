export {
  BUILT_IN_POLICY,
  SECRETS_ONLY_POLICY,
  type DetectorAction,
  type FieldAction,
  type FieldRule,
  type Policy,
  type PolicySet,
} from './policy/policy.js';
export { ALL_DETECTORS, PolicyError, parsePolicies } from './policy/parse-policy.js';
export { DEFAULT_LIMITS, REFUSALS, type Limits, type Refusal } from './limits.js';
export type { ModelDetector, ModelSpan } from './model.js';
export { tenantKey } from './pseudonyms.js';
export { redact, redactWithModel, type RedactOptions, type Redaction } from './redact.js';
export type { Finding } from './render.js';
export { ENTITY_TYPES, type EntityType, type Json } from './types.js';
