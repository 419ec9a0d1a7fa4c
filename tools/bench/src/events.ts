/**
 * `events`: from a sender to an AI client. The candidate is the whole stack as it is shipped: a CloudEvent over HTTP, stored raw, redacted,
 * stored again, and read by a client that waits with `events.poll`. The baseline is JetStream alone: the same bytes published with an ack
 * and consumed. With one caller it is the latency at a low rate; with many, the throughput.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connectNats, declareTopology } from '@callboard/jetstream';
import { startNatsServer } from '@callboard/nats-server';
import { startStack } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Bench, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { EventOrder } from './load/event-load.js';
import { compare } from './rounds.js';

const CALLERS = [1, 32, 256];
const SIZES = [1_024, 10_240];
const ROUNDS = 3;
const WARM_UP_MS = 4_000;
const ANSWER_MS = 180_000;
const STREAM = 'BENCH_EVENTS';

const EVENT_LOAD = new URL('./load/event-load.js', import.meta.url);

export const events: Bench = {
  name: 'events',
  title: 'an event from its sender through the filter to an AI client, against JetStream alone',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    const dataDir = await mkdtemp(join(context.directory, 'events-'));
    const started: { stop(): Promise<unknown> }[] = [];
    try {
      const stack = await startStack({ dataDir: join(dataDir, 'stack'), readyWithinMs: 60_000 });
      started.push(stack);
      const alone = await startNatsServer({
        binary: context.natsServer,
        dataDir: join(dataDir, 'alone'),
        topology: declareTopology(),
        auth: 'none',
        syncInterval: 'always',
      });
      started.push(alone);
      const nc = await connectNats({ servers: alone.url, user: 'bench', name: 'bench' });
      await (await jetstreamManager(nc)).streams.add({ name: STREAM, subjects: ['bench.*'], allow_atomic: true });
      await nc.close();
      const load = await Child.start('the load generator', EVENT_LOAD);
      started.push(load);

      const { ingest_url: ingestUrl, mcp_url: mcpUrl, token, processes } = stack.ready;
      const targets: Record<'JetStream alone' | 'callboard', Pick<EventOrder, 'to' | 'processes'>> = {
        'JetStream alone': {
          to: { jetstream: { url: alone.url, stream: STREAM } },
          processes: { 'nats-server': [alone.pid] },
        },
        callboard: { to: { callboard: { ingestUrl, mcpUrl, token } }, processes },
      };
      // Both sides compiled and warm before anything counts.
      for (const target of Object.values(targets)) {
        const order: EventOrder = { ...target, bytes: SIZES[0]!, callers: 32, warmUpMs: WARM_UP_MS, windowMs: 100 };
        await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
      }
      for (const bytes of SIZES) {
        for (const callers of CALLERS) {
          const what = `${bytes / 1_024} KiB, c = ${callers}, sync always`;
          const side = (name: keyof typeof targets) => ({
            name,
            measure: async () => {
              const [warmUpMs, windowMs] = context.quick ? [500, 1_500] : [1_000, 4_000];
              const order: EventOrder = { ...targets[name], bytes, callers, warmUpMs: warmUpMs!, windowMs: windowMs! };
              const report = await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
              wrong.push(...report.wrong.map((text) => `${what}, ${name}: ${text}`));
              return measurementOf(report);
            },
          });
          const sides = { what, baseline: side('JetStream alone'), candidate: side('callboard') };
          comparisons.push(await compare(sides, context.quick ? 1 : ROUNDS, context));
        }
      }
      return { comparisons, wrong };
    } finally {
      for (const process of started.reverse()) await process.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};
