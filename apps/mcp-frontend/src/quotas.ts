/** Opens the quotas, so that whoever runs the front end is told what becomes of them, and sees how much of them is used. */
import { QuotasFile, type Quota } from '@callboard/access';
import { gauge, metrics, type Logger } from '@callboard/telemetry';
import { Gauge } from 'prom-client';
import type { FrontendConfig } from './config.js';

/** Stands for all tenants that the file does not name: no tenant is called so in a subject. */
export const OTHERS = '%others';

/** @throws ConfigError, QuotasError when the file cannot be used */
export async function openQuotas(config: FrontendConfig, log: Logger): Promise<QuotasFile> {
  const unlessWritten: Quota = {
    commands: config.maxCommandsPerTenant,
    commandsPerPrincipal: config.maxCommandsPerPrincipal,
    eventSubscriptions: config.maxEventSubscriptionsPerTenant,
    eventSubscriptionsPerPrincipal: config.maxEventSubscriptionsPerPrincipal,
  };
  const quotas = await QuotasFile.open(config.quotas, unlessWritten, {
    changed: () => log.info('other quotas are in force'),
    broken: (problem) =>
      log.error({ problem }, 'the quotas file cannot be used as it is now; those before stay in force'),
  });
  gauge('callboard_quotas_broken', 'Is what is in the quotas file not in force? 1: yes', () => Number(quotas.broken));
  new Gauge({
    name: 'callboard_tenant_quota',
    help: `What a tenant may use, by what it is of; ${OTHERS}: every tenant that the quotas file does not name`,
    labelNames: ['tenant', 'limit'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const [tenant, quota] of [...quotas.tenants, [OTHERS, quotas.others] as const]) {
        for (const [limit, value] of Object.entries(figuresOf(quota))) this.set({ tenant, limit }, value);
      }
    },
  });
  return quotas;
}

function figuresOf(quota: Quota): Record<string, number> {
  const { commands, commandsPerPrincipal, calls, eventSubscriptions, eventSubscriptionsPerPrincipal } = quota;
  return {
    commands,
    commands_per_principal: commandsPerPrincipal,
    ...(calls && { calls_per_second: calls.perSecond, calls_burst: calls.burst }),
    event_subscriptions: eventSubscriptions,
    event_subscriptions_per_principal: eventSubscriptionsPerPrincipal,
  };
}
