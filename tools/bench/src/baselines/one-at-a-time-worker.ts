/**
 * The baseline of `ordering`: what partitioned consumer groups do to keep order. One consumer a partition, and at most one message
 * of it under way, so the next is delivered when the one before is acked. It does less than a runner: no outcome is stored, no
 * envelope checked. A caller that waits is told by a plain message.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, jetstream, jetstreamManager, type JsMsg } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { STREAM } from '@callboard/jetstream';
import { parseStoredCommandSubject, partitionSubjects, type CommandEnvelope } from '@callboard/envelope';
import { WORK_MS } from '../actions.js';
import type { Ran } from '../order-check.js';

const partitions = Number(process.env['BENCH_PARTITIONS']);
const connection = await connect({ servers: process.env['BENCH_NATS_URL']! });
const manager = await jetstreamManager(connection);
const stream = jetstream(connection);
const ran: Ran[] = [];

for (let partition = 0; partition < partitions; partition++) {
  const durable_name = `one-at-a-time-${partition}`;
  await manager.consumers.add(STREAM.commands, {
    durable_name,
    filter_subject: partitionSubjects(partition),
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1,
  });
  const consumer = await stream.consumers.get(STREAM.commands, durable_name);
  await consumer.consume({
    callback: (message) => void work(message),
  });
}

async function work(message: JsMsg): Promise<void> {
  const began = performance.now();
  await sleep(WORK_MS);
  const n = message.json<CommandEnvelope>().args['n'] as number;
  ran.push({ n, key: parseStoredCommandSubject(message.subject).orderingKey, began, ended: performance.now() });
  message.ack();
  connection.publish(`bench.done.${n}`);
}

process.on('message', () => process.send!({ type: 'ran', ran }));
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.send!({ type: 'ready' });
