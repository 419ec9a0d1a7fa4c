/** `npm run faults -- sagas [options]`: the fault test with sagas. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { count } from '../options.js';
import { countBy } from '../report.js';
import { CLUSTER_OPTIONS, SEEDED_OPTIONS, clusterSize, runSeeds, sized } from '../seeded-runs.js';
import { SAGA_RULES } from './checker.js';
import { SAGA_MUTATIONS } from './mutations.js';
import { runSagaFaults, type SagaFaultReport } from './run.js';

const FULL = { sagas: 500, clients: 16, 'think-ms': 300, 'nats-kills': 3 };
export const SMALL = { sagas: 60, clients: 8, 'think-ms': 300, 'nats-kills': 1 };

export const SAGAS_USAGE = `npm run faults -- sagas [options]

  --seed N              chooses which sagas fail, what is killed, and when (default: from the clock)
  --seeds N             so many runs, each with the next seed (1)
  --small               a run of some ten seconds: other defaults for the next four
  --sagas N             sagas of five steps (${FULL.sagas}; ${SMALL.sagas})
  --clients N           clients at once (${FULL.clients}; ${SMALL.clients})
  --think-ms N          how long a client thinks before its next saga, on average (${FULL['think-ms']}; ${SMALL['think-ms']})
  --nats-kills N        kills of nats-server (${FULL['nats-kills']}; ${SMALL['nats-kills']})
  --nodes N             a cluster of so many nats-servers, 3 or 5, which are killed as apps are, leaders too (1)
  --kill-every-ms N     time between two kills of an orchestrator or a runner (1500)
  --replicas N          orchestrators, and runners (2)
  --mutation NAME,...   run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${SAGA_MUTATIONS.map(({ name, what }) => `                          ${name.padEnd(22)}${what}`).join('\n')}
`;

/** Returns the exit code: 0 when no rule was broken. */
export async function runSagas(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      ...SEEDED_OPTIONS,
      sagas: { type: 'string' },
      clients: { type: 'string' },
      'think-ms': { type: 'string' },
      'nats-kills': { type: 'string' },
      'kill-every-ms': { type: 'string', default: '1500' },
      ...CLUSTER_OPTIONS,
    },
  });
  const test = { subject: 'sagas', usage: SAGAS_USAGE, mutations: SAGA_MUTATIONS, rules: SAGA_RULES };
  const prepare = () => {
    const size = sized(values, values.small ? SMALL : FULL);
    const options = {
      sagas: size('sagas', 1),
      clients: size('clients', 1),
      thinkMs: size('think-ms', 0),
      natsKills: size('nats-kills', 0),
      killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
      ...clusterSize(values),
    };
    return (seed: number, folder: string, signal: AbortSignal) =>
      runSagaFaults({ ...options, seed, dataDir: join(folder, 'data') }, console.log, signal);
  };
  return runSeeds(test, args, values, prepare, figures);
}

function figures({ sagas, kills }: SagaFaultReport): string[] {
  return [
    `sagas                 ${countBy(sagas, ({ phase }) => phase)}`,
    `commands              ${sagas.reduce((sum, { commands }) => sum + commands.length, 0)}`,
    `kills                 ${countBy(kills, ({ process }) => process) || 'none'}`,
  ];
}
