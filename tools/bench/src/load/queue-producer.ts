/**
 * The producer's side of the `queue` bench: waits for orders of its parent and answers them with what a closed loop measured. Every
 * queue's producer is a process of its own with this in it, Callboard's and the peers' alike.
 */
import { closedLoop, type LoopOrder } from './closed-loop.js';

export interface QueueOrder extends LoopOrder {
  /** The kind of job: one that takes no time, or one of 5 ms. */
  job: 'noop' | 'work';
}

/** `call` resolves when the outcome of job `n` was heard, and throws when it is not the right one. */
export function serveProducer(call: (job: QueueOrder['job'], n: number) => Promise<void>): void {
  let last = 0;
  process.on('message', (order: QueueOrder) => {
    void closedLoop(order, () => call(order.job, ++last)).then((report) => process.send!(report));
  });
  process.on('disconnect', () => process.exit(0));
  process.on('SIGTERM', () => process.exit(0));
  process.send!({ type: 'ready' });
}
