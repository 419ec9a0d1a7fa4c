/**
 * `tasks`: how soon a client has its task. The candidate calls a tool that is always a task, and is answered as soon as command and
 * deadline are stored; the baseline calls the same action and waits for its result. Both over HTTP, through the whole stack as it is
 * shipped; what the candidate creates is run meanwhile.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startStack } from '@callboard/testing';
import type { Bench, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { LoadOrder } from './load/http-load.js';
import { compare } from './rounds.js';

const CALLERS = [1, 32, 256];
const ROUNDS = 3;
const WARM_UP_MS = 3_000;
const ANSWER_MS = 120_000;

const HTTP_LOAD = new URL('./load/http-load.js', import.meta.url);
const BENCH_ACTIONS = fileURLToPath(new URL('./actions.js', import.meta.url));

export const tasks: Bench = {
  name: 'tasks',
  title: 'from a call to its CreateTaskResult, against the same action called and waited for',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    const dataDir = await mkdtemp(join(context.directory, 'tasks-'));
    const started: { stop(): Promise<void> }[] = [];
    try {
      const stack = await startStack({
        dataDir: join(dataDir, 'stack'),
        env: { CALLBOARD_ACTION_MODULES: BENCH_ACTIONS },
        readyWithinMs: 60_000,
      });
      started.push(stack);
      const load = await Child.start('the load generator', HTTP_LOAD);
      started.push(load);
      const { mcp_url: url, token, processes } = stack.ready;
      const targets = {
        'waited for': { url, token, processes, tool: 'bench.reply' },
        'as a task': { url, token, processes, tool: 'bench.task', asTask: true },
      };
      // Both sides compiled and warm before anything counts.
      for (const target of Object.values(targets)) {
        const order: LoadOrder = { ...target, callers: 32, warmUpMs: WARM_UP_MS, windowMs: 100 };
        await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
      }
      for (const callers of CALLERS) {
        const what = `c = ${callers}, sync always`;
        const side = (name: keyof typeof targets) => ({
          name,
          measure: async () => {
            const [warmUpMs, windowMs] = context.quick ? [500, 1_500] : [500, 3_000];
            const order: LoadOrder = { ...targets[name], callers, warmUpMs: warmUpMs!, windowMs: windowMs! };
            const report = await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
            wrong.push(...report.wrong.map((text) => `${what}, ${name}: ${text}`));
            return measurementOf(report);
          },
        });
        const sides = { what, baseline: side('waited for'), candidate: side('as a task') };
        comparisons.push(await compare(sides, context.quick ? 1 : ROUNDS, context));
      }
      return { comparisons, wrong };
    } finally {
      for (const process of started.reverse()) await process.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};
