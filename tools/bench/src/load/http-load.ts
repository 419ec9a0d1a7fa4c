/**
 * The load generator, a process of its own: a closed loop of connections that call back to back, a warm-up, then a window that
 * counts. At both ends of the window it reads the CPU time of the processes that it was told of.
 */
import { cpuMsOf } from '../processes.js';
import { percentile } from '../statistics.js';
import { McpConnection, type CallTarget } from './mcp-connection.js';

export interface LoadOrder extends CallTarget {
  connections: number;
  warmUpMs: number;
  windowMs: number;
  /** Whose CPU time to count, by name. */
  processes: { [name: string]: number[] };
}

export interface LoadReport {
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

async function measure(order: LoadOrder): Promise<LoadReport> {
  const wrong: string[] = [];
  const latencies: number[] = [];
  const connections = Array.from({ length: order.connections }, () => new McpConnection(order));
  await Promise.all(connections.map((connection) => connection.open()));

  const windowFrom = performance.now() + order.warmUpMs;
  const windowTo = windowFrom + order.windowMs;
  let lastId = 0;
  const callBackToBack = async (connection: McpConnection): Promise<void> => {
    for (;;) {
      const from = performance.now();
      if (from >= windowTo || wrong.length >= KEPT_WRONGS) return;
      try {
        await connection.call(++lastId);
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
  await Promise.all(connections.map(callBackToBack));
  clearTimeout(atStart);
  clearTimeout(atEnd);
  if (Object.keys(after).length === 0) after = cpuNow(order.processes);
  for (const connection of connections) connection.close();

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

function cpuNow(processes: { [name: string]: number[] }): { [name: string]: number } {
  const own = process.cpuUsage();
  const all: { [name: string]: number } = { load: (own.user + own.system) / 1000 };
  for (const [name, pids] of Object.entries(processes)) {
    all[name] = pids.reduce((sum, pid) => sum + (cpuMsOf(pid) ?? 0), 0);
  }
  return all;
}

process.on('message', (order: LoadOrder) => void measure(order).then((report) => process.send!(report)));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({ type: 'ready' });
