/**
 * `npm run faults -- [options]`: the fault test with real processes. Ends with 0 when no rule was broken; the seed it prints makes
 * the same kill plan again, though not the same interleaving.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { renderExplained, renderFigures, renderFindings } from './report.js';
import { runFaults, type FaultOptions } from './run.js';

const USAGE = `npm run faults -- [options]

  --seed N            chooses what is killed, and when (default: from the clock)
  --keys N            ordering keys (1000)
  --values N          calls a key, one strictly after the other (20)
  --clients N         clients at once (64)
  --think-ms N        how long a client thinks before its next call, on average (0)
  --runners N         action-runner replicas (3)
  --front-ends N      mcp-frontend replicas (2)
  --kill-every-ms N   time between two kills of an app (2000)
  --nats-kills N      kills of nats-server (2)
  --data-dir DIR      a new or empty directory for the stack (default: a temporary one)
  --keep              leave the data directory in place
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      keys: { type: 'string', default: '1000' },
      values: { type: 'string', default: '20' },
      clients: { type: 'string', default: '64' },
      'think-ms': { type: 'string', default: '0' },
      runners: { type: 'string', default: '3' },
      'front-ends': { type: 'string', default: '2' },
      'kill-every-ms': { type: 'string', default: '2000' },
      'nats-kills': { type: 'string', default: '2' },
      'data-dir': { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const dataDir = resolve(values['data-dir'] ?? (await mkdtemp(join(tmpdir(), 'callboard-faults-'))));
  const options: FaultOptions = {
    seed: values.seed === undefined ? Date.now() % 2 ** 32 : count('seed', values.seed, 0),
    keys: count('keys', values.keys),
    values: count('values', values.values),
    clients: count('clients', values.clients),
    thinkMs: count('think-ms', values['think-ms'], 0),
    runners: count('runners', values.runners),
    frontEnds: count('front-ends', values['front-ends']),
    killEveryMs: count('kill-every-ms', values['kill-every-ms'], 100),
    natsKills: count('nats-kills', values['nats-kills'], 0),
    dataDir,
  };
  console.log(`seed ${options.seed}`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort());
  const report = await runFaults(options, (line) => console.log(line), interrupted.signal);
  const { verdict, history, stopFailure, output } = report;
  const sections = [
    ...renderExplained(verdict.explained),
    '',
    ...renderFigures(report),
    '',
    ...renderFindings(verdict.findings, history),
  ];
  console.log(sections.join('\n'));
  const broken = verdict.findings.length > 0 || stopFailure !== undefined;
  if (broken) console.log(`\nthe stack said last:\n${stopFailure ?? output}`);
  console.log(
    broken
      ? `BROKEN: ${verdict.findings.length} findings, seed ${options.seed}`
      : `kept every rule, seed ${options.seed}`,
  );
  if (values.keep || broken) console.log(`data: ${dataDir}`);
  else await rm(dataDir, { recursive: true, force: true });
  return broken ? 1 : 0;
}

/** @throws TypeError naming the option, when it is not a whole number or too small. */
function count(option: string, text: string, least = 1): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < least) {
    throw new TypeError(`--${option} must be a whole number, ${least} at least`);
  }
  return number;
}

// An interrupted run has clients that still wait: they end with the process.
process.exit(
  await main().catch((error: unknown) => {
    console.error(error instanceof TypeError ? `${error.message}\n\n${USAGE}` : error);
    return 2;
  }),
);
