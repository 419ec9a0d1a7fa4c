/**
 * A closed loop: callers that call back to back, a warm-up, then a window that counts. At both ends of the window the CPU time of the
 * processes is read that the order names.
 *
 * The warm-up lasts until there is an answer for each caller, and the window until there are several, however short both were to be: in a window
 * shorter than its calls only the quick ones end, or none does. What is slower than the patience that there is with it is told as no answer.
 */
import type { Measurement } from '../bench.js';
import { cpuMsOfTree } from '../processes.js';
import { percentile } from '../statistics.js';

export interface LoopOrder {
  callers: number;
  /** At least. */
  warmUpMs: number;
  /** At least. */
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
const LOOK_MS = 5;
/** Answers in a window, for each caller: with fewer, which calls are cut off at its ends tells on the percentiles. */
const ANSWERS_A_CALLER = 4;
/** How many windows the warm-up may take, and the window. */
const PATIENCE_WINDOWS = 10;

/** `call` resolves when the caller has its right answer, and throws what is wrong with it otherwise. */
export async function closedLoop(order: LoopOrder, call: (caller: number) => Promise<void>): Promise<LoopReport> {
  const wrong: string[] = [];
  const latencies: number[] = [];
  let phase = 'warming' as 'warming' | 'counting' | 'over';
  let since = performance.now();
  let answered = 0;
  let windowMs = order.windowMs;
  let before: { [name: string]: number } = {};
  let after: { [name: string]: number } = {};

  const callBackToBack = async (caller: number): Promise<void> => {
    while (phase !== 'over' && wrong.length < KEPT_WRONGS) {
      const from = performance.now();
      try {
        await call(caller);
      } catch (error) {
        wrong.push((error as Error).message);
        return;
      }
      answered += 1;
      if (phase === 'counting') latencies.push(performance.now() - from);
    }
  };
  const isOver = (leastMs: number, answers: number): boolean => {
    const passed = performance.now() - since;
    return (passed >= leastMs && answered >= answers) || passed >= order.windowMs * PATIENCE_WINDOWS + order.warmUpMs;
  };
  const open = () => {
    phase = 'counting';
    before = cpuNow(order.processes);
    since = performance.now();
    answered = 0;
  };
  const close = () => {
    phase = 'over';
    windowMs = performance.now() - since;
    after = cpuNow(order.processes);
  };
  const look = setInterval(() => {
    if (phase === 'warming' && isOver(order.warmUpMs, order.callers)) open();
    else if (phase === 'counting' && isOver(order.windowMs, order.callers * ANSWERS_A_CALLER)) close();
  }, LOOK_MS);
  await Promise.all(Array.from({ length: order.callers }, (_, caller) => callBackToBack(caller)));
  clearInterval(look);
  // Where every caller had a wrong answer, the window was not closed.
  if (phase === 'counting') close();

  if (latencies.length === 0) wrong.push('no call was answered in the window');
  const calls = latencies.length;
  return {
    type: 'measured',
    calls,
    perSecond: (calls / windowMs) * 1000,
    p50Ms: calls > 0 ? percentile(latencies, 0.5) : NaN,
    p99Ms: calls > 0 ? percentile(latencies, 0.99) : NaN,
    cpuUs: Object.fromEntries(
      Object.keys(before).map((name) => [name, ((after[name]! - before[name]!) * 1000) / Math.max(1, calls)]),
    ),
    wrong,
  };
}

/** Without latencies where no call was answered: what is wrong is told then, and there is nothing to show. */
export function measurementOf({ calls, perSecond, p50Ms, p99Ms, cpuUs }: LoopReport): Measurement {
  return { perSecond, ...(calls > 0 && { p50Ms, p99Ms }), cpuUs };
}

function cpuNow(processes: { [name: string]: number[] }): { [name: string]: number } {
  const own = process.cpuUsage();
  const all: { [name: string]: number } = { load: (own.user + own.system) / 1000 };
  for (const [name, pids] of Object.entries(processes)) {
    all[name] = pids.reduce((sum, pid) => sum + cpuMsOfTree(pid), 0);
  }
  return all;
}
