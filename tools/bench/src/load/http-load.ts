/** The load generator of calls over HTTP, a process of its own: a closed loop with one connection for each caller. */
import { setTimeout as delay } from 'node:timers/promises';
import { closedLoop, type LoopOrder, type LoopReport } from './closed-loop.js';
import { McpConnection, type CallTarget } from './mcp-connection.js';

export interface LoadOrder extends CallTarget, LoopOrder {
  /** A caller that is told to come again does, after a pause, and nothing is wrong. */
  mayBeRefused?: boolean;
}

const REFUSED = /"code": ?"(overloaded|rate_limited)"/;
/** What they are told by `Retry-After`. */
const PAUSE_MS = 1_000;

async function measure(order: LoadOrder): Promise<LoopReport> {
  const connections = Array.from({ length: order.callers }, () => new McpConnection(order));
  await Promise.all(connections.map((connection) => connection.open()));
  let lastId = 0;
  const call = async (caller: number): Promise<void> => {
    try {
      await connections[caller]!.call(++lastId);
    } catch (error) {
      if (!order.mayBeRefused || !REFUSED.test((error as Error).message)) throw error;
      await delay(PAUSE_MS);
    }
  };
  const report = await closedLoop(order, call);
  for (const connection of connections) connection.close();
  return report;
}

process.on('message', (order: LoadOrder) => void measure(order).then((report) => process.send!(report)));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({ type: 'ready' });
