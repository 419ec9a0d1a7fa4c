import { refusals } from '@callboard/http';
import { gauge, metrics } from '@callboard/telemetry';
import { Counter, Gauge, Histogram } from 'prom-client';
import { ADMISSION_LIMITS, type Admission } from './admission.js';
import type { FairShare } from './fair-share.js';

/** Shows how many commands have not ended, and how often another was refused. */
export function watchAdmission(admission: Admission): Admission {
  for (const limit of ADMISSION_LIMITS) refusals.inc({ limit }, 0);
  const refusedTenants = new Counter({
    name: 'callboard_tenant_refusals_total',
    help: 'Calls and commands of a tenant that were refused because a limit was reached',
    labelNames: ['tenant', 'limit'],
    registers: [metrics],
  });
  admission.onRefusal = (limit, tenant) => {
    refusals.inc({ limit });
    refusedTenants.inc({ tenant, limit });
  };
  new Gauge({
    name: 'callboard_tenant_commands_open',
    help: 'Commands of a tenant that were accepted here and have not ended; only of tenants that have some',
    labelNames: ['tenant'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const [tenant, open] of admission.openByTenant()) this.set({ tenant }, open);
    },
  });
  gauge('callboard_commands_open', 'Commands that were accepted here and have not ended', () => admission.open);
  return admission;
}

/** Shows how many commands are under way and in line, and how long those waited that had to. */
export function watchTurns(turns: FairShare, admission: Admission): FairShare {
  turns.onRefusal = (tenant) => admission.onRefusal?.('line of a tenant', tenant);
  const waited = new Histogram({
    name: 'callboard_turn_wait_seconds',
    help: "How long commands waited for their tenant's turn; only of those that had to",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    registers: [metrics],
  });
  turns.onWaited = (ms) => waited.observe(ms / 1_000);
  new Gauge({
    name: 'callboard_tenant_commands_in_line',
    help: "Commands of a tenant that wait for their tenant's turn; only of tenants that have some",
    labelNames: ['tenant'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const [tenant, inLine] of turns.inLineByTenant()) this.set({ tenant }, inLine);
    },
  });
  gauge(
    'callboard_commands_under_way',
    'Commands that are being accepted here, or were a moment ago',
    () => turns.underWay,
  );
  gauge(
    'callboard_commands_under_way_limit',
    'How many may be, while several tenants call: as many as this replica has found to be good',
    () => turns.most,
  );
  return turns;
}

const CALLS = ['tools/call', 'resources/read', 'prompts/get'];
/** Faults of ours: for whoever calls, Callboard did not work. What an action or its caller did wrong is none. */
const FAULTS = ['internal', 'unavailable', 'overloaded'];

const calls = new Counter({
  name: 'callboard_calls_total',
  help: 'Calls by how they were answered: `ok`, the code of an error, `tool_error` where an action has another, `protocol_error` where MCP has one',
  labelNames: ['method', 'code'],
  registers: [metrics],
});
const callSeconds = new Histogram({
  name: 'callboard_call_seconds',
  help: 'From a call to its answer, by its method',
  labelNames: ['method'],
  // As the conventions of MCP have them.
  buckets: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  registers: [metrics],
});
for (const method of CALLS) for (const code of ['ok', ...FAULTS]) calls.inc({ method, code }, 0);

/** @param code of ours: what an action calls its errors could be anything */
export function countCall(method: string, code: string, ms: number): void {
  calls.inc({ method, code });
  callSeconds.observe({ method }, ms / 1_000);
}
