/** The producer of sagas: begins declared ones through the command client, as a front end does, and hears the stored outcome of each. */
import { CommandClient, connectNats } from '@callboard/jetstream';
import { benchCommand } from '../commands.js';
import { serveProducer } from './queue-producer.js';

/** `undone`: the third step fails, and the first two are compensated. */
export type SagaJob = 'done' | 'undone';

const connection = await connectNats({
  servers: process.env['BENCH_NATS_URL']!,
  user: 'mcp-frontend',
  name: 'bench-producer',
});
const client = await CommandClient.start(connection, { instance: 'bench-producer' });

serveProducer<SagaJob>(async (job, n) => {
  const command = benchCommand('bench-saga', job, { n }, `saga-${n}`);
  const { outcome } = await client.submit(command, { saga: true });
  const { correlation_id, status, error } = await outcome;
  const ended = status === 'succeeded' ? 'done' : error?.code === 'saga_compensated' ? 'undone' : status;
  if (ended !== job) throw new Error(`${correlation_id}, a saga that was to be ${job}, is ${ended}`);
});
