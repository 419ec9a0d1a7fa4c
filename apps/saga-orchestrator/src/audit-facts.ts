import type { AuditFact } from '@callboard/audit';
import type { SagaFact, SagaState } from '@callboard/saga';

/** What an auditor wants to know of a saga beyond its commands, which are records themselves: that it began, what stopped it, and how it ended. */
export function auditFacts(facts: readonly SagaFact[], saga: SagaState): AuditFact[] {
  return facts.flatMap((fact): AuditFact[] => {
    switch (fact.fact) {
      case 'saga_started':
        return [of(saga, 'started', saga.user_id)];
      case 'deadline_fired':
        return [of(saga, 'deadline_exceeded', saga.user_id)];
      case 'abort_requested':
        return [of(saga, 'aborted', fact.by)];
      case 'approval_given':
        return [of(saga, fact.approved ? 'approved' : 'rejected', fact.by, { step: fact.step })];
      case 'compensation_ended':
        return fact.status === 'succeeded' ? [] : [of(saga, 'halted', saga.user_id, { step: fact.step })];
      case 'operator_decided':
        return [of(saga, fact.verb, fact.by, { step: fact.step })];
      case 'saga_ended':
        return [of(saga, fact.status, saga.user_id)];
      default:
        return [];
    }
  });
}

function of(
  { tenant_id: tenantId, saga_id, definition }: SagaState,
  what: string,
  userId: string,
  details: NonNullable<AuditFact['details']> = {},
): AuditFact {
  return {
    kind: 'saga',
    what,
    tenantId,
    who: { userId },
    correlationId: saga_id,
    ...(definition && { action: definition.id }),
    details: { ...(definition && { version: definition.version }), ...details },
  };
}
