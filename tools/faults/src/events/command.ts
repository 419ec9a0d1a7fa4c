/** `npm run faults -- events [options]`: the fault test with events. */
import { parseArgs } from 'node:util';
import { countBy } from '../report.js';
import { CLUSTER_OPTIONS, SEEDED_OPTIONS, clusterSize, runSeeds, sized } from '../seeded-runs.js';
import { count } from '../options.js';
import { EVENT_RULES } from './checker.js';
import { ERAS } from './history.js';
import { EVENT_MUTATIONS } from './mutations.js';
import { runEventFaults, type EventFaultReport } from './run.js';

const FULL = { keys: 50, values: 20, 'think-ms': 1_000, 'nats-kills': 3, 'backstage-kills': 2 };
export const SMALL = { keys: 10, values: 8, 'think-ms': 600, 'nats-kills': 1, 'backstage-kills': 1 };

export const EVENTS_USAGE = `npm run faults -- events [options]

  --seed N              chooses what is killed, and when (default: from the clock)
  --seeds N             so many runs, each with the next seed (1)
  --small               a run of some ten seconds: other defaults for the next five
  --keys N              ordering keys of each of the three ways in (${FULL.keys}; ${SMALL.keys})
  --values N            events a key (${FULL.values}; ${SMALL.values})
  --think-ms N          how long a sender waits before its next event, on average (${FULL['think-ms']}; ${SMALL['think-ms']})
  --nats-kills N        kills of nats-server (${FULL['nats-kills']}; ${SMALL['nats-kills']})
  --backstage-kills N   kills of Backstage (${FULL['backstage-kills']}; ${SMALL['backstage-kills']})
  --nodes N             a cluster of so many nats-servers, 3 or 5, which are killed as apps are, leaders too (1)
  --kill-every-ms N     time between two kills of an ingestor or a filter (2000)
  --replicas N          ingestors, and filters (2)
  --mutation NAME,...   run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${EVENT_MUTATIONS.map(({ name, what }) => `                          ${name.padEnd(22)}${what}`).join('\n')}
`;

/** Returns the exit code: 0 when no rule was broken. */
export async function runEvents(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      ...SEEDED_OPTIONS,
      keys: { type: 'string' },
      values: { type: 'string' },
      'think-ms': { type: 'string' },
      'nats-kills': { type: 'string' },
      'backstage-kills': { type: 'string' },
      'kill-every-ms': { type: 'string', default: '2000' },
      ...CLUSTER_OPTIONS,
    },
  });
  const test = { subject: 'events', usage: EVENTS_USAGE, mutations: EVENT_MUTATIONS, rules: EVENT_RULES };
  const prepare = () => {
    const size = sized(values, values.small ? SMALL : FULL);
    const options = {
      keys: size('keys', 1),
      values: size('values', 1),
      thinkMs: size('think-ms', 0),
      natsKills: size('nats-kills', 0),
      backstageKills: size('backstage-kills', 0),
      killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
      ...clusterSize(values),
    };
    return (seed: number, dataDir: string, signal: AbortSignal) =>
      runEventFaults({ ...options, seed, dataDir }, console.log, signal);
  };
  return runSeeds(test, args, values, prepare, figures);
}

function figures({ history }: EventFaultReport): string[] {
  const { posts, stored, gaps, kills, read } = history;
  const retried = posts.filter(({ attempts }) => attempts > 1).length;
  return [
    `sent, taken           ${countBy(posts, ({ way }) => way)}; not taken ${posts.filter(({ answeredAt }) => answeredAt === undefined).length}`,
    `sent more than once   ${retried}`,
    `stored                ${countBy(stored, ({ way }) => way)}`,
    `read                  ${ERAS.map((era) => `${era} ${read[era].length}`).join(', ')}`,
    `gaps told             ${countBy(gaps, ({ reason }) => reason) || 'none'}`,
    `kills                 ${countBy(kills, ({ process }) => process) || 'none'}`,
  ];
}
