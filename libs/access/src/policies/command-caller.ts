/** Whoever sent a command, as it is carried in the envelope for the second decision. */
import type { CommandCaller, CommandEnvelope } from '@callboard/envelope';
import type { Principal } from '../principal.js';
import type { Caller } from './vocabulary.js';

/** @param server path of the MCP server through which it came */
export function commandCallerOf({ via, clientId, scopes }: Principal, server: string): CommandCaller {
  const caller: CommandCaller = { via, server };
  if (clientId !== undefined) caller.client_id = clientId;
  if (scopes !== undefined) caller.scopes = [...scopes];
  return caller;
}

/** What no caller sent, such as a scheduled command, is known by nothing but its tenant and user. */
export function callerOf({ tenant_id, user_id, groups = [], caller }: CommandEnvelope): Caller {
  const { via = '', client_id: clientId, scopes } = caller ?? {};
  return {
    ...{ tenantId: tenant_id, userId: user_id, groups, via: via as Caller['via'] },
    ...(clientId !== undefined && { clientId }),
    ...(scopes !== undefined && { scopes }),
  };
}
