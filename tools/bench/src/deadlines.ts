/**
 * `deadlines`: what it costs that a deadline holds when nobody is there. The baseline schedules none; the candidates schedule one with
 * every command, and, as it is by default, only for commands that are no longer young. No-op commands in a closed loop, the same
 * stack for all.
 */
import type { Bench, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { QueueOrder } from './load/queue-producer.js';
import { compare } from './rounds.js';
import { startRunnerStack } from './runner-stack.js';

const CALLERS = [1, 32, 256];
const ROUNDS = 3;
const WARM_UP_MS = 3_000;
const ANSWER_MS = 120_000;
/** Longer than any command of this bench lives. */
const NEVER_MS = 3_600_000;

const COMMAND_PRODUCER = new URL('./load/command-producer.js', import.meta.url);

export const deadlines: Bench = {
  name: 'deadlines',
  title: 'no-op commands whose deadlines are scheduled, against none scheduled',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    const stack = await startRunnerStack(context, 'deadlines');
    const producers: Child<unknown>[] = [];
    const start = async (name: string, afterMs: number | undefined) => {
      const producer = await Child.start(`the producer (${name})`, COMMAND_PRODUCER, {
        BENCH_NATS_URL: stack.url,
        ...(afterMs !== undefined && { BENCH_SCHEDULE_AFTER_MS: String(afterMs) }),
      });
      producers.push(producer);
      return { name, producer };
    };
    const processes = { 'nats-server': [stack.serverPid], worker: [stack.workerPid] };
    const measure = (producer: Child<unknown>, callers: number, warmUpMs: number, windowMs: number) => {
      const order: QueueOrder = { job: 'noop', callers, warmUpMs, windowMs, processes };
      return producer.ask<LoopReport>(order, 'measured', ANSWER_MS);
    };
    try {
      const none = await start('none scheduled', NEVER_MS);
      const candidates = [await start('every one', 0), await start('by default', undefined)];
      if (!context.quick) for (const producer of producers) await measure(producer, 32, WARM_UP_MS, 100);
      for (const callers of CALLERS) {
        for (const candidate of candidates) {
          const what = `c = ${callers}, ${candidate.name}`;
          const side = ({ name, producer }: typeof none) => ({
            name,
            measure: async () => {
              const [warmUpMs, windowMs] = context.quick ? [300, 1_000] : [500, 3_000];
              const report = await measure(producer, callers, warmUpMs, windowMs);
              wrong.push(...report.wrong.map((text) => `${what}, ${name}: ${text}`));
              return measurementOf(report);
            },
          });
          const sides = { what, baseline: side(none), candidate: side(candidate) };
          comparisons.push(await compare(sides, context.quick ? 1 : ROUNDS, context));
        }
      }
      return { comparisons, wrong };
    } finally {
      for (const producer of producers) await producer.stop();
      await stack.stop();
    }
  },
};
