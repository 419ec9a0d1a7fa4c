/**
 * `ordering`: commands of 1,000 keys, each of which takes 5 ms, in strict order per key. The baseline is one consumer a partition
 * with one message under way; the candidate is the real runner with everything that it guarantees, outcomes stored and all. Both
 * read the same stream of the same server settings, and the order of every key is checked on both sides.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LIVE_PREFIX, parseOutcome, type CommandEnvelope, type Outcome } from '@callboard/envelope';
import { CommandClient, applyTopology, connectNats, declareTopology } from '@callboard/jetstream';
import { startNatsServer, type RunningNatsServer } from '@callboard/nats-server';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Bench, BenchContext, Comparison, Measurement } from './bench.js';
import { Child } from './child.js';
import { commandNumber } from './commands.js';
import { findDisorder, type Ran } from './order-check.js';
import { cpuMsOfEach } from './processes.js';
import { compare } from './rounds.js';
import { percentile } from './statistics.js';

const KEYS = 1_000;
const PARTITIONS = 16;
/** Every twentieth command is of one key: 5 %. */
const HOT_EVERY = 20;
const BACKLOG_CALLERS = 500;
const RUN_MS = 120_000;
const ACCEPT_MS = 60_000;

const ONE_AT_A_TIME = new URL('./baselines/one-at-a-time-worker.js', import.meta.url);
const ACTION_RUNNER = new URL('../../../apps/action-runner/dist/main.js', import.meta.url);
const BENCH_ACTIONS = fileURLToPath(new URL('./actions.js', import.meta.url));

interface Shape {
  load: 'backlog' | 'closed loop';
  hotKey: boolean;
  syncInterval: string;
  count: number;
}

export const ordering: Bench = {
  name: 'ordering',
  title: `5 ms commands of ${KEYS} keys in order, ${PARTITIONS} partitions, against max_ack_pending 1`,
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    const count = context.quick ? 2_000 : 8_000;
    for (const syncInterval of context.quick ? ['always'] : ['always', '2m']) {
      for (const load of ['backlog', 'closed loop'] as const) {
        for (const hotKey of [false, true]) {
          const shape: Shape = { load, hotKey, syncInterval, count };
          comparisons.push(await compareShape(shape, context, wrong));
        }
      }
    }
    return { comparisons, wrong };
  },
};

function compareShape(shape: Shape, context: BenchContext, wrong: string[]): Promise<Comparison> {
  const what = `${shape.load}${shape.hotKey ? ', 5 % on one key' : ''}, sync ${shape.syncInterval}`;
  const side = (name: string, start: WorkerStart) => ({
    name,
    measure: async () => {
      const { measurement, disorder } = await measure(shape, start, context);
      wrong.push(...disorder.map((text) => `${what}, ${name}: ${text}`));
      return measurement;
    },
  });
  const sides = { what, baseline: side('one at a time', oneAtATime), candidate: side('callboard', actionRunner) };
  return compare(sides, context.quick ? 1 : 2, context);
}

/** A process that works through the commands. */
interface Worker {
  child: Child<unknown>;
  ran(): Promise<Ran[]>;
}
interface WorkerSetting {
  server: RunningNatsServer;
  observer: NatsConnection;
  commands: CommandEnvelope[];
  /** Hears of every command that ended. */
  onDone(n: number): void;
}
type WorkerStart = (setting: WorkerSetting) => Promise<Worker>;

async function measure(
  shape: Shape,
  start: WorkerStart,
  context: BenchContext,
): Promise<{ measurement: Measurement; disorder: string[] }> {
  const dataDir = await mkdtemp(join(context.directory, 'ordering-'));
  const topology = declareTopology({ partitions: PARTITIONS });
  const server = await startNatsServer({
    binary: context.natsServer,
    dataDir,
    topology,
    auth: 'none',
    syncInterval: shape.syncInterval,
  });
  const observer = await connectNats({ servers: server.url, user: 'sre', name: 'bench' });
  let client: CommandClient | undefined;
  let worker: Worker | undefined;
  try {
    await applyTopology(observer, topology);
    client = await CommandClient.start(observer, { instance: 'bench', acceptTimeoutMs: ACCEPT_MS });
    const commands = Array.from({ length: shape.count }, (_, n) =>
      commandNumber(n, shape.hotKey && n % HOT_EVERY === 0 ? 'hot' : `key-${n % KEYS}`, 'work'),
    );
    // Only acceptance: outcomes are heard by the observer, in the same way on both sides.
    const accept = async (n: number) => (await client!.submit(commands[n]!)).release();

    const doneAt: number[] = [];
    const waiting = new Map<number, () => void>();
    let allDone!: () => void;
    const finished = new Promise<void>((resolve) => (allDone = resolve));
    const onDone = (n: number) => {
      doneAt.push(performance.now());
      waiting.get(n)?.();
      waiting.delete(n);
      if (doneAt.length === shape.count) allDone();
    };

    if (shape.load === 'backlog') await fromCallers(BACKLOG_CALLERS, shape.count, accept);
    worker = await start({ server, observer, commands, onDone });
    const pids = { 'nats-server': server.pid, worker: worker.child.pid };
    const cpuBefore = cpuMsOfEach(pids);
    const from = performance.now();
    const latencies: number[] = [];
    if (shape.load === 'closed loop') {
      const call = async (n: number) => {
        const calledAt = performance.now();
        const done = new Promise<void>((resolve) => waiting.set(n, resolve));
        await accept(n);
        await done;
        latencies.push(performance.now() - calledAt);
      };
      await within(RUN_MS, fromCallers(KEYS, shape.count, call));
    }
    await within(RUN_MS, finished);
    const cpuAfter = cpuMsOfEach(pids);
    // A worker that finds a backlog is timed from its first completion: starting up is not what is measured.
    const [first, counted] = shape.load === 'backlog' ? [doneAt[0]!, shape.count - 1] : [from, shape.count];
    const measurement: Measurement = {
      perSecond: (counted / (doneAt.at(-1)! - first)) * 1000,
      ...(latencies.length > 0 && { p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) }),
      // Part of a backlog is done before the first reading.
      ...(shape.load === 'closed loop' && { cpuUs: cpuPerCommand(cpuBefore, cpuAfter, shape.count) }),
    };
    return { measurement, disorder: findDisorder(await worker.ran(), shape.count) };
  } finally {
    client?.close();
    await worker?.child.stop();
    await observer.close();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Makes calls 0 to `count` in order, each caller back to back. */
async function fromCallers(callers: number, count: number, call: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const callBackToBack = async (): Promise<void> => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: callers }, callBackToBack));
}

function cpuPerCommand(
  before: { [name: string]: number },
  after: { [name: string]: number },
  count: number,
): { [name: string]: number } {
  return Object.fromEntries(Object.keys(before).map((name) => [name, ((after[name]! - before[name]!) * 1000) / count]));
}

const oneAtATime: WorkerStart = async ({ server, observer, onDone }) => {
  const prefix = 'bench.done.';
  observer.subscribe(`${prefix}*`, { callback: (_, message) => onDone(Number(message.subject.slice(prefix.length))) });
  await observer.flush();
  const child = await Child.start('the one-at-a-time worker', ONE_AT_A_TIME, {
    BENCH_NATS_URL: server.url,
    BENCH_PARTITIONS: String(PARTITIONS),
  });
  return { child, ran: async () => (await child.ask<{ ran: Ran[] }>({ type: 'report' }, 'ran', RUN_MS)).ran };
};

const actionRunner: WorkerStart = async ({ server, observer, commands, onDone }) => {
  const byId = new Map(commands.map((command) => [command.correlation_id, command]));
  const outcomes: Outcome[] = [];
  observer.subscribe(`${LIVE_PREFIX}.out.>`, {
    callback: (_, message) => {
      const outcome = parseOutcome(message.data);
      outcomes.push(outcome);
      onDone(byId.get(outcome.correlation_id)!.args['n'] as number);
    },
  });
  await observer.flush();
  const child = await Child.start('the action runner', ACTION_RUNNER, {
    CALLBOARD_NATS_URL: server.url,
    CALLBOARD_NATS_CREDS: '',
    CALLBOARD_INSTANCE: 'bench-runner',
    CALLBOARD_PARTITIONS: String(PARTITIONS),
    CALLBOARD_ACTION_MODULES: BENCH_ACTIONS,
    CALLBOARD_OPS_PORT: '0',
  });
  return { child, ran: () => Promise.resolve(outcomes.map((outcome) => ranOf(outcome, byId))) };
};

function ranOf(outcome: Outcome, byId: Map<string, CommandEnvelope>): Ran {
  const command = byId.get(outcome.correlation_id)!;
  const text = (outcome.result?.['content'] as { text: string }[] | undefined)?.[0]?.text ?? '';
  const [began = NaN, ended = NaN] = text.split(' ').map(Number);
  return { n: command.args['n'] as number, key: command.ordering_key, began, ended };
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not all commands ended in ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
