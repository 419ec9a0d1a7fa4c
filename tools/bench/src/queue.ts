/**
 * `queue`: Callboard as a job queue, beside two that people use. A producer process calls in a closed loop, a worker process does the
 * job, and a call is over when the producer has heard that its completion is stored. Every store syncs to disk before it acknowledges:
 * `sync_interval: always`, `appendfsync always`, PostgreSQL's defaults.
 *
 * Callboard's side keeps what it promises: refusal of duplicates, order within 1,000 keys, one stored outcome with the result. The
 * peers run without keys and with the settings that measured best for them; none of them is asked for a result to keep.
 */
import type { Bench, BenchContext } from './bench.js';
import { measureBeside, startPeer, type RunningPeer } from './beside-peers.js';
import { Child } from './child.js';
import { QUEUE_PEERS } from './queue-peers.js';
import { startRunnerStack } from './runner-stack.js';

const COMMAND_PRODUCER = new URL('./load/command-producer.js', import.meta.url);

export const queue: Bench = {
  name: 'queue',
  title: 'a no-op and a 5 ms action, submitted, run and heard of, beside BullMQ and graphile-worker',
  run: (context) => measureBeside(QUEUE_PEERS, startCallboard, { noop: 'no-op', work: '5 ms' }, context),
};

async function startCallboard(context: BenchContext): Promise<RunningPeer> {
  const stack = await startRunnerStack(context, 'queue');
  const stops = [() => stack.stop()];
  return startPeer('callboard', stops, async () => {
    const producer = await Child.start('the producer of commands', COMMAND_PRODUCER, { BENCH_NATS_URL: stack.url });
    stops.push(() => producer.stop());
    return { producer, processes: { 'nats-server': [stack.serverPid], worker: [stack.workerPid] } };
  });
}
