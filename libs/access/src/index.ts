export { AccessError, isLoopback, parseAccess, readAccess, type AccessSettings } from './access-file.js';
export {
  Authenticator,
  type Authentication,
  type RefusalReason,
  type Refused,
  type Resource,
  bearerToken,
  type TokenAuthenticator,
} from './authenticator.js';
export { askIssuer } from './jwt/ask-issuer.js';
export { Access, type AccessConfig, type AccessEvents, type AccessFileName } from './access.js';
export { ANONYMOUS, isGoodFor, missingScopes, person, type Identity, type Principal } from './principal.js';
export { TokenExchange, type Exchanged, type TokenExchangeSettings } from './jwt/token-exchange.js';
export { ProtectedResource, ProtectedResources, ROOT_METADATA_PATH, type ProtectedSpec } from './protected-resource.js';
export type { Quota, Quotas } from './quotas/quota.js';
export { QuotasError, QuotasFile, type QuotasFileEvents } from './quotas/quotas-file.js';
export { ServerSpec } from './server-spec.js';
export { ServersError, ServersFile, parseServers, readServers, type ServersFileEvents } from './servers-file.js';
export { StaticTokens, type StaticToken } from './static-tokens.js';
export { callerOf, commandCallerOf } from './policies/command-caller.js';
export { Gate, type About } from './policies/gate.js';
export { PoliciesError } from './policies/policies-error.js';
export { Policies, type PoliciesEvents } from './policies/policies.js';
export {
  parsePolicyTests,
  runPolicyCase,
  toQuestion,
  type CaseResult,
  type PolicyCase,
  type WrittenPrincipal,
  type WrittenResource,
} from './policies/policy-tests.js';
export { namedToolResource, runActionOf, toolResource, topicResource } from './policies/resources.js';
export {
  ACCESS_ACTIONS,
  OPERATOR_ACTIONS,
  type AccessAction,
  type AccessResource,
  type Caller,
  type Circumstances,
  type Decision,
  type Question,
} from './policies/vocabulary.js';
