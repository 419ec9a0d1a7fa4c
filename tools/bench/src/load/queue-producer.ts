/**
 * The producer's side of the `queue` and `sagas` benches: waits for orders of its parent and answers them with what a closed loop measured.
 * Every peer's producer is a process of its own with this in it, Callboard's and the others' alike.
 */
import { closedLoop, type LoopOrder } from './closed-loop.js';

export interface JobOrder<Job extends string> extends LoopOrder {
  job: Job;
}

/** One that takes no time, or one of 5 ms. */
export type QueueOrder = JobOrder<'noop' | 'work'>;

/** `call` resolves when the outcome of job `n` was heard, and throws when it is not the right one. */
export function serveProducer<Job extends string>(call: (job: Job, n: number) => Promise<void>): void {
  let last = 0;
  process.on('message', (order: JobOrder<Job>) => {
    void closedLoop(order, () => call(order.job, ++last)).then((report) => process.send!(report));
  });
  process.on('disconnect', () => process.exit(0));
  process.on('SIGTERM', () => process.exit(0));
  process.send!({ type: 'ready' });
}
