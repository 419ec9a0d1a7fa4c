/**
 * `backstage`: a query of the software catalog by a durable call through the whole stack, against Backstage's own MCP endpoint. Both end
 * at the same action of the same real Backstage; same client, same query, every answer checked, in turns. Nothing is cached on
 * the way: each call is one query of Backstage's database.
 *
 * Each endpoint is spoken to as it serves best: Backstage's has no sessions and an older revision.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startBackstage, startStack, waitFor } from '@callboard/testing';
import type { Bench, BenchContext, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { LoadOrder } from './load/http-load.js';
import { compare } from './rounds.js';

const CALLERS = [1, 8, 32];
const ROUNDS = 5;
const WARM_UP_MS = 5_000;
const ANSWER_MS = 120_000;

const HTTP_LOAD = new URL('./load/http-load.js', import.meta.url);
const QUERY = {
  arguments: { query: { kind: 'Component', 'spec.lifecycle': 'production' }, fields: ['kind', 'metadata', 'spec'] },
  answer: '"name": ?"ticket-desk"[^]*"totalItems": ?1\\b',
};

export const backstage: Bench = {
  name: 'backstage',
  title: "a durable catalog query through the whole stack, against Backstage's own MCP endpoint",
  async run(context) {
    const wrong: string[] = [];
    const dataDir = await mkdtemp(join(context.directory, 'backstage-'));
    const started: { stop(): Promise<void> }[] = [];
    try {
      let real: Awaited<ReturnType<typeof startBackstage>>;
      try {
        real = await startBackstage();
      } catch (error) {
        return { comparisons: [], wrong, notMeasured: [`Backstage: ${(error as Error).message}`] };
      }
      started.push({ stop: () => real.dispose() });
      await hasItsCatalog(real.url, real.tokens.catalog);
      const comparisons = await measure(context, dataDir, real, started, wrong);
      return { comparisons, wrong };
    } finally {
      for (const process of started.reverse()) await process.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

async function measure(
  context: BenchContext,
  dataDir: string,
  real: { url: string; pid: number; tokens: { catalog: string } },
  started: { stop(): Promise<void> }[],
  wrong: string[],
): Promise<Comparison[]> {
  const adapters = join(dataDir, 'adapters.json');
  const site = { name: 'backstage', url: real.url, token: '${BACKSTAGE_TOKEN}', plugins: ['catalog'] };
  await writeFile(adapters, JSON.stringify({ backstages: [site] }));
  const stack = await startStack({
    dataDir: join(dataDir, 'stack'),
    env: { CALLBOARD_ADAPTERS: adapters, BACKSTAGE_TOKEN: real.tokens.catalog },
    readyWithinMs: 60_000,
  });
  started.push(stack);
  const load = await Child.start('the load generator', HTTP_LOAD);
  started.push(load);

  const { mcp_url: url, token, processes } = stack.ready;
  const targets = {
    "Backstage's MCP": {
      url: `${real.url}/api/mcp-actions/v1`,
      token: real.tokens.catalog,
      tool: 'query-catalog-entities',
      revision: '2025-06-18',
      processes: { backstage: [real.pid] },
    },
    callboard: {
      url,
      token,
      tool: 'backstage.catalog.query-catalog-entities',
      processes: { ...processes, backstage: [real.pid] },
    },
  };
  // Both sides compiled and warm before anything counts.
  for (const target of Object.values(targets)) {
    const order: LoadOrder = { ...target, query: QUERY, callers: 32, warmUpMs: WARM_UP_MS, windowMs: 100 };
    await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
  }
  const comparisons: Comparison[] = [];
  for (const callers of CALLERS) {
    const what = `c = ${callers}, sync always`;
    const side = (name: keyof typeof targets) => ({
      name,
      measure: async () => {
        const [warmUpMs, windowMs] = context.quick ? [500, 2_000] : [1_000, 5_000];
        const order = { ...targets[name], query: QUERY, callers, warmUpMs: warmUpMs!, windowMs: windowMs! };
        const report = await load.ask<LoopReport>(order, 'measured', ANSWER_MS);
        wrong.push(...report.wrong.map((text) => `${what}, ${name}: ${text}`));
        return measurementOf(report);
      },
    });
    const sides = { what, baseline: side("Backstage's MCP"), candidate: side('callboard') };
    comparisons.push(await compare(sides, context.quick ? 1 : ROUNDS, context));
  }
  return comparisons;
}

/** What it has read of its catalog as it starts is not all at once. */
async function hasItsCatalog(url: string, token: string): Promise<void> {
  const desk = `${url}/api/catalog/entities/by-name/component/default/ticket-desk`;
  const isThere = async () => (await fetch(desk, { headers: { authorization: `Bearer ${token}` } })).ok;
  await waitFor(isThere, { what: 'the catalog of Backstage', timeoutMs: 60_000 });
}
