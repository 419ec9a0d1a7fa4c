/** `npm run faults -- tenants [options]`: two tenants on one deployment, and nothing of the one is ever seen by the other. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runMutations } from '../mutate.js';
import { count } from '../options.js';
import { countBy } from '../report.js';
import { TENANT_RULES } from './judge.js';
import { TENANT_MUTATIONS } from './mutations.js';
import { runTenants, type TenantReport } from './run.js';

const FULL = 100_000;
const FINDINGS_SHOWN = 20;

export const TENANTS_USAGE = `npm run faults -- tenants [options]

  --seed N         chooses who does what (default: from the clock)
  --operations N   of both tenants together (${FULL})
  --users N        of each tenant (4)
  --callers N      operations at once, of each user (4)
  --front-ends N   mcp-frontend replicas (2)
  --runners N      action-runner replicas (2)
  --mutation NAME,...  run a copy of the product with this fault built in, and expect that it is found; "all" for each in turn:
${TENANT_MUTATIONS.map(({ name, what }) => `                     ${name.padEnd(16)}${what}`).join('\n')}
`;

/** Returns the exit code: 0 when no rule was broken. */
export async function runTenantFaults(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string' },
      operations: { type: 'string', default: String(FULL) },
      users: { type: 'string', default: '4' },
      callers: { type: 'string', default: '4' },
      'front-ends': { type: 'string', default: '2' },
      runners: { type: 'string', default: '2' },
      mutation: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(TENANTS_USAGE);
    return 0;
  }
  if (values.mutation !== undefined) {
    const own = ['--mutation', values.mutation];
    const options = ['tenants', ...args.filter((argument) => !own.includes(argument))];
    return runMutations(TENANT_MUTATIONS, TENANT_RULES, values.mutation, options, (line) => console.log(line));
  }
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : count('seed', values.seed, 0);
  const folder = await mkdtemp(join(tmpdir(), 'callboard-tenants-'));
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort());
  console.log(`seed ${seed}`);
  try {
    const report = await runTenants(
      {
        seed,
        folder,
        operations: count('operations', values.operations),
        usersEach: count('users', values.users),
        callersEach: count('callers', values.callers),
        frontEnds: count('front-ends', values['front-ends']),
        runners: count('runners', values.runners),
      },
      (line) => console.log(line),
      interrupted.signal,
    );
    return tell(report, seed) ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Returns whether every rule was kept. */
function tell({ findings, done, later, stored, loadMs, stopFailure, output }: TenantReport, seed: number): boolean {
  const listed = (counts: Map<string, number>) => [...counts].map(([name, n]) => `${name} ${n}`).join(', ');
  const total = [...done.values()].reduce((sum, n) => sum + n, 0);
  const lines = [
    `operations      ${total} in ${(loadMs / 1000).toFixed(1)} s: ${listed(done)}`,
    `told to wait    ${later}`,
    `stored, read    ${listed(stored)}`,
    `end of the stack ${stopFailure === undefined ? 'clean' : 'not clean'}`,
    ...findings.slice(0, FINDINGS_SHOWN).map(({ rule, detail }) => `${rule}: ${detail}`),
  ];
  console.log(lines.join('\n'));
  if (findings.length === 0 && stopFailure === undefined) {
    console.log(`kept every rule, seed ${seed}`);
    return true;
  }
  console.log(`\nthe stack said last:\n${stopFailure ?? output}`);
  console.log(`rules broken: ${countBy(findings, ({ rule }) => rule) || 'the stack did not stop cleanly'}`);
  console.log(`BROKEN: ${findings.length} findings, seed ${seed}`);
  return false;
}
