// BullMQ's worker: 256 jobs at once, more than the producer ever has under way.
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'bullmq';

const WORK_MS = 5;
const connection = { host: '127.0.0.1', port: Number(process.env.BENCH_REDIS_PORT), maxRetriesPerRequest: null };
const worker = new Worker('bench', async ({ name, data }) => void (name === 'work' && (await sleep(WORK_MS, data.n))), {
  connection,
  concurrency: 256,
});
await worker.waitUntilReady();
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.send({ type: 'ready' });
