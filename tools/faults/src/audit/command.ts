/** `npm run faults -- audit [options]`: the fault test of the audit. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { count } from '../options.js';
import { countBy } from '../report.js';
import { CLUSTER_OPTIONS, SEEDED_OPTIONS, clusterSize, runSeeds, sized } from '../seeded-runs.js';
import { AUDIT_RULES } from './checker.js';
import { AUDIT_MUTATIONS } from './mutations.js';
import { runAuditFaults, type AuditFaultReport } from './run.js';

const FULL = { operations: 3_000, clients: 16, 'think-ms': 200, 'nats-kills': 3, 'postgres-kills': 0 };
export const SMALL = { operations: 200, clients: 8, 'think-ms': 200, 'nats-kills': 1, 'postgres-kills': 0 };

export const AUDIT_USAGE = `npm run faults -- audit [options]

  --seed N              chooses what is done and killed, and when (default: from the clock)
  --seeds N             so many runs, each with the next seed (1)
  --small               a run of some ten seconds under load: other defaults for the next four
  --operations N        calls, events, and requests that are refused (${FULL.operations}; ${SMALL.operations})
  --clients N           clients at once (${FULL.clients}; ${SMALL.clients})
  --think-ms N          how long a client thinks before its next operation, on average (${FULL['think-ms']}; ${SMALL['think-ms']})
  --nats-kills N        kills of nats-server (${FULL['nats-kills']}; ${SMALL['nats-kills']})
  --postgres-kills N    the ledger is in PostgreSQL, which is killed so often (0: in the audit writer's own database, which dies with it)
  --nodes N             a cluster of so many nats-servers, 3 or 5, which are killed as apps are, leaders too (1)
  --replicas N          runners, and filters (2); audit writers too, where the ledger is in PostgreSQL
  --kill-every-ms N     time between two kills of an audit writer, a runner or a filter (2000)
  --mutation NAME,...   run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${AUDIT_MUTATIONS.map(({ name, what }) => `                          ${name.padEnd(22)}${what}`).join('\n')}
`;

/** Returns the exit code: 0 when no rule was broken. */
export async function runAudit(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      ...SEEDED_OPTIONS,
      operations: { type: 'string' },
      clients: { type: 'string' },
      'think-ms': { type: 'string' },
      'nats-kills': { type: 'string' },
      'postgres-kills': { type: 'string' },
      'kill-every-ms': { type: 'string', default: '2000' },
      ...CLUSTER_OPTIONS,
    },
  });
  const test = { subject: 'audit', usage: AUDIT_USAGE, mutations: AUDIT_MUTATIONS, rules: AUDIT_RULES };
  const prepare = () => {
    const size = sized(values, values.small ? SMALL : FULL);
    const options = {
      operations: size('operations', 1),
      clients: size('clients', 1),
      thinkMs: size('think-ms', 0),
      natsKills: size('nats-kills', 0),
      postgresKills: size('postgres-kills', 0),
      killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
      outages: ['full', 'gone'] as const,
      ...clusterSize(values),
    };
    return (seed: number, folder: string, signal: AbortSignal) =>
      runAuditFaults({ ...options, seed, dataDir: join(folder, 'data') }, console.log, signal);
  };
  return runSeeds(test, args, values, prepare, figures);
}

function figures({ history, kills, succeeded }: AuditFaultReport): string[] {
  const { effects, passed, refused, away, records } = history;
  return [
    `done                  ${succeeded} calls and events answered; ${effects.length} effects, ${passed.length} events passed`,
    `refused               ${[...refused].map(([name, times]) => `${name} ${times}`).join(', ') || 'none'}`,
    `asked in vain         ${away.length}`,
    `records               ${records.length}: ${countBy(records, ({ kind, what }) => `${kind} ${what}`)}`,
    `kills                 ${countBy(kills, ({ process }) => process) || 'none'}`,
  ];
}
