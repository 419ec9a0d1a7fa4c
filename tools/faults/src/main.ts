/**
 * `npm run faults -- [options]`: the fault test with real processes. Ends with 0 when no rule was broken; the seed it prints makes
 * the same plan again, of calls and of kills, though not the same interleaving.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runAudit } from './audit/command.js';
import { MUTATIONS } from './mutations.js';
import { RULES } from './checker.js';
import { runEvents } from './events/command.js';
import { runMutations } from './mutate.js';
import { count } from './options.js';
import { countBy, renderExplained, renderFigures, renderFindings } from './report.js';
import { runFaults, type FaultOptions } from './run.js';
import { runSagas } from './sagas/command.js';
import { runTenantFaults } from './tenants/command.js';
import { runUpgrade } from './upgrade/command.js';

const FULL = { keys: 1_000, values: 20, clients: 64, 'think-ms': 0, 'nats-kills': 2 };
/** Some twenty seconds under load. */
const SMALL = { keys: 40, values: 15, clients: 10, 'think-ms': 150, 'nats-kills': 1 };

const USAGE = `npm run faults -- [options]
npm run faults -- events [options]      the same with events; see --help there
npm run faults -- audit [options]       whether all that happens is on record; see --help there
npm run faults -- sagas [options]       sagas of five steps while what runs them is killed; see --help there
npm run faults -- tenants [options]     two tenants under load that must not see each other; see --help there
npm run faults -- upgrade [options]     a rolling upgrade from an older build under load, back and forth; see --help there

  --seed N            chooses what is called and killed, and when (default: from the clock)
  --seeds N           so many runs, each with the next seed (1)
  --small             a run of some twenty seconds: other defaults for the next five
  --keys N            ordering keys (${FULL.keys}; ${SMALL.keys})
  --values N          calls a key, in groups of one to three (${FULL.values}; ${SMALL.values})
  --clients N         clients at once (${FULL.clients}; ${SMALL.clients})
  --think-ms N        how long a client thinks before its next calls, on average (${FULL['think-ms']}; ${SMALL['think-ms']})
  --nats-kills N      kills of nats-server (${FULL['nats-kills']}; ${SMALL['nats-kills']})
  --nodes N           a cluster of so many nats-servers, 3 or 5, which are killed as apps are, leaders too (1)
  --kill-every-ms N   time between two kills of an app (2000)
  --runners N         action-runner replicas (3)
  --front-ends N      mcp-frontend replicas (2)
  --data-dir DIR      a new or empty directory for the stack (default: a temporary one)
  --keep              leave the data directory in place
  --mutation NAME,... run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${MUTATIONS.map(({ name, what }) => `                        ${name.padEnd(22)}${what}`).join('\n')}
`;

type RunOptions = Omit<FaultOptions, 'dataDir'>;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string', default: '1' },
      small: { type: 'boolean', default: false },
      keys: { type: 'string' },
      values: { type: 'string' },
      clients: { type: 'string' },
      'think-ms': { type: 'string' },
      'nats-kills': { type: 'string' },
      'kill-every-ms': { type: 'string', default: '2000' },
      nodes: { type: 'string', default: '1' },
      runners: { type: 'string', default: '3' },
      'front-ends': { type: 'string', default: '2' },
      'data-dir': { type: 'string' },
      keep: { type: 'boolean', default: false },
      mutation: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const size = values.small ? SMALL : FULL;
  const sized = (option: keyof typeof FULL, least = 1) => count(option, values[option] ?? String(size[option]), least);
  const options: RunOptions = {
    seed: values.seed === undefined ? Date.now() % 2 ** 32 : count('seed', values.seed, 0),
    keys: sized('keys'),
    values: sized('values'),
    clients: sized('clients'),
    thinkMs: sized('think-ms', 0),
    natsKills: sized('nats-kills', 0),
    killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
    runners: count('runners', values.runners),
    nodes: count('nodes', values.nodes),
    frontEnds: count('front-ends', values['front-ends']),
  };
  const seeds = count('seeds', values.seeds);
  if (values.mutation !== undefined) {
    const own = ['--mutation', values.mutation];
    const handedOn = process.argv.slice(2).filter((argument) => !own.includes(argument));
    return runMutations(MUTATIONS, RULES, values.mutation, handedOn, (line) => console.log(line));
  }

  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort());
  const broken: number[] = [];
  for (let seed = options.seed; seed < options.seed + seeds; seed++) {
    if (!(await runOnce({ ...options, seed }, values['data-dir'], values.keep, interrupted.signal))) broken.push(seed);
  }
  if (seeds > 1) {
    console.log(
      broken.length === 0
        ? `${seeds} of ${seeds} seeds kept every rule: ${options.seed} to ${options.seed + seeds - 1}`
        : `BROKEN with ${broken.length} of ${seeds} seeds: ${broken.join(', ')}`,
    );
  }
  return broken.length > 0 ? 1 : 0;
}

/** Returns whether every rule was kept. */
async function runOnce(
  options: RunOptions,
  wantedDir: string | undefined,
  keep: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const dataDir = resolve(wantedDir ?? (await mkdtemp(join(tmpdir(), 'callboard-faults-'))));
  console.log(`seed ${options.seed}`);
  const report = await runFaults({ ...options, dataDir }, (line) => console.log(line), signal);
  const { verdict, history, stopFailure, output } = report;
  const sections = [
    ...renderExplained(verdict.explained),
    '',
    ...renderFigures(report),
    '',
    ...renderFindings(verdict.findings, history),
  ];
  console.log(sections.join('\n'));
  const broken = verdict.findings.length > 0 || stopFailure !== undefined;
  if (broken) {
    console.log(`\nthe stack said last:\n${stopFailure ?? output}`);
    console.log(`rules broken: ${countBy(verdict.findings, ({ rule }) => rule) || 'the stack did not stop cleanly'}`);
  }
  console.log(
    broken
      ? `BROKEN: ${verdict.findings.length} findings, seed ${options.seed}\n`
      : `kept every rule, seed ${options.seed}\n`,
  );
  if (keep || broken) console.log(`data: ${dataDir}`);
  else await rm(dataDir, { recursive: true, force: true });
  return !broken;
}

const [subject, ...rest] = process.argv.slice(2);
const SUBJECTS: Record<string, (args: string[]) => Promise<number>> = {
  audit: runAudit,
  events: runEvents,
  sagas: runSagas,
  tenants: runTenantFaults,
  upgrade: runUpgrade,
};
const run = () => SUBJECTS[subject ?? '']?.(rest) ?? main();
// An interrupted run has clients that still wait: they end with the process.
process.exit(
  await run().catch((error: unknown) => {
    console.error(error instanceof TypeError ? `${error.message}\n\n${USAGE}` : error);
    return 2;
  }),
);
