import type { Probe } from './machine.js';
import type { Patience } from './rounds.js';
import type { Spread } from './statistics.js';

/** One side of a comparison, over all its rounds. */
export interface Side {
  name: string;
  per_s: Spread;
  p50_ms?: Spread;
  p99_ms?: Spread;
  /** CPU per operation of each process, by its name. */
  cpu_us?: { [process: string]: Spread };
}

/** Two sides measured in turns: baseline, candidate, baseline, candidate … */
export interface Comparison {
  what: string;
  baseline: Side;
  candidate: Side;
  /** Candidate to baseline, throughput, round by round. */
  ratio: Spread;
  added_p50_ms?: Spread;
  added_p99_ms?: Spread;
  /** Candidate to baseline, p99, round by round. */
  p99_ratio?: Spread;
  /** Share of the machine that others used meanwhile, at worst. */
  others?: number;
}

export interface BenchResult {
  name: string;
  title: string;
  comparisons: Comparison[];
  /** What came out wrong: lost, out of order, another's answer. Empty, or the run has failed. */
  wrong: string[];
  /** What is not a comparison, as lines of text. */
  details: string[];
  /** Sides that are not there on this machine, and what would bring them. */
  notMeasured: string[];
  probes: { before: Probe; after: Probe };
}

export interface BenchContext {
  /** Folder for everything that a bench stores; removed afterwards. */
  directory: string;
  natsServer: string;
  /** Few and short measurements: shows that everything works, not how fast. */
  quick: boolean;
  /** How many records the bench of the ledger writes; absent for its own number. */
  records?: number;
  /** How often it tampers with them in each way. */
  tamperings: number;
  patience: Patience;
  say(line: string): void;
}

export interface Bench {
  name: string;
  title: string;
  run(
    context: BenchContext,
  ): Promise<{ comparisons: Comparison[]; wrong: string[]; notMeasured?: string[]; details?: string[] }>;
}

/** One measurement of one side. */
export interface Measurement {
  perSecond: number;
  p50Ms?: number;
  p99Ms?: number;
  cpuUs?: { [process: string]: number };
  others?: number | undefined;
}
