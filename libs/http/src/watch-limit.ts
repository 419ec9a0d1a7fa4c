import { gauge, metrics } from '@callboard/telemetry';
import { Counter } from 'prom-client';
import type { Limit } from './limit.js';

/** What was refused because a limit was reached, by the name of the limit. */
export const refusals = new Counter({
  name: 'callboard_refusals_total',
  help: 'Requests refused because a limit was reached',
  labelNames: ['limit'],
  registers: [metrics],
});

/** Shows how full a limit is and how often it refused. */
export function watchLimit(limit: Limit): Limit {
  refusals.inc({ limit: limit.name }, 0);
  limit.onRefusal = () => refusals.inc({ limit: limit.name });
  gauge(
    `callboard_${limit.name.replaceAll(' ', '_')}_open`,
    `${limit.name} now; at most ${limit.max}`,
    () => limit.taken,
  );
  return limit;
}
