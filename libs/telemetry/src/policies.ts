/** Opens the policies of an app, so that whoever runs it is told what becomes of them. */
import { ACCESS_ACTIONS, Gate, Policies } from '@callboard/access';
import { Counter } from 'prom-client';
import { gauge } from './gauge.js';
import type { Logger } from './logger.js';
import { metrics } from './ops-server.js';

/**
 * @param path of a file or a folder; empty for the policies that are there without one
 * @throws PoliciesError when they cannot be used
 */
export async function openPolicies(path: string, log: Logger): Promise<Policies> {
  const policies = await Policies.open(path, {
    changed: (digest, ids) => log.info({ digest, policies: ids.length }, 'other policies are in force'),
    broken: (problems) => log.error({ problems }, 'the policies cannot be used; those before stay in force'),
  });
  gauge('callboard_policies_broken', 'Are the policies in the files not those in force? 1: yes', () =>
    Number(policies.broken),
  );
  return policies;
}

/** @param audit takes what was denied */
export function gateOf(policies: Policies, audit: ConstructorParameters<typeof Gate>[1]): Gate {
  const denials = new Counter({
    name: 'callboard_denials_total',
    help: 'What policy did not allow, by what was to be done',
    labelNames: ['action'],
    registers: [metrics],
  });
  for (const action of ACCESS_ACTIONS) denials.inc({ action }, 0);
  return new Gate(policies, audit, (action) => denials.inc({ action }));
}
