/**
 * What the answers of a set of policies can depend on, action by action: on who the user is, beyond groups, tenant and the rest, and on the
 * time. Where they do not, one answer is good for all users of a shape and for every minute.
 *
 * It is read off the policies' syntax, and errs to the side of more: whatever mentions a user in a way that is not known here counts.
 */
import * as cedar from './cedar.js';
import type { PolicyJson } from './cedar.js';
import { ACCESS_ACTIONS, type AccessAction } from './vocabulary.js';

export interface DependsOn {
  user: boolean;
  time: boolean;
}

export class Dependencies {
  private constructor(private readonly byAction: Readonly<Record<AccessAction, DependsOn>>) {}

  static of(policies: readonly { text: string; json: PolicyJson }[], schema: string): Dependencies {
    const byAction = Object.fromEntries(
      ACCESS_ACTIONS.map((action) => [action, { user: false, time: false }]),
    ) as Record<AccessAction, DependsOn>;
    for (const { text, json } of policies) {
      const user = mentionsUser(json);
      const time = mentionsTime(json);
      if (!user && !time) continue;
      const environments = cedar.getValidRequestEnvsPolicy(text, schema);
      for (const action of ACCESS_ACTIONS) {
        const concerns =
          environments.type === 'failure' || environments.actions.includes(`Callboard::Action::"${action}"`);
        if (!concerns) continue;
        byAction[action].user ||= user;
        byAction[action].time ||= time;
      }
    }
    return new Dependencies(byAction);
  }

  on(action: AccessAction): DependsOn {
    return this.byAction[action];
  }
}

/** Attributes of a user that all of a shape share. */
const SHARED = new Set(['tenant', 'groups', 'via', 'client', 'scopes']);

function mentionsUser({ principal, conditions }: PolicyJson): boolean {
  const scope = principal.op === 'is' ? principal.in : principal;
  if (JSON.stringify(scope ?? '').includes('"Callboard::User"')) return true;
  return conditions.some(({ body }) => looksAt(body, 'principal', (attribute) => SHARED.has(attribute)));
}

function mentionsTime({ conditions }: PolicyJson): boolean {
  return conditions.some(({ body }) => looksAt(body, 'context', (attribute) => attribute !== 'time'));
}

/** Does an expression use a variable, or name a user, in any other way than by an attribute that is harmless? */
function looksAt(node: unknown, variable: string, isHarmless: (attribute: string) => boolean): boolean {
  if (node === null || typeof node !== 'object') return node === 'Callboard::User';
  if (Array.isArray(node)) return node.some((item) => looksAt(item, variable, isHarmless));
  const expression = node as Record<string, unknown>;
  if (expression['Var'] === variable) return true;
  return Object.entries(expression).some(([operator, operands]) => {
    const { left, attr, right } = (operands ?? {}) as { left?: { Var?: unknown }; attr?: unknown; right?: unknown };
    if (left?.Var === variable && (operator === '.' || operator === 'has')) {
      return ![attr].flat().every((name) => isHarmless(String(name)));
    }
    if (left?.Var === variable && operator === 'in') return looksAt(right, variable, isHarmless);
    return looksAt(operands, variable, isHarmless);
  });
}
