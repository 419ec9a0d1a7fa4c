/**
 * Who is calling, as everything behind an edge knows it. All of it comes from the credential that was presented, and nothing from what the
 * caller says beside it.
 */
import type { AuditPerson } from '@callboard/audit';
import { namePattern } from '@callboard/config';

export interface Principal {
  tenantId: string;
  userId: string;
  /** What it is a member of; at most as many as an envelope carries. */
  groups: readonly string[];
  /** The software that calls for the user, where the credential says so. */
  clientId?: string;
  /** What the credential is good for; absent when it is not limited by scopes. */
  scopes?: readonly string[];
  /** Ids of the actions that the credential is good for, in which `*` stands for any text; absent when it is not limited to some. */
  actions?: readonly string[];
  via: 'anonymous' | 'static' | 'jwt' | 'backstage';
  /** When the credential ends, in milliseconds since 1970. */
  expiresAt?: number;
}

/** What commands, sessions, tasks and subscriptions are bound to. */
export type Identity = Pick<Principal, 'tenantId' | 'userId'>;

export const ANONYMOUS: Principal = Object.freeze({
  tenantId: 'default',
  userId: 'user:local/anonymous',
  groups: Object.freeze([]),
  via: 'anonymous',
});

/** Is the credential good for this action? */
export function isGoodFor({ actions }: Principal, actionId: string): boolean {
  return actions?.some((pattern) => namePattern(pattern).test(actionId)) ?? true;
}

/** Those of these scopes that the credential does not have. */
export function missingScopes({ scopes }: Principal, wanted: readonly string[]): string[] {
  return scopes ? wanted.filter((scope) => !scopes.includes(scope)) : [];
}

/** As whoever reads audit records knows the caller. */
export function person(
  { userId, groups, clientId, via }: Pick<Principal, 'userId' | 'groups' | 'clientId'> & { via: string },
  address?: string,
): AuditPerson {
  const who: AuditPerson = { userId };
  if (via !== '') who.via = via;
  if (groups.length > 0) who.groups = groups;
  if (clientId !== undefined) who.clientId = clientId;
  if (address !== undefined) who.address = address;
  return who;
}
