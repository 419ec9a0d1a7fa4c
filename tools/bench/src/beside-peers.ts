/**
 * Callboard beside what people use for the same job: a producer process for each calls in a closed loop, and a call is over when the producer
 * has heard that its end is stored. All are measured in the same rounds, for every kind of job and several numbers of callers.
 */
import type { Bench, BenchContext, Comparison } from './bench.js';
import type { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { JobOrder } from './load/queue-producer.js';
import { NotThere, installPeers } from './peer-servers.js';
import { compareAll } from './rounds.js';

const CALLERS = [1, 32, 256];
const ROUNDS = 3;
const WARM_UP_MS = 3_000;
const ANSWER_MS = 120_000;

/** Something that does the jobs, with its server, its producer and its worker. */
export interface RunningPeer {
  name: string;
  producer: Child<unknown>;
  processes: { [name: string]: number[] };
  stop(): Promise<void>;
}

export interface Peer {
  name: string;
  /** @throws NotThere saying what is missing. */
  start(context: BenchContext): Promise<RunningPeer>;
}

/** Starts what a peer consists of, piece by piece; `stops` is undone backwards, when it stops or when a piece does not start. */
export async function startPeer(
  name: string,
  stops: (() => Promise<unknown>)[],
  start: () => Promise<Pick<RunningPeer, 'producer' | 'processes'>>,
): Promise<RunningPeer> {
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    return { name, ...(await start()), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param jobs their titles, by the name that producers know */
export async function measureBeside<Job extends string>(
  peers: Peer[],
  startCallboard: (context: BenchContext) => Promise<RunningPeer>,
  jobs: Record<Job, string>,
  context: BenchContext,
): ReturnType<Bench['run']> {
  const wrong: string[] = [];
  const notMeasured: string[] = [];
  const comparisons: Comparison[] = [];
  const running: RunningPeer[] = [];
  try {
    await installPeers(context.say);
    for (const peer of peers) {
      try {
        running.push(await peer.start(context));
      } catch (error) {
        if (!(error instanceof NotThere)) throw error;
        notMeasured.push(`${peer.name}: ${error.message}`);
        context.say(`  !!! ${peer.name} IS NOT MEASURED: ${error.message}`);
      }
    }
    const baselines = [...running];
    const callboard = await startCallboard(context);
    running.push(callboard);
    const [first] = Object.keys(jobs) as [Job];
    // All sides compiled and warm before anything counts.
    if (!context.quick) for (const each of running) await measure(each, first, 32, WARM_UP_MS, 100);
    for (const [job, title] of Object.entries(jobs) as [Job, string][]) {
      for (const callers of CALLERS) {
        const what = `${title}, c = ${callers}`;
        const side = (each: RunningPeer) => ({
          name: each.name,
          measure: async () => {
            const { warmUpMs, windowMs } = duration(context);
            const report = await measure(each, job, callers, warmUpMs, windowMs);
            wrong.push(...report.wrong.map((text) => `${what}, ${each.name}: ${text}`));
            return measurementOf(report);
          },
        });
        const sides = { what, baselines: baselines.map(side), candidate: side(callboard) };
        comparisons.push(...(await compareAll(sides, context.quick ? 1 : ROUNDS, context)));
      }
    }
    return { comparisons, wrong, notMeasured };
  } finally {
    for (const each of running.reverse()) await each.stop();
  }
}

function duration({ quick }: BenchContext): { warmUpMs: number; windowMs: number } {
  return quick ? { warmUpMs: 300, windowMs: 1_000 } : { warmUpMs: 500, windowMs: 3_000 };
}

function measure<Job extends string>(
  { producer, processes }: RunningPeer,
  job: Job,
  callers: number,
  warmUpMs: number,
  windowMs: number,
): Promise<LoopReport> {
  const order: JobOrder<Job> = { job, callers, warmUpMs, windowMs, processes };
  return producer.ask<LoopReport>(order, 'measured', ANSWER_MS);
}
