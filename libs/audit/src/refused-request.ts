/** The record of a request over HTTP that was refused: who from where, with which code, and nothing of what it said. */
import type { ErrorCode } from '@callboard/envelope';
import { NO_TENANT, type AuditDetails, type AuditFact, type AuditKind, type AuditPerson } from './fact.js';

export interface RefusedRequest {
  /** Status that it was answered with. */
  status: number;
  code: ErrorCode;
  /** Absent while it is not known whose request it was. */
  tenantId?: string;
  who?: AuditPerson;
  /** Network address. */
  address: string | undefined;
  correlationId?: string;
  /** Names of ours or an operator's: the source, the server. */
  details?: AuditDetails;
}

/** What is none of these is malformed. */
const KINDS: Partial<Record<ErrorCode, AuditKind>> = {
  unauthorized: 'authentication',
  invalid_signature: 'authentication',
  forbidden: 'denial',
  rate_limited: 'limit',
  overloaded: 'limit',
  unavailable: 'limit',
  // Reports about a command come too late.
  already_ended: 'call',
  deadline_exceeded: 'call',
};

export function refusedRequest(refused: RefusedRequest): AuditFact {
  const { status, code, tenantId = NO_TENANT, who, address, correlationId, details } = refused;
  return {
    kind: KINDS[code] ?? 'malformed',
    what: 'refused',
    code,
    tenantId,
    who: { ...who, ...(address !== undefined && { address }) },
    details: { ...details, status },
    ...(correlationId !== undefined && { correlationId }),
  };
}
