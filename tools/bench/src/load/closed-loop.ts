/**
 * A closed loop: callers that call back to back, a warm-up, then a window that counts. At both ends of the window the CPU time of the
 * processes is read that the order names.
 */
import type { Measurement } from '../bench.js';
import { cpuMsOfTree } from '../processes.js';
import { percentile } from '../statistics.js';

export interface LoopOrder {
  callers: number;
  warmUpMs: number;
  windowMs: number;
  /** Whose CPU time to count, by name; a process with all its descendants. */
  processes: { [name: string]: number[] };
}

export interface LoopReport {
  type: 'measured';
  calls: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU per call, this process included as `load`. */
  cpuUs: { [name: string]: number };
  wrong: string[];
}

const KEPT_WRONGS = 5;

/** `call` resolves when the caller has its right answer, and throws what is wrong with it otherwise. */
export async function closedLoop(order: LoopOrder, call: (caller: number) => Promise<void>): Promise<LoopReport> {
  const wrong: string[] = [];
  const latencies: number[] = [];
  const windowFrom = performance.now() + order.warmUpMs;
  const windowTo = windowFrom + order.windowMs;
  const callBackToBack = async (caller: number): Promise<void> => {
    for (;;) {
      const from = performance.now();
      if (from >= windowTo || wrong.length >= KEPT_WRONGS) return;
      try {
        await call(caller);
      } catch (error) {
        wrong.push((error as Error).message);
        return;
      }
      const to = performance.now();
      if (to >= windowFrom && to < windowTo) latencies.push(to - from);
    }
  };

  let before: { [name: string]: number } = {};
  const atStart = setTimeout(() => (before = cpuNow(order.processes)), order.warmUpMs);
  let after: { [name: string]: number } = {};
  const atEnd = setTimeout(() => (after = cpuNow(order.processes)), order.warmUpMs + order.windowMs);
  await Promise.all(Array.from({ length: order.callers }, (_, caller) => callBackToBack(caller)));
  clearTimeout(atStart);
  clearTimeout(atEnd);
  if (Object.keys(after).length === 0) after = cpuNow(order.processes);

  if (latencies.length === 0) wrong.push('no call was answered in the window');
  const calls = latencies.length;
  return {
    type: 'measured',
    calls,
    perSecond: (calls / order.windowMs) * 1000,
    p50Ms: calls > 0 ? percentile(latencies, 0.5) : NaN,
    p99Ms: calls > 0 ? percentile(latencies, 0.99) : NaN,
    cpuUs: Object.fromEntries(
      Object.keys(before).map((name) => [name, ((after[name]! - before[name]!) * 1000) / Math.max(1, calls)]),
    ),
    wrong,
  };
}

export function measurementOf({ perSecond, p50Ms, p99Ms, cpuUs }: LoopReport): Measurement {
  return { perSecond, p50Ms, p99Ms, cpuUs };
}

function cpuNow(processes: { [name: string]: number[] }): { [name: string]: number } {
  const own = process.cpuUsage();
  const all: { [name: string]: number } = { load: (own.user + own.system) / 1000 };
  for (const [name, pids] of Object.entries(processes)) {
    all[name] = pids.reduce((sum, pid) => sum + cpuMsOfTree(pid), 0);
  }
  return all;
}
