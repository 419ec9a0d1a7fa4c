/** `npm run faults -- events [options]`: the fault test with events. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runMutations } from '../mutate.js';
import { countBy } from '../report.js';
import { count } from '../options.js';
import { EVENT_RULES } from './checker.js';
import { ERAS } from './history.js';
import { EVENT_MUTATIONS } from './mutations.js';
import { runEventFaults, type EventFaultOptions, type EventFaultReport } from './run.js';

const FULL = { keys: 50, values: 20, 'think-ms': 1_000, 'nats-kills': 3, 'backstage-kills': 2 };
export const SMALL = { keys: 10, values: 8, 'think-ms': 600, 'nats-kills': 1, 'backstage-kills': 1 };
const FINDINGS_SHOWN = 40;

export const EVENTS_USAGE = `npm run faults -- events [options]

  --seed N              chooses what is killed, and when (default: from the clock)
  --seeds N             so many runs, each with the next seed (1)
  --small               a run of some ten seconds: other defaults for the next five
  --keys N              ordering keys of each of the three ways in (${FULL.keys}; ${SMALL.keys})
  --values N            events a key (${FULL.values}; ${SMALL.values})
  --think-ms N          how long a sender waits before its next event, on average (${FULL['think-ms']}; ${SMALL['think-ms']})
  --nats-kills N        kills of nats-server (${FULL['nats-kills']}; ${SMALL['nats-kills']})
  --backstage-kills N   kills of Backstage (${FULL['backstage-kills']}; ${SMALL['backstage-kills']})
  --kill-every-ms N     time between two kills of an ingestor or a filter (2000)
  --mutation NAME,...   run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${EVENT_MUTATIONS.map(({ name, what }) => `                          ${name.padEnd(22)}${what}`).join('\n')}
`;

/** Returns the exit code: 0 when no rule was broken. */
export async function runEvents(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string', default: '1' },
      small: { type: 'boolean', default: false },
      keys: { type: 'string' },
      values: { type: 'string' },
      'think-ms': { type: 'string' },
      'nats-kills': { type: 'string' },
      'backstage-kills': { type: 'string' },
      'kill-every-ms': { type: 'string', default: '2000' },
      mutation: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(EVENTS_USAGE);
    return 0;
  }
  if (values.mutation !== undefined) {
    const own = ['--mutation', values.mutation];
    const options = ['events', ...args.filter((argument) => !own.includes(argument))];
    return runMutations(EVENT_MUTATIONS, EVENT_RULES, values.mutation, options, (line) => console.log(line));
  }
  const size = values.small ? SMALL : FULL;
  const sized = (option: keyof typeof FULL, least: number) =>
    count(option, values[option] ?? String(size[option]), least);
  const first = values.seed === undefined ? Date.now() % 2 ** 32 : count('seed', values.seed, 0);
  const options = {
    keys: sized('keys', 1),
    values: sized('values', 1),
    thinkMs: sized('think-ms', 0),
    natsKills: sized('nats-kills', 0),
    backstageKills: sized('backstage-kills', 0),
    killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
    ingestors: 2,
    filters: 2,
  };
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort());
  let broken = 0;
  for (let seed = first; seed < first + count('seeds', values.seeds); seed++) {
    const dataDir = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    console.log(`seed ${seed}`);
    const isKept = report(
      await runEventFaults({ ...options, seed, dataDir }, (line) => console.log(line), interrupted.signal),
      {
        ...options,
        seed,
        dataDir,
      },
    );
    if (isKept) await rm(dataDir, { recursive: true, force: true });
    else broken += 1;
  }
  return broken > 0 ? 1 : 0;
}

/** Returns whether every rule was kept. */
function report(
  { history, findings, loadMs, stopFailure, output }: EventFaultReport,
  options: EventFaultOptions,
): boolean {
  const { posts, stored, gaps, kills, read } = history;
  const retried = posts.filter(({ attempts }) => attempts > 1).length;
  const lines = [
    `sent, taken           ${countBy(posts, ({ way }) => way)}; not taken ${posts.filter(({ answeredAt }) => answeredAt === undefined).length}`,
    `sent more than once   ${retried}`,
    `stored                ${countBy(stored, ({ way }) => way)}`,
    `read                  ${ERAS.map((era) => `${era} ${read[era].length}`).join(', ')}`,
    `gaps told             ${countBy(gaps, ({ reason }) => reason) || 'none'}`,
    `kills                 ${countBy(kills, ({ process }) => process) || 'none'}`,
    `duration              ${(loadMs / 1000).toFixed(1)} s under load`,
    `end of the stack      ${stopFailure === undefined ? 'clean' : 'not clean'}`,
    '',
    ...findings.slice(0, FINDINGS_SHOWN).map(({ rule, detail }) => `${rule}: ${detail}`),
  ];
  console.log(lines.join('\n'));
  if (findings.length === 0 && stopFailure === undefined) {
    console.log(`kept every rule, seed ${options.seed}\n`);
    return true;
  }
  console.log(`\nthe stack said last:\n${stopFailure ?? output}`);
  console.log(`rules broken: ${countBy(findings, ({ rule }) => rule) || 'the stack did not stop cleanly'}`);
  console.log(`BROKEN: ${findings.length} findings, seed ${options.seed}\ndata: ${options.dataDir}\n`);
  return false;
}
