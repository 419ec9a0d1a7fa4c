/**
 * Measures two sides in turns, so that what the machine does meanwhile meets both, and puts the rounds together. A ratio is taken
 * within each round and only then its median over the rounds: neighbours in time are compared with each other. A measurement that
 * others disturbed is taken again while there is patience, and the least disturbed one counts.
 */
import type { Comparison, Measurement, Side } from './bench.js';
import { OthersWatch } from './processes.js';
import { spread, type Spread } from './statistics.js';

export interface Sides {
  what: string;
  baseline: { name: string; measure(): Promise<Measurement> };
  candidate: { name: string; measure(): Promise<Measurement> };
}

export interface Measuring {
  patience: Patience;
  say(line: string): void;
}

/** Time for measuring again, shared by all comparisons of a run, so that a busy machine makes the run a little longer and not endless. */
export class Patience {
  constructor(private leftMs: number) {}

  get isLeft(): boolean {
    return this.leftMs > 0;
  }

  spend(ms: number): void {
    this.leftMs -= ms;
  }
}

/** Above this share used by others the machine is not ours: rates say little then; ratios and CPU per operation still do. */
export const DISTURBED = 0.1;
const TRIES = 3;

export async function compare(sides: Sides, rounds: number, measuring: Measuring): Promise<Comparison> {
  const [comparison] = await compareAll({ ...sides, baselines: [sides.baseline] }, rounds, measuring);
  return comparison!;
}

/** The candidate beside each of several baselines, all in the same rounds. */
export async function compareAll(
  { what, baselines, candidate }: Omit<Sides, 'baseline'> & { baselines: Sides['baseline'][] },
  rounds: number,
  { patience, say }: Measuring,
): Promise<Comparison[]> {
  const measuredBaselines: Measurement[][] = baselines.map(() => []);
  const measuredCandidate: Measurement[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [index, { measure }] of baselines.entries()) {
      measuredBaselines[index]!.push(await leastDisturbed(measure, patience));
    }
    measuredCandidate.push(await leastDisturbed(candidate.measure, patience));
  }
  return baselines.map((baseline, index) => {
    const result = combine({ what, baseline, candidate }, measuredBaselines[index]!, measuredCandidate);
    say(`  ${what}: ${result.ratio.median.toFixed(2)} times ${baseline.name}`);
    return result;
  });
}

async function leastDisturbed(measure: () => Promise<Measurement>, patience: Patience): Promise<Measurement> {
  let best = await watched(measure);
  for (let tries = 1; tries < TRIES && (best.others ?? 0) > DISTURBED && patience.isLeft; tries++) {
    const from = performance.now();
    const again = await watched(measure);
    patience.spend(performance.now() - from);
    if ((again.others ?? 0) < (best.others ?? 0)) best = again;
  }
  return best;
}

async function watched(measure: () => Promise<Measurement>): Promise<Measurement> {
  const watch = new OthersWatch();
  const measured = await measure();
  return { ...measured, others: watch.stop() };
}

function combine(sides: Sides, baseline: Measurement[], candidate: Measurement[]): Comparison {
  const difference = (of: (measured: Measurement) => number | undefined): Spread | undefined =>
    spreadOf(candidate.map((measured, round) => (of(measured) ?? NaN) - (of(baseline[round]!) ?? NaN)));
  const others = [...baseline, ...candidate].flatMap(({ others }) => others ?? []);
  return {
    what: sides.what,
    baseline: sideOf(sides.baseline.name, baseline),
    candidate: sideOf(sides.candidate.name, candidate),
    ratio: spread(candidate.map(({ perSecond }, round) => perSecond / baseline[round]!.perSecond)),
    ...defined(
      'added_p50_ms',
      difference(({ p50Ms }) => p50Ms),
    ),
    ...defined(
      'added_p99_ms',
      difference(({ p99Ms }) => p99Ms),
    ),
    ...defined(
      'p99_ratio',
      spreadOf(candidate.map(({ p99Ms }, round) => (p99Ms ?? NaN) / (baseline[round]!.p99Ms ?? NaN))),
    ),
    ...defined('others', others.length > 0 ? Math.max(...others) : undefined),
  };
}

function sideOf(name: string, rounds: Measurement[]): Side {
  const processes = Object.keys(rounds[0]?.cpuUs ?? {});
  const cpu = processes.map((process) => [process, spread(rounds.map(({ cpuUs }) => cpuUs?.[process] ?? 0))] as const);
  return {
    name,
    per_s: spread(rounds.map(({ perSecond }) => perSecond)),
    ...defined('p50_ms', spreadOf(rounds.map(({ p50Ms }) => p50Ms))),
    ...defined('p99_ms', spreadOf(rounds.map(({ p99Ms }) => p99Ms))),
    ...(cpu.length > 0 && { cpu_us: Object.fromEntries(cpu) }),
  };
}

function spreadOf(values: (number | undefined)[]): Spread | undefined {
  const numbers = values.filter((value): value is number => value !== undefined && !Number.isNaN(value));
  return numbers.length > 0 ? spread(numbers) : undefined;
}

function defined<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [name in Name]?: Value };
}
