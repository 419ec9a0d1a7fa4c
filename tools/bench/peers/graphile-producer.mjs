// graphile-worker's producer: one `addJob` a call, over 64 connections (24 were slower); the completion is heard by LISTEN, when it is stored.
import { Logger, makeWorkerUtils } from 'graphile-worker';
import pg from 'pg';
import { serveProducer } from '../dist/load/queue-producer.js';

const connectionString = process.env.BENCH_DATABASE_URL;
const pgPool = new pg.Pool({ connectionString, max: 64 });
const utils = await makeWorkerUtils({ pgPool, logger: new Logger(() => () => {}) });

const waiting = new Map();
/** Completions that came before the answer to `addJob`. */
const early = new Set();
const listener = new pg.Client({ connectionString });
await listener.connect();
listener.on('notification', ({ payload }) => {
  for (const id of (payload ?? '').split(',')) {
    const heard = waiting.get(id);
    waiting.delete(id);
    if (heard) heard();
    else early.add(id);
  }
});
await listener.query('listen completed');

const body = 'x'.repeat(500);
serveProducer(async (job, n) => {
  const { id } = await utils.addJob(job, { n, body });
  if (!early.delete(id)) await new Promise((resolve) => waiting.set(id, resolve));
});
