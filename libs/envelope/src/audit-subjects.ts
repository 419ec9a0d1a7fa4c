import { decodeToken, encodeToken } from './token.js';

export const AUDIT_SUBJECTS = 'audit.*.*.*';

/** Where a record of what happened is stored; `id` is the correlation id of the command that it is about, or its own. */
export function auditSubject(tenantId: string, kind: string, id: string): string {
  return `audit.${encodeToken(tenantId)}.${encodeToken(kind)}.${encodeToken(id)}`;
}

/**
 * Tenant, kind and id in the subject of a record.
 * @throws RangeError when it is none.
 */
export function parseAuditSubject(subject: string): { tenantId: string; kind: string; id: string } {
  const [prefix, tenant, kind, id, ...more] = subject.split('.');
  if (prefix !== 'audit' || !tenant || !kind || !id || more.length > 0) {
    throw new RangeError('not the subject of an audit record');
  }
  return { tenantId: decodeToken(tenant), kind: decodeToken(kind), id: decodeToken(id) };
}

export const CHECKPOINT_SUBJECTS = 'checkpoint.*';

/** Where signed checkpoints of a tenant's chain are anchored. */
export function checkpointSubject(tenantId: string): string {
  return `checkpoint.${encodeToken(tenantId)}`;
}
