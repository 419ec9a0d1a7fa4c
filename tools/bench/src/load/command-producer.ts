/** The producer of commands: submits through the command client, as a front end does, and hears the stored outcome. */
import { CommandClient, connectNats } from '@callboard/jetstream';
import { commandNumber } from '../commands.js';
import { serveProducer, type QueueOrder } from './queue-producer.js';

const KEYS = 1_000;

const connection = await connectNats({
  servers: process.env['BENCH_NATS_URL']!,
  user: 'mcp-frontend',
  name: 'bench-producer',
});
const scheduleAfter = process.env['BENCH_SCHEDULE_AFTER_MS'];
const client = await CommandClient.start(connection, {
  instance: 'bench-producer',
  ...(scheduleAfter !== undefined && { scheduleDeadlinesAfterMs: Number(scheduleAfter) }),
});

serveProducer<QueueOrder['job']>(async (job, n) => {
  const { outcome } = await client.submit(commandNumber(n, `key-${n % KEYS}`, job));
  const { correlation_id, status, result } = await outcome;
  if (status !== 'succeeded') throw new Error(`${correlation_id}, command ${n}, ended ${status}`);
  const [content] = result!['content'] as { text: string }[];
  if (job === 'noop' && content!.text !== String(n)) throw new Error(`command ${n} has the result "${content!.text}"`);
});
