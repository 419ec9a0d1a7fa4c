/** The load generator of calls over HTTP, a process of its own: a closed loop with one connection for each caller. */
import { closedLoop, type LoopOrder, type LoopReport } from './closed-loop.js';
import { McpConnection, type CallTarget } from './mcp-connection.js';

export interface LoadOrder extends CallTarget, LoopOrder {}

async function measure(order: LoadOrder): Promise<LoopReport> {
  const connections = Array.from({ length: order.callers }, () => new McpConnection(order));
  await Promise.all(connections.map((connection) => connection.open()));
  let lastId = 0;
  const report = await closedLoop(order, (caller) => connections[caller]!.call(++lastId));
  for (const connection of connections) connection.close();
  return report;
}

process.on('message', (order: LoadOrder) => void measure(order).then((report) => process.send!(report)));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({ type: 'ready' });
