/** For specs: what the callers of an MCP server may do. */
import { Gate, Policies } from '@callboard/access';
import { MemoryAudit } from '@callboard/audit';
import { ServerAccess } from './server-access.js';

/** @param path of policies; without it everything is allowed */
export async function openAccess(path = '', audit = new MemoryAudit(), server = '/mcp') {
  const policies = await Policies.open(path);
  return { policies, access: new ServerAccess(new Gate(policies, audit), server) };
}
