import { gauge, metrics } from '@callboard/telemetry';
import { Counter, Histogram } from 'prom-client';

/** How the sending of a notification can end here. */
export const ENDINGS = ['sent', 'digested', 'rate_limited', 'refused', 'not_approved', 'stopped'] as const;
export type Ending = (typeof ENDINGS)[number];

export class NotifierMetrics {
  readonly #notifications = new Counter({
    name: 'callboard_notifications_total',
    help: 'Notifications by how they ended; `refused` by a policy, by redaction or by Backstage; `stopped` by deadline, cancellation or shutdown',
    labelNames: ['ending'],
    registers: [metrics],
  });
  readonly #limited = new Counter({
    name: 'callboard_notifications_over_budget_total',
    help: 'Notifications for which a budget had no room, by its name',
    labelNames: ['budget'],
    registers: [metrics],
  });
  readonly #digests = new Counter({
    name: 'callboard_notification_digests_total',
    help: 'Digests by what became of them: `sent` or `refused` by Backstage',
    labelNames: ['ending'],
    registers: [metrics],
  });
  readonly #again = new Counter({
    name: 'callboard_notification_retries_total',
    help: 'Requests that Backstage did not take and that are made again',
    registers: [metrics],
  });
  readonly #seconds = new Histogram({
    name: 'callboard_notification_seconds',
    help: 'From the acceptance of a notification to its delivery',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [metrics],
  });

  constructor(budgets: Iterable<string>) {
    for (const ending of ENDINGS) this.#notifications.inc({ ending }, 0);
    for (const budget of budgets) this.#limited.inc({ budget }, 0);
  }

  observe(running: () => number): void {
    gauge('callboard_notifications_running', 'Notifications that this process has now', running);
  }

  ended(ending: Ending): void {
    this.#notifications.inc({ ending });
  }

  overBudget(budget: string): void {
    this.#limited.inc({ budget });
  }

  digest(ending: 'sent' | 'refused'): void {
    this.#digests.inc({ ending });
  }

  again(): void {
    this.#again.inc();
  }

  delivered(seconds: number): void {
    this.#seconds.observe(seconds);
  }
}
