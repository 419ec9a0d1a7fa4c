/**
 * What is asked of policies: may this principal do this, to this, now? The words are those of `cedar/callboard.cedarschema`; a test holds the
 * two against each other.
 *
 * Nothing of a payload is among them. So an answer depends on nothing but what is here, and can be remembered; and no policy, log or audit
 * record can hold an argument.
 */
import type { Principal } from '../principal.js';

export const RUN_ACTIONS = ['call', 'read_resource', 'get_prompt'] as const;
export type RunAction = (typeof RUN_ACTIONS)[number];
/** What operators do. A permission for them must name them: one for everything is none for these. */
export const OPERATOR_ACTIONS = ['redrive', 'read_audit'] as const;
export const ACCESS_ACTIONS = [
  'connect',
  ...RUN_ACTIONS,
  'cancel',
  'read_result',
  'read_events',
  'subscribe',
  'notify',
  'broadcast',
  ...OPERATOR_ACTIONS,
] as const;
export type AccessAction = (typeof ACCESS_ACTIONS)[number];

export type SurfaceName = 'tool' | 'resource' | 'prompt';

/** What a question is about, with everything that policies can know of it. Each is made by a function of `resources.ts`. */
export type AccessResource =
  | { type: 'Server'; id: string }
  | {
      type: 'Tool';
      id: string;
      surface: SurfaceName;
      builtin: boolean;
      read_only: boolean;
      destructive: boolean;
      idempotent: boolean;
      open_world: boolean;
    }
  | { type: 'Topic'; source: string; topic: string }
  | { type: 'Tenant'; id: string };

export interface Circumstances {
  /** The path of the MCP server through which the caller came; empty where it came through none. */
  server: string;
  /** Of a command. */
  priority?: string;
  /** Of a notification. */
  severity?: string;
}

export interface Question {
  principal: Caller;
  action: AccessAction;
  resource: AccessResource;
  circumstances: Circumstances;
}

/** What policies know of a principal. `via` is empty where no caller sent a command. */
export type Caller = Pick<Principal, 'tenantId' | 'userId' | 'groups' | 'clientId' | 'scopes'> & {
  via: Principal['via'] | '';
};

export interface Decision {
  allowed: boolean;
  /** Ids of the policies that decided: those that permit, or those that forbid. None when nothing permits. */
  policies: readonly string[];
  /** Ids of policies that could not be evaluated; then it is denied, whatever the others say. */
  failed: readonly string[];
}
