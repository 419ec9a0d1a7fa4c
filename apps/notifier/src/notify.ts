/**
 * The life of a notification. Read `#send` top to bottom: read, clean, permit, ask, take from the budgets, deliver.
 *
 * It may be run again from the top after a crash, whatever had been done: it is read and cleaned in the same way, what was asked is
 * answered, what was taken or kept for later is on record, and what was delivered is updated. `#ended` is the one place where every ending is known.
 */
import { callerOf, type Gate } from '@callboard/access';
import { ActionError, ActionSet, defineAction, type ActionContext, type ActionDefinition } from '@callboard/actions';
import type { Audit } from '@callboard/audit';
import type { JsonObject } from '@callboard/envelope';
import type { Logger } from '@callboard/telemetry';
import type { BudgetLedger, Taken } from './budgets/budget-ledger.js';
import { budgetsFor, type Budget, type BudgetRule, type Spending } from './budgets/budget-rules.js';
import { Cleaner, type Cleaned } from './cleaner.js';
import { NotDelivered, type Delivery } from './delivery.js';
import type { DigestKeeper } from './digests/digest-keeper.js';
import type { Ending, NotifierMetrics } from './metrics.js';
import {
  SEVERITIES,
  notificationInput,
  readNotification,
  type Notification,
  type NotificationArgs,
} from './notification.js';
import type { NotificationSettings } from './notifications-file.js';

export const SUBJECT = 'svc.notifications.send';
const DEADLINE_MS = 600_000;
/** Of the runner, at processes that die: what Backstage does is dealt with here. */
const RETRY = { max_attempts: 100, backoff_ms: 200, max_backoff_ms: 5_000 };
const MOST_TITLE_CHARS_ASKED = 120;

export class Notifier {
  readonly #cleaner: Cleaner;

  constructor(
    private readonly settings: NotificationSettings,
    private readonly ledger: BudgetLedger,
    private readonly delivery: Delivery,
    private readonly digests: DigestKeeper,
    private readonly metrics: NotifierMetrics,
    private readonly gate: Pick<Gate, 'allows'>,
    private readonly log: Logger,
    private readonly audit: Audit,
  ) {
    this.#cleaner = new Cleaner(settings.cleaning);
  }

  actions(): ActionSet {
    const action = defineAction({
      id: 'notifications.send',
      title: 'Send a Backstage notification',
      description:
        'Sends a notification to users, groups or owners of entities in Backstage. It is there once, however often the call is repeated with its idempotency key.',
      input: notificationInput,
      attributes: { destructive: false, idempotent: true },
      deadlineMs: DEADLINE_MS,
      retry: RETRY,
      run: (args, context) => this.send(args, context),
    });
    const bound: ActionDefinition = {
      ...action,
      descriptor: { ...action.descriptor, binding: { kind: 'nats', subject: SUBJECT } },
    };
    return new ActionSet([bound]);
  }

  async send(args: NotificationArgs, context: ActionContext): Promise<JsonObject> {
    try {
      const [ending, result] = await this.#send(args, context);
      this.#ended(ending, context);
      return result;
    } catch (error) {
      if (error instanceof NotDelivered) {
        if (!error.reached) await this.ledger.giveBack(context);
        this.#ended('stopped', context);
        throw error.reason;
      }
      if (error instanceof ActionError) {
        this.#ended(error.code === 'rate_limited' ? 'rate_limited' : 'refused', context, error.code);
      }
      throw error;
    }
  }

  async #send(args: NotificationArgs, context: ActionContext): Promise<[Ending, JsonObject]> {
    const { tenantId, userId, correlationId, signal } = context;
    const target = this.settings.backstageOf(tenantId);
    if (!target) throw new ActionError('There is no Backstage for this tenant', { code: 'forbidden' });
    const read = readNotification(args, { tenantId, userId, correlationId });
    const cleaned = this.#cleaner.clean(read, args.recipients, tenantId);
    const { notification } = cleaned;
    this.#permit(notification, context);
    if (notification.recipients.type === 'broadcast' && this.settings.broadcast.approval === 'always') {
      if (!(await approved(notification, context))) return ['not_approved', { status: 'not_approved' }];
    }
    const spending = { tenantId, userId, notification };
    const budgets = budgetsFor(this.settings.budgets, spending);
    const kept = context.attempt > 1 ? await this.#kept(budgets, spending, correlationId) : undefined;
    if (kept) return ['digested', digested(kept.rule, kept.due, cleaned)];
    const taken = await this.ledger.take(context, budgets, signal);
    if (taken.kind === 'exceeded') return ['digested', await this.#overBudget(taken, spending, cleaned, correlationId)];
    const delivered = await this.delivery.deliver(target, notification, signal);
    if (delivered.kind === 'refused') {
      await this.ledger.giveBack(context);
      throw new ActionError(`Backstage refused the notification: ${delivered.reason}`, { code: delivered.code });
    }
    this.metrics.delivered((Date.now() - Date.parse(context.command.issued_at)) / 1_000);
    return ['sent', resultOf(cleaned, delivered.delivered)];
  }

  /** @throws ActionError `forbidden` */
  #permit({ recipients, payload }: Notification, { command, correlationId, userId }: ActionContext): void {
    const question = {
      principal: callerOf(command),
      action: recipients.type === 'broadcast' ? ('broadcast' as const) : ('notify' as const),
      resource: { type: 'Tenant' as const, id: command.tenant_id },
      circumstances: { server: command.caller?.server ?? '', severity: payload.severity },
    };
    if (!this.gate.allows(question, { correlationId })) {
      throw new ActionError('Policy does not allow this', { code: 'forbidden' });
    }
    if (recipients.type === 'broadcast' && !this.settings.broadcast.allow) {
      throw new ActionError('Broadcasts are not allowed; name recipients', { code: 'forbidden' });
    }
    const highest = this.settings.highestSeverity(userId);
    if (SEVERITIES.indexOf(payload.severity) > SEVERITIES.indexOf(highest)) {
      throw new ActionError(`The highest severity that you may use is ${highest}`, { code: 'forbidden' });
    }
  }

  /**
   * Kept for a digest, or else for the caller to come again: a command that waited here would hold its key, and its place, for nothing.
   * @throws ActionError `rate_limited`
   */
  async #overBudget(
    { rule, retryAfterMs }: Extract<Taken, { kind: 'exceeded' }>,
    spending: Spending,
    cleaned: Cleaned,
    correlationId: string,
  ): Promise<JsonObject> {
    this.metrics.overBudget(rule.name);
    if (rule.exceeded === 'digest') {
      try {
        const due = await this.digests.keep(rule, spending, correlationId, retryAfterMs);
        return digested(rule, due, cleaned);
      } catch (error) {
        this.log.warn({ err: error }, 'a notification could not be kept for a digest, and is refused');
      }
    }
    throw new ActionError(`The budget ${rule.name} (${rule.max} by ${rule.level}) has no room now`, {
      code: 'rate_limited',
      retryable: true,
      retryAfterMs,
      final: true,
    });
  }

  /** Of an attempt before that has died since. */
  async #kept(
    budgets: Budget[],
    spending: Spending,
    correlationId: string,
  ): Promise<{ rule: BudgetRule; due: Date } | undefined> {
    for (const { rule } of budgets) {
      if (rule.exceeded !== 'digest') continue;
      const due = await this.digests.kept(rule, spending, correlationId);
      if (due) return { rule, due };
    }
    return undefined;
  }

  #ended(ending: Ending, { correlationId, tenantId, userId, attempt }: ActionContext, code?: string): void {
    this.metrics.ended(ending);
    const fact = { kind: 'notification', what: ending, tenantId, who: { userId }, correlationId } as const;
    this.audit.note(code === undefined ? fact : { ...fact, code });
    this.log.debug(
      { correlation_id: correlationId, tenant: tenantId, attempt, ending, code },
      'a notification has ended',
    );
  }
}

/** Asks the caller's human, with what everybody would read. */
async function approved({ payload }: Notification, context: ActionContext): Promise<boolean> {
  const { approval } = await context.ask({
    approval: {
      method: 'elicitation/create',
      params: {
        message: `Send "${payload.title.slice(0, MOST_TITLE_CHARS_ASKED)}" (${payload.severity}) to everybody in Backstage?`,
        requestedSchema: {
          type: 'object',
          properties: { approve: { type: 'boolean', title: 'Send it to everybody' } },
          required: ['approve'],
        },
      },
    },
  });
  const { action, content } = approval as { action?: unknown; content?: { approve?: unknown } };
  return action === 'accept' && content?.approve === true;
}

function resultOf({ notification, redacted }: Cleaned, delivered: number): JsonObject {
  return {
    status: 'sent',
    // For a broadcast it is one notification, whoever reads it.
    delivered,
    scope: notification.payload.scope,
    redacted,
  };
}

function digested(rule: BudgetRule, due: Date, { redacted }: Cleaned): JsonObject {
  return { status: 'digested', budget: rule.name, due_at: due.toISOString(), redacted };
}
