// BullMQ's producer: one `add` a call; the completion is heard through QueueEvents, which reads what Redis has stored.
import { Queue, QueueEvents } from 'bullmq';
import { serveProducer } from '../dist/load/queue-producer.js';

const connection = { host: '127.0.0.1', port: Number(process.env.BENCH_REDIS_PORT) };
const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
const events = new QueueEvents('bench', { connection });
await events.waitUntilReady();

const waiting = new Map();
/** Completions that came before the answer to `add`. */
const early = new Set();
events.on('completed', ({ jobId }) => {
  const heard = waiting.get(jobId);
  waiting.delete(jobId);
  if (heard) heard();
  else early.add(jobId);
});

const body = 'x'.repeat(500);
serveProducer(async (job, n) => {
  const { id } = await queue.add(job, { n, body });
  if (!early.delete(id)) await new Promise((resolve) => waiting.set(id, resolve));
});
