/**
 * `npm run bench -- [NAME …] [options]`. Ends with 0 when every result was right, whatever the speed: a bench tells how fast, and
 * fails only when something is lost, out of order or another's.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { resolveNatsServer } from '@callboard/nats-server';
import { audit } from './audit.js';
import { backstage } from './backstage.js';
import type { Bench, BenchContext, BenchResult } from './bench.js';
import { call } from './call.js';
import { cost } from './cost.js';
import { deadlines } from './deadlines.js';
import { events } from './events.js';
import { describeMachine, probe } from './machine.js';
import { ordering } from './ordering.js';
import { queue } from './queue.js';
import { raw } from './raw.js';
import { redaction } from './redaction.js';
import { redrive } from './redrive.js';
import { sagas } from './sagas.js';
import { Patience } from './rounds.js';
import { tasks } from './tasks.js';
import { tenants } from './tenants.js';
import { trust } from './trust.js';
import { renderMachine, renderResult } from './report.js';
import { runSimulations } from './simulate/command.js';

const BENCHES: Bench[] = [
  raw,
  call,
  cost,
  ordering,
  queue,
  deadlines,
  tasks,
  redrive,
  events,
  redaction,
  backstage,
  tenants,
  trust,
  audit,
  sagas,
];

/** How much longer a whole run may take because others use the machine. */
const PATIENCE_MS = 90_000;

const USAGE = `npm run bench -- [NAME ...] [options]

${BENCHES.map(({ name, title }) => `  ${name.padEnd(12)}${title}`).join('\n')}

npm run bench -- simulate
  how evenly keys lie over partitions and runners, and what the death of a runner costs, computed and beside a real one

  --json FILE   also write the figures to FILE
  --quick       few and short measurements: shows that all of it works, not how fast
  --records N   how many records \`audit\` writes, instead of a million
  --tamperings N
                of each kind, \`audit\` does to what it has written; each must be found
  --dir DIR     where servers keep their data meanwhile (default: the system's temporary folder)
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string' },
      records: { type: 'string' },
      tamperings: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const simulating = positionals[0] === 'simulate' && positionals.length === 1;
  const unknown = positionals.filter((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown.length > 0 && !simulating) {
    process.stderr.write(`There is no bench "${unknown.join('", "')}".\n\n${USAGE}`);
    return 2;
  }
  const [records, tamperings] = [values.records, values.tamperings].map((text) =>
    text === undefined ? text : Number(text),
  );
  if ([records, tamperings].some((count) => count !== undefined && !(Number.isSafeInteger(count) && count > 0))) {
    process.stderr.write(`--records and --tamperings are whole numbers from 1 on.\n\n${USAGE}`);
    return 2;
  }
  const chosen = BENCHES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

  const say = (line: string) => process.stdout.write(`${line}\n`);
  const natsServer = await resolveNatsServer({ onProgress: say });
  const machine = describeMachine(natsServer.version);
  say(renderMachine(machine));
  const directory = await mkdtemp(join(resolve(values.dir ?? tmpdir()), 'callboard-bench-'));
  const patience = new Patience(values.quick ? 0 : PATIENCE_MS);
  const results: BenchResult[] = [];
  try {
    if (simulating) await runSimulations({ directory, natsServer: natsServer.path, say });
    for (const bench of chosen) {
      const result = await runBench(bench, {
        directory,
        natsServer: natsServer.path,
        quick: values.quick,
        ...(records !== undefined && { records }),
        tamperings: tamperings ?? 0,
        patience,
        say,
      });
      say(renderResult(result));
      results.push(result);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  if (values.json !== undefined) {
    const report = { at: new Date().toISOString(), quick: values.quick, machine, benches: results };
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  return results.some(({ wrong }) => wrong.length > 0) ? 1 : 0;
}

async function runBench(bench: Bench, context: BenchContext): Promise<BenchResult> {
  context.say(`\n${bench.name}: ${bench.title}`);
  const before = probe(context.directory);
  const { comparisons, wrong, notMeasured = [], details = [] } = await bench.run(context);
  return {
    name: bench.name,
    title: bench.title,
    comparisons,
    wrong,
    notMeasured,
    details,
    probes: { before, after: probe(context.directory) },
  };
}

process.exitCode = await main();
