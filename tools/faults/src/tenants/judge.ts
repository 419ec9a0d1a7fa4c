/**
 * What is right for an answer, and for a stored message, when two tenants share a deployment. A pure function of what was asked and what came:
 * the rules are these three.
 *
 *   T1  Nothing that one tenant gets, or that is stored as its own, holds the mark of the other.
 *   T2  Whoever asks for what is the other's by its name is refused as if there were no such thing.
 *   T3  Whoever asks for what is its own gets it.
 */
import { markOf, otherOf, type Tenant } from './two-tenants.js';

export interface Asked {
  tenant: Tenant;
  kind: string;
  /** The text that the answer must hold; or the refusal: an HTTP status, or a code. */
  expected: { text: string } | { refusal: number | string } | 'anything';
}

export interface Answered {
  status: number;
  /** Of the error, where the answer is one. */
  code?: number | string;
  text: string;
}

export const TENANT_RULES = ['cross read', 'not refused', 'own withheld', 'stored across'] as const;

export interface TenantFinding {
  rule: (typeof TENANT_RULES)[number];
  detail: string;
}

/** Said to come again: no answer, and nothing wrong. */
const LATER = new Set<number | string>(['overloaded', 'unavailable', 'rate_limited']);

export function isLater({ status, code }: Answered): boolean {
  return status === 503 || status === 429 || (code !== undefined && LATER.has(code));
}

export function judge(asked: Asked, answered: Answered): TenantFinding | undefined {
  const { tenant, kind, expected } = asked;
  const said = `${tenant}, ${kind}: ${answered.status} ${answered.code ?? ''}`;
  if (answered.text.includes(markOf(otherOf(tenant)))) return { rule: 'cross read', detail: said };
  if (isLater(answered)) return undefined;
  if (expected === 'anything') {
    return answered.status < 300 && answered.code === undefined ? undefined : { rule: 'own withheld', detail: said };
  }
  if ('refusal' in expected) {
    const { refusal } = expected;
    return refusal === answered.code || refusal === answered.status
      ? undefined
      : { rule: 'not refused', detail: `${said}, and not ${refusal}` };
  }
  return answered.text.includes(expected.text) ? undefined : { rule: 'own withheld', detail: said };
}

/** Of one message: the tenant that its subject names, and all that it holds. */
export function judgeStored(stream: string, tenant: string, text: string): TenantFinding | undefined {
  const others = tenant === 'acme' ? 'globex' : tenant === 'globex' ? 'acme' : undefined;
  if (others === undefined || !text.includes(markOf(others))) return undefined;
  return { rule: 'stored across', detail: `${stream}: a message of ${tenant} holds something of ${others}` };
}
