// graphile-worker's worker: 256 jobs at once, with the settings that measured best: a local queue, completions in batches, 8 connections.
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const WORK_MS = 5;
const CONCURRENCY = 256;

const pgPool = new pg.Pool({ connectionString: process.env.BENCH_DATABASE_URL, max: 8 });
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ pgPool, logger });
await utils.migrate();
await utils.release();
// Its own event of a completed job is local to this process, and comes before the completion is stored. This tells the producer
// when it is: with the commit, once for all jobs of a batch.
await pgPool.query(`
  create function tell_completed() returns trigger language plpgsql as $$
  begin
    perform pg_notify('completed', string_agg(id::text, ',')) from ended;
    return null;
  end $$;
  create trigger tell_completed after delete on graphile_worker._private_jobs
    referencing old table as ended for each statement execute function tell_completed();
`);
await run({
  pgPool,
  logger,
  noHandleSignals: true,
  taskList: { noop: async () => undefined, work: async () => void (await sleep(WORK_MS)) },
  preset: {
    worker: {
      concurrentJobs: CONCURRENCY,
      pollInterval: 2_000,
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      localQueue: { size: CONCURRENCY + 1 },
    },
  },
});
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.send({ type: 'ready' });
