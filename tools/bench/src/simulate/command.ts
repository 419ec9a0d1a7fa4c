/** `npm run bench -- simulate`: the tables of docs/scaling.md. The balance is computed, the failover computed and then measured beside it. */
import type { BenchContext } from '../bench.js';
import { align } from '../report.js';
import type { Spread } from '../statistics.js';
import { simulateBalance, type Workload } from './balance.js';
import { simulateFailover, takeover, type Load } from './failover.js';
import { measureTakeovers } from './real-takeover.js';

const SIZES = [
  [16, 3],
  [16, 4],
  [16, 5],
  [16, 8],
  [16, 16],
  [64, 8],
  [64, 12],
  [64, 32],
  [256, 32],
  [256, 64],
] as const;

const WORKLOADS: [string, Workload][] = [
  ['10,000 keys, uniform', { keys: 10_000, skew: 0 }],
  ['10,000 keys, Zipf 0.8', { keys: 10_000, skew: 0.8 }],
  ['10,000 keys, Zipf 1.0', { keys: 10_000, skew: 1 }],
];

/** Each runner can do 2,000 a second. */
const LOADS: Load[] = [
  { partitions: 16, runners: 2, perSecond: 1_000, perRunner: 2_000 },
  { partitions: 16, runners: 4, perSecond: 4_000, perRunner: 2_000 },
  { partitions: 64, runners: 8, perSecond: 10_000, perRunner: 2_000 },
  { partitions: 64, runners: 8, perSecond: 14_000, perRunner: 2_000 },
  { partitions: 256, runners: 64, perSecond: 100_000, perRunner: 2_000 },
];

const TAKEOVERS = 5;

export async function runSimulations(context: Pick<BenchContext, 'directory' | 'natsServer' | 'say'>): Promise<void> {
  for (const [what, workload] of WORKLOADS) context.say(`\n${what}\n\n${renderBalance(workload)}`);
  context.say(`\nfailover\n\n${renderFailover()}`);
  const { least, most } = takeover();
  const took = (await measureTakeovers(context, TAKEOVERS)).map((ms) => seconds(ms));
  context.say(
    `\ntakeover, by the model ${seconds(least)} to ${seconds(most)} s; of runners that really died: ${took.join(', ')} s`,
  );
}

function renderBalance(workload: Workload): string {
  const head = [
    '  partitions',
    'runners',
    'busiest partition / average',
    'busiest runner / average',
    'runners without work',
  ];
  const rows = SIZES.map(([partitions, runners]) => {
    const { partition, runner, idle } = simulateBalance(workload, partitions, runners);
    return [`  ${partitions}`, String(runners), range(partition), range(runner), String(idle)];
  });
  return align([head, ...rows]).join('\n');
}

function renderFailover(): string {
  const head = ['  partitions', 'runners', 'commands/s', 'of at most', 'waiting by then', 'caught up after'];
  const rows = LOADS.map((load) => {
    const { backlog, catchUpMs } = simulateFailover(load);
    return [
      `  ${load.partitions}`,
      String(load.runners),
      load.perSecond.toLocaleString('en'),
      (load.perRunner * load.runners).toLocaleString('en'),
      Math.round(backlog).toLocaleString('en'),
      Number.isFinite(catchUpMs) ? `${seconds(catchUpMs)} s` : 'never',
    ];
  });
  return align([head, ...rows]).join('\n');
}

function range({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
