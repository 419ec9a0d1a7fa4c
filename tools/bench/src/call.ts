/**
 * `call`: what durability costs a caller. The candidate is `demo.echo` through the whole stack as it is shipped (HTTP, front end,
 * stored command, runner, stored outcome, answer); the baseline is a bare SDK server that returns the text itself. Same client,
 * same bytes, every answer checked, in turns.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startStack } from '@callboard/testing';
import type { Bench, BenchContext, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { LoadOrder } from './load/http-load.js';
import { compare } from './rounds.js';

const TOOL = 'demo.echo';
const CALLERS = [1, 32, 256];
const WARM_UP_MS = 3_000;
const ANSWER_MS = 120_000;

const HTTP_LOAD = new URL('./load/http-load.js', import.meta.url);
const BARE_SDK = new URL('./baselines/bare-sdk-server.js', import.meta.url);

export const call: Bench = {
  name: 'call',
  title: 'durable demo.echo through the whole stack, against a bare SDK server',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    for (const syncInterval of context.quick ? ['always'] : ['always', '2m']) {
      comparisons.push(...(await compareWith(syncInterval, context, wrong)));
    }
    return { comparisons, wrong };
  },
};

async function compareWith(syncInterval: string, context: BenchContext, wrong: string[]): Promise<Comparison[]> {
  const dataDir = await mkdtemp(join(context.directory, 'call-'));
  const started: { stop(): Promise<void> }[] = [];
  try {
    const bare = await Child.start<{ url: string }>('the bare SDK server', BARE_SDK);
    started.push(bare);
    const config = join(dataDir, 'callboard.yaml');
    await writeFile(config, `nats: { sync_interval: ${syncInterval} }\n`);
    const stack = await startStack({
      dataDir: join(dataDir, 'stack'),
      args: ['--config', config],
      readyWithinMs: 60_000,
    });
    started.push(stack);
    const load = await Child.start('the load generator', HTTP_LOAD);
    started.push(load);

    const { mcp_url: url, token, processes } = stack.ready;
    const targets = {
      'bare SDK': { url: bare.ready.url, token, processes: { server: [bare.pid] } },
      callboard: { url, token, processes },
    };
    // Both sides compiled and warm before anything counts.
    for (const target of Object.values(targets)) {
      const order: LoadOrder = { ...target, tool: TOOL, callers: 32, warmUpMs: WARM_UP_MS, windowMs: 100 };
      await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
    }
    const comparisons: Comparison[] = [];
    for (const callers of CALLERS) {
      const what = `c = ${callers}, sync ${syncInterval}`;
      const side = (name: keyof typeof targets) => ({
        name,
        measure: async () => {
          const order: LoadOrder = { ...targets[name], tool: TOOL, callers, ...duration(context) };
          const report = await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
          wrong.push(...report.wrong.map((text) => `${what}, ${name}: ${text}`));
          return measurementOf(report);
        },
      });
      const sides = { what, baseline: side('bare SDK'), candidate: side('callboard') };
      comparisons.push(await compare(sides, context.quick ? 1 : 3, context));
    }
    return comparisons;
  } finally {
    for (const process of started.reverse()) await process.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function duration({ quick }: BenchContext): { warmUpMs: number; windowMs: number } {
  return quick ? { warmUpMs: 500, windowMs: 1_500 } : { warmUpMs: 500, windowMs: 3_000 };
}
