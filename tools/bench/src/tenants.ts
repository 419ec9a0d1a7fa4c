/**
 * `tenants`: what one tenant notices of another that calls as fast as it can. The quiet one makes durable calls back to back from a few
 * connections, first alone, then beside a flood from a hundred times as many; same stack, same client, every answer checked, in turns.
 * The p99 of the quiet one is what counts: its own rate falls with it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startStack } from '@callboard/testing';
import type { Bench, BenchContext, Comparison } from './bench.js';
import { Child } from './child.js';
import { measurementOf, type LoopReport } from './load/closed-loop.js';
import type { LoadOrder } from './load/http-load.js';
import { compare } from './rounds.js';
import { spread } from './statistics.js';

const TOOL = 'demo.echo';
const QUIET_CALLERS = 2;
/** Callers of the flood, and how many commands of one tenant the front end may have accepted that have not ended. */
const FLOODS: { callers: number; limit?: number }[] = [{ callers: 32 }, { callers: 256 }, { callers: 256, limit: 32 }];
const ANSWER_MS = 120_000;
const HTTP_LOAD = new URL('./load/http-load.js', import.meta.url);

export const tenants: Bench = {
  name: 'tenants',
  title: 'durable demo.echo of a quiet tenant beside another that floods, against the quiet one alone',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    const details: string[] = [];
    for (const flood of FLOODS) {
      const dataDir = await mkdtemp(join(context.directory, 'tenants-'));
      const started: { stop(): Promise<void> }[] = [];
      try {
        comparisons.push(await measure(context, flood, dataDir, started, { wrong, details }));
      } finally {
        for (const process of started.reverse()) await process.stop();
        await rm(dataDir, { recursive: true, force: true });
      }
    }
    return { comparisons, wrong, details };
  },
};

async function measure(
  context: BenchContext,
  { callers, limit }: (typeof FLOODS)[number],
  dataDir: string,
  started: { stop(): Promise<void> }[],
  { wrong, details }: { wrong: string[]; details: string[] },
): Promise<Comparison> {
  const tokens = { quiet: newToken(), flood: newToken() };
  const tokensFile = join(dataDir, 'tokens.json');
  const entries = Object.entries(tokens).map(([tenant, token]) => ({
    sha256: createHash('sha256').update(token).digest('hex'),
    tenant_id: tenant,
    user_id: 'user:default/bench',
    allow_unrestricted: true,
  }));
  await writeFile(tokensFile, JSON.stringify(entries), { mode: 0o600 });
  const config = join(dataDir, 'callboard.yaml');
  const env = {
    CALLBOARD_TOKENS_FILE: tokensFile,
    ...(limit !== undefined && { CALLBOARD_MAX_COMMANDS_PER_TENANT: String(limit) }),
  };
  await writeFile(config, JSON.stringify({ env: { 'mcp-frontend': env } }));
  const stack = await startStack({
    dataDir: join(dataDir, 'stack'),
    args: ['--config', config],
    readyWithinMs: 60_000,
  });
  started.push(stack);
  const loads = {
    quiet: await Child.start('the load of the quiet tenant', HTTP_LOAD),
    flood: await Child.start('the load of the tenant that floods', HTTP_LOAD),
  };
  started.push(loads.quiet, loads.flood);

  const { mcp_url: url, processes } = stack.ready;
  const ask = async (tenant: keyof typeof loads, order: Pick<LoadOrder, 'callers' | 'warmUpMs' | 'windowMs'>) => {
    const mayBeRefused = tenant === 'flood';
    const whole: LoadOrder = { url, token: tokens[tenant], tool: TOOL, processes, mayBeRefused, ...order };
    const report = await loads[tenant].ask<LoopReport>(whole, 'measured', ANSWER_MS);
    wrong.push(...report.wrong.map((text) => `${tenant}: ${text}`));
    return report;
  };
  const [warmUpMs, windowMs] = context.quick ? [500, 2_000] : [1_000, 5_000];
  const quiet = () => ask('quiet', { callers: QUIET_CALLERS, warmUpMs: warmUpMs!, windowMs: windowMs! });
  await ask('flood', { callers: 32, warmUpMs: context.quick ? 0 : 4_000, windowMs: 2_000 });
  const alone = await ask('flood', { callers, warmUpMs: warmUpMs!, windowMs: windowMs! });

  const floods: number[] = [];
  const limited = limit === undefined ? '' : `, ${limit} commands a tenant`;
  const sides = {
    what: `${QUIET_CALLERS} callers beside a flood of ${callers}${limited}`,
    baseline: { name: 'alone', measure: async () => measurementOf(await quiet()) },
    candidate: {
      name: 'beside the flood',
      measure: async () => {
        // It begins before the quiet one counts, and ends after.
        const flood = ask('flood', { callers, warmUpMs: warmUpMs!, windowMs: windowMs! + warmUpMs! });
        const report = await quiet();
        floods.push((await flood).perSecond);
        return measurementOf(report);
      },
    },
  };
  const comparison = await compare(sides, context.quick ? 1 : 5, context);
  const rates = [alone.perSecond, spread(floods).median].map((rate) => Math.round(rate));
  details.push(`  ${sides.what}: the flood has ${rates[1]} a second, and ${rates[0]} alone`);
  return comparison;
}

function newToken(): string {
  return randomBytes(24).toString('base64url');
}
