// DBOS: a workflow of three steps, and what undoes two of them. Load and workflows are in one process, as DBOS is meant to be used.
import { DBOS } from '@dbos-inc/dbos-sdk';
import { serveProducer } from '../dist/load/queue-producer.js';

const silent = () => {};
DBOS.setConfig({
  name: 'bench',
  systemDatabaseUrl: process.env.BENCH_DATABASE_URL,
  systemDatabasePoolSize: 20,
  logLevel: 'error',
  logger: { info: silent, debug: silent, warn: silent, error: console.error },
});
const step = (name, act = async () => 1) => DBOS.runStep(act, { name });
const refuse = async () => {
  throw new Error('refused');
};
const saga = DBOS.registerWorkflow(
  async (fails) => {
    try {
      await step('first');
      await step('second');
      await step('third', fails ? refuse : undefined);
      return 'done';
    } catch {
      await step('undo second');
      await step('undo first');
      return 'undone';
    }
  },
  { name: 'saga' },
);
await DBOS.launch();
serveProducer(async (job) => {
  const ended = await saga(job === 'undone');
  if (ended !== job) throw new Error(`a saga that was to be ${job} is ${ended}`);
});
