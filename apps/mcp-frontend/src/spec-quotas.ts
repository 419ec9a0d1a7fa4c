/** For specs: one quota for every tenant. */
import type { Quota, Quotas } from '@callboard/access';

export function quotas(quota: Partial<Quota> = {}): Quotas {
  const { commands = 1_000, commandsPerPrincipal = 1_000 } = quota;
  const all = { commands, commandsPerPrincipal, eventSubscriptions: 16, eventSubscriptionsPerPrincipal: 8, ...quota };
  return { of: () => all };
}
