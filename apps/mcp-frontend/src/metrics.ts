import { metrics } from '@callboard/telemetry';
import { Counter, Gauge } from 'prom-client';
import { ADMISSION_LIMITS, type Admission } from './admission.js';
import type { Limit } from './limit.js';

const refusals = new Counter({
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

/** Shows how many commands have not ended, and how often another was refused. */
export function watchAdmission(admission: Admission): Admission {
  for (const limit of ADMISSION_LIMITS) refusals.inc({ limit }, 0);
  admission.onRefusal = (limit) => refusals.inc({ limit });
  gauge('callboard_commands_open', 'Commands that were accepted here and have not ended', () => admission.open);
  return admission;
}

/** A figure that is read when someone asks. */
export function gauge(name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [metrics],
    collect() {
      this.set(read());
    },
  });
}
