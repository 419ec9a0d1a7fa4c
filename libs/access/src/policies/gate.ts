/**
 * Where something is about to be done: asks the policies, and puts every denial on record. What is only hidden from a list is no denial;
 * whoever makes lists asks the policies themselves.
 */
import type { Audit } from '@callboard/audit';
import type { Policies } from './policies.js';
import type { AccessAction, AccessResource, Question } from './vocabulary.js';

/** What a denial is about beside the question. */
export interface About {
  correlationId?: string;
}

export class Gate {
  constructor(
    readonly policies: Pick<Policies, 'decide' | 'onChange' | 'shapeOf' | 'digest'>,
    private readonly audit: Pick<Audit, 'note'>,
    private readonly onDenied: (action: AccessAction) => void = () => undefined,
  ) {}

  /** Nobody hears which policy denied it but whoever reads the audit records. */
  allows(question: Question, about: About = {}): boolean {
    const { allowed, policies, failed } = this.policies.decide(question);
    if (allowed) return true;
    const { principal, action, resource } = question;
    const { tenantId, userId, groups, clientId, via } = principal;
    this.onDenied(action);
    this.audit.note({
      kind: 'denial',
      what: action,
      tenantId,
      who: { userId, groups, via, ...(clientId !== undefined && { clientId }) },
      code: 'forbidden',
      details: { policies, ...(failed.length > 0 && { failed_policies: failed }) },
      ...(resource.type === 'Tool' ? { action: resource.id } : { target: nameOf(resource) }),
      ...(about.correlationId !== undefined && { correlationId: about.correlationId }),
    });
    return false;
  }
}

function nameOf(resource: Exclude<AccessResource, { type: 'Tool' }>): string {
  return resource.type === 'Topic' ? `${resource.source}/${resource.topic}` : resource.id;
}
