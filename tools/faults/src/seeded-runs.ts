/** What the fault tests with seeds have in common on the command line: sizes, seeds, mutations, and what is said of each run. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runMutations } from './mutate.js';
import type { Mutation } from './mutations.js';
import { count } from './options.js';
import { countBy } from './report.js';

const FINDINGS_SHOWN = 40;

/** For `parseArgs`, beside the options of one's own. */
export const SEEDED_OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string', default: '1' },
  small: { type: 'boolean', default: false },
  mutation: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/** For `parseArgs`, of a test that can kill the nodes of a cluster. */
export const CLUSTER_OPTIONS = {
  nodes: { type: 'string', default: '1' },
  replicas: { type: 'string', default: '2' },
} as const;

/** How many of what is killed there are. */
export interface ClusterSize {
  /** Of nats-server; those of a cluster are killed at ticks. */
  nodes: number;
  /** Of each app that is killed. */
  replicas: number;
}

/** Reads the values that `CLUSTER_OPTIONS` make. @throws TypeError naming the option, when it is not a whole number or too small. */
export function clusterSize(values: { nodes: string; replicas: string }): ClusterSize {
  return { nodes: count('nodes', values.nodes), replicas: count('replicas', values.replicas) };
}

/** The part of the values that `SEEDED_OPTIONS` make. */
export interface SeededValues {
  seed?: string | undefined;
  seeds: string;
  mutation?: string | undefined;
  help: boolean;
}

export interface SeededTest {
  /** As in `npm run faults -- <subject>`. */
  subject: string;
  usage: string;
  mutations: readonly Mutation[];
  rules: readonly string[];
}

/** How a run went. */
export interface SeededRun {
  findings: readonly { rule: string; detail: string }[];
  loadMs: number;
  stopFailure?: string | undefined;
  /** What the stack said. */
  output: string;
}

/** Reads an option that has a default for each size of run. @throws TypeError naming the option, when it is not a whole number or too small. */
export function sized<Option extends string>(
  values: NoInfer<Partial<Record<Option, string>>>,
  size: Record<Option, number>,
): (option: Option, least: number) => number {
  return (option, least) => count(option, values[option] ?? String(size[option]), least);
}

/**
 * Runs the test with each seed, or shows the usage, or looks for mutations. Returns the exit code: 0 when no rule was broken.
 * @param prepare reads the options of one's own; what it returns makes one run in a folder, and says in lines what came of it
 */
export async function runSeeds<Run extends SeededRun>(
  { subject, usage, mutations, rules }: SeededTest,
  args: string[],
  values: SeededValues,
  prepare: () => (seed: number, folder: string, signal: AbortSignal) => Promise<Run>,
  figures: (run: Run) => string[],
): Promise<number> {
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (values.mutation !== undefined) {
    const own = ['--mutation', values.mutation];
    const options = [subject, ...args.filter((argument) => !own.includes(argument))];
    return runMutations(mutations, rules, values.mutation, options, (line) => console.log(line));
  }
  const first = values.seed === undefined ? Date.now() % 2 ** 32 : count('seed', values.seed, 0);
  const runOnce = prepare();
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort());
  let broken = 0;
  for (let seed = first; seed < first + count('seeds', values.seeds); seed++) {
    const folder = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    console.log(`seed ${seed}`);
    const run = await runOnce(seed, folder, interrupted.signal);
    if (report(run, figures(run), seed, folder)) await rm(folder, { recursive: true, force: true });
    else broken += 1;
  }
  return broken > 0 ? 1 : 0;
}

/** Returns whether every rule was kept. */
function report(
  { findings, loadMs, stopFailure, output }: SeededRun,
  figures: string[],
  seed: number,
  folder: string,
): boolean {
  const lines = [
    ...figures,
    `duration              ${(loadMs / 1000).toFixed(1)} s under load`,
    `end of the stack      ${stopFailure === undefined ? 'clean' : 'not clean'}`,
    '',
    ...findings.slice(0, FINDINGS_SHOWN).map(({ rule, detail }) => `${rule}: ${detail}`),
  ];
  console.log(lines.join('\n'));
  if (findings.length === 0 && stopFailure === undefined) {
    console.log(`kept every rule, seed ${seed}\n`);
    return true;
  }
  console.log(`\nthe stack said last:\n${stopFailure ?? output}`);
  console.log(`rules broken: ${countBy(findings, ({ rule }) => rule) || 'the stack did not stop cleanly'}`);
  console.log(`BROKEN: ${findings.length} findings, seed ${seed}\ndata: ${folder}\n`);
  return false;
}
