/** What exceeded a budget and waits to be delivered as one: of one client, one budget and the same recipients. Pure. */
import { encodeToken, fingerprint } from '@callboard/envelope';
import type { BudgetRule, Spending } from '../budgets/budget-rules.js';
import {
  SEVERITIES,
  type Notification,
  type NotificationPayload,
  type Recipients,
  type Severity,
} from '../notification.js';

/** As it is kept in the bucket DIGESTS. */
export interface Digest {
  tenant_id: string;
  user_id: string;
  budget: string;
  recipients: Recipients;
  items: DigestItem[];
  /** That came when there was no room for more items. */
  left_out: number;
  /** When the budget is expected to have room, in milliseconds since 1970. */
  due_at: number;
  /** Who delivers it now, and until when nobody else does. */
  claim?: { by: string; until: number };
}

export interface DigestItem {
  correlation_id: string;
  title: string;
  severity: Severity;
  topic?: string;
  link?: string;
}

const MOST_ITEMS = 50;
const MOST_LINK_CHARS = 500;

export function keyOf(rule: BudgetRule, { tenantId, userId, notification }: Spending): string {
  const parts = [tenantId, userId, rule.name].map(encodeToken);
  return [...parts, fingerprint(notification.recipients)].join('.');
}

export function withItem(
  digest: Digest | undefined,
  item: DigestItem,
  rule: BudgetRule,
  { tenantId, userId, notification }: Spending,
  dueAt: number,
): Digest {
  const before: Digest = digest ?? {
    tenant_id: tenantId,
    user_id: userId,
    budget: rule.name,
    recipients: notification.recipients,
    items: [],
    left_out: 0,
    due_at: dueAt,
  };
  if (before.items.length >= MOST_ITEMS) return { ...before, left_out: before.left_out + 1 };
  const dueAgain = before.items.length === 0 ? { due_at: dueAt } : {};
  return { ...before, ...dueAgain, items: [...before.items, item] };
}

export function itemOf(correlationId: string, { title, severity, topic, link }: NotificationPayload): DigestItem {
  return {
    correlation_id: correlationId,
    title,
    severity,
    ...(topic !== undefined && { topic }),
    ...(link !== undefined && link.length <= MOST_LINK_CHARS && { link }),
  };
}

/** Without what has been delivered. */
export function without(digest: Digest, delivered: Digest): Digest {
  const ids = new Set(delivered.items.map(({ correlation_id: id }) => id));
  const { claim: _, ...rest } = digest;
  const items = digest.items.filter(({ correlation_id: id }) => !ids.has(id));
  return { ...rest, items, left_out: digest.left_out - delivered.left_out };
}

/** Names a digest however often it is sent: what comes later is in the next one. */
export function digestId({ items }: Digest): string {
  return `digest-${items[0]!.correlation_id}`;
}

export function summaryOf(digest: Digest): Notification {
  const { items, left_out: leftOut, recipients } = digest;
  const count = items.length + leftOut;
  const severity = items.map((item) => item.severity).sort((a, b) => SEVERITIES.indexOf(b) - SEVERITIES.indexOf(a))[0]!;
  const topics = new Set(items.map(({ topic }) => topic));
  const [topic] = topics;
  const lines = items.map(({ title, severity, link }) => `- ${title} (${severity})${link ? ` ${link}` : ''}`);
  if (leftOut > 0) lines.push(`- and ${leftOut} more`);
  return {
    recipients,
    payload: {
      title: `${count} ${count === 1 ? 'notification' : 'notifications'} that had to wait, because there were too many`,
      description: lines.join('\n'),
      severity,
      ...(topics.size === 1 && topic !== undefined && { topic }),
      scope: `callboard:${digestId(digest)}`,
    },
  };
}
