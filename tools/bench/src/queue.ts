/**
 * `queue`: Callboard as a job queue, beside two that people use. A producer process calls in a closed loop, a worker process does the
 * job, and a call is over when the producer has heard that its completion is stored. Every store syncs to disk before it acknowledges:
 * `sync_interval: always`, `appendfsync always`, PostgreSQL's defaults.
 *
 * Callboard's side keeps what it promises: refusal of duplicates, order within 1,000 keys, one stored outcome with the result. The
 * peers run without keys and with the settings that measured best for them; none of them is asked for a result to keep.
 */
import type { Bench, BenchContext, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { QueueOrder } from './load/queue-producer.js';
import { NotThere, PEERS, installPeers } from './queue-peers.js';
import { compareAll } from './rounds.js';
import { startRunnerStack } from './runner-stack.js';

const CALLERS = [1, 32, 256];
const JOBS = { noop: 'no-op', work: '5 ms' } as const;
const ROUNDS = 3;
const WARM_UP_MS = 3_000;
const ANSWER_MS = 120_000;

const COMMAND_PRODUCER = new URL('./load/command-producer.js', import.meta.url);

/** A queue with its server, its producer and its worker. */
export interface RunningQueue {
  name: string;
  producer: Child<unknown>;
  processes: { [name: string]: number[] };
  stop(): Promise<void>;
}

export const queue: Bench = {
  name: 'queue',
  title: 'a no-op and a 5 ms action, submitted, run and heard of, beside BullMQ and graphile-worker',
  async run(context) {
    const wrong: string[] = [];
    const notMeasured: string[] = [];
    const comparisons: Comparison[] = [];
    const queues: RunningQueue[] = [];
    try {
      await installPeers(context.say);
      for (const peer of PEERS) {
        try {
          queues.push(await peer.start(context));
        } catch (error) {
          if (!(error instanceof NotThere)) throw error;
          notMeasured.push(`${peer.name}: ${error.message}`);
          context.say(`  !!! ${peer.name} IS NOT MEASURED: ${error.message}`);
        }
      }
      const peers = [...queues];
      const callboard = await startCallboard(context);
      queues.push(callboard);
      // All sides compiled and warm before anything counts.
      if (!context.quick) for (const each of queues) await measure(each, 'noop', 32, WARM_UP_MS, 100);
      for (const [job, title] of Object.entries(JOBS)) {
        for (const callers of CALLERS) {
          const what = `${title}, c = ${callers}`;
          const side = (each: RunningQueue) => ({
            name: each.name,
            measure: async () => {
              const { warmUpMs, windowMs } = duration(context);
              const report = await measure(each, job as QueueOrder['job'], callers, warmUpMs, windowMs);
              wrong.push(...report.wrong.map((text) => `${what}, ${each.name}: ${text}`));
              return measurementOf(report);
            },
          });
          const sides = { what, baselines: peers.map(side), candidate: side(callboard) };
          comparisons.push(...(await compareAll(sides, context.quick ? 1 : ROUNDS, context)));
        }
      }
      return { comparisons, wrong, notMeasured };
    } finally {
      for (const each of queues.reverse()) await each.stop();
    }
  },
};

function duration({ quick }: BenchContext): { warmUpMs: number; windowMs: number } {
  return quick ? { warmUpMs: 300, windowMs: 1_000 } : { warmUpMs: 500, windowMs: 3_000 };
}

function measure(
  { producer, processes }: RunningQueue,
  job: QueueOrder['job'],
  callers: number,
  warmUpMs: number,
  windowMs: number,
): Promise<LoopReport> {
  const order: QueueOrder = { job, callers, warmUpMs, windowMs, processes };
  return producer.ask<LoopReport>(order, 'measured', ANSWER_MS);
}

async function startCallboard(context: BenchContext): Promise<RunningQueue> {
  const stack = await startRunnerStack(context, 'queue');
  try {
    const producer = await Child.start('the producer of commands', COMMAND_PRODUCER, { BENCH_NATS_URL: stack.url });
    return {
      name: 'callboard',
      producer,
      processes: { 'nats-server': [stack.serverPid], worker: [stack.workerPid] },
      stop: async () => {
        await producer.stop();
        await stack.stop();
      },
    };
  } catch (error) {
    await stack.stop();
    throw error;
  }
}
