/** Which budgets a notification is taken from: the rules of the configuration, applied to one notification. Pure. */
import { encodeToken, fingerprint } from '@callboard/envelope';
import type { Notification } from '../notification.js';

export const LEVELS = ['global', 'tenant', 'client', 'topic', 'recipient'] as const;
/** Whose budget it is: everybody's; a tenant's; that of one client, topic or recipient of a tenant. */
export type Level = (typeof LEVELS)[number];

export interface BudgetRule {
  /** Stable: what has been taken is counted under it. */
  name: string;
  level: Level;
  max: number;
  perMs: number;
  /** Only for notifications of these severities; empty for all. */
  severity: readonly string[];
  /** Only for broadcasts. */
  broadcast: boolean;
  /** Only for these clients, topics or recipients; empty for all. */
  only: readonly string[];
  /** What happens to a notification for which there is no room. */
  exceeded: 'refuse' | 'digest';
}

/** One counter: at most `max` within `perMs`. */
export interface Budget {
  rule: BudgetRule;
  subject: string;
}

/** Who sends what to whom, as far as budgets go. */
export interface Spending {
  tenantId: string;
  userId: string;
  notification: Notification;
}

/** The counters that a notification must be taken from, each once. */
export function budgetsFor(rules: readonly BudgetRule[], spending: Spending): Budget[] {
  const budgets = rules.flatMap((rule) =>
    applies(rule, spending)
      ? keysOf(rule.level, spending)
          .filter((key) => rule.only.length === 0 || rule.only.includes(key))
          .map((key) => ({ rule, subject: subjectOf(rule, spending.tenantId, key) }))
      : [],
  );
  return budgets;
}

function applies({ severity, broadcast }: BudgetRule, { notification }: Spending): boolean {
  if (broadcast && notification.recipients.type !== 'broadcast') return false;
  return severity.length === 0 || severity.includes(notification.payload.severity);
}

function keysOf(level: Level, { tenantId, userId, notification }: Spending): string[] {
  switch (level) {
    case 'global':
      return ['all'];
    case 'tenant':
      return [tenantId];
    case 'client':
      return [userId];
    case 'topic':
      return notification.payload.topic === undefined ? [] : [notification.payload.topic];
    case 'recipient':
      return notification.recipients.type === 'broadcast' ? [] : [...new Set(notification.recipients.entityRef)];
  }
}

function subjectOf({ name, level }: BudgetRule, tenantId: string, key: string): string {
  const prefix = `budget.${encodeToken(name)}`;
  if (level === 'global') return prefix;
  if (level === 'tenant') return `${prefix}.${encodeToken(tenantId)}`;
  const token = encodeToken(key);
  // A topic may be longer than a subject should be.
  return `${prefix}.${encodeToken(tenantId)}.${token.length <= MOST_TOKEN_CHARS ? token : fingerprint(key)}`;
}

const MOST_TOKEN_CHARS = 512;
