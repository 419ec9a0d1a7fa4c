/**
 * `raw`: what nats-server and the disk can give at most, so that the figures of the other benches can be read against it. The
 * baseline is `js.publish`; the candidates are a publish with one shared inbox for all acks, and atomic batches.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { declareTopology } from '@callboard/jetstream';
import { startNatsServer } from '@callboard/nats-server';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, createInbox, headers, nuid, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import type { Bench, BenchContext, Comparison, Measurement } from './bench.js';
import { cpuMsOf } from './processes.js';
import { compare } from './rounds.js';
import { percentile } from './statistics.js';

const PAYLOAD = Buffer.alloc(700, 'x');
const EXPECT_NEW = { 'Nats-Expected-Last-Subject-Sequence': '0' };

/** Stores `messages` messages and resolves when all are acknowledged. */
interface Way {
  name: string;
  messages: number;
  store(): Promise<void>;
}

export const raw: Bench = {
  name: 'raw',
  title: 'limits of the stream and the disk: 700 byte messages, a subject each, refused if it exists',
  async run(context) {
    const wrong: string[] = [];
    const comparisons: Comparison[] = [];
    for (const syncInterval of ['always', '2m']) {
      comparisons.push(...(await compareWith(syncInterval, context, wrong)));
    }
    return { comparisons, wrong };
  },
};

async function compareWith(syncInterval: string, context: BenchContext, wrong: string[]): Promise<Comparison[]> {
  const dataDir = await mkdtemp(join(context.directory, 'raw-'));
  const topology = declareTopology();
  const server = await startNatsServer({
    binary: context.natsServer,
    dataDir,
    topology,
    auth: 'none',
    syncInterval,
  });
  const connection = await connect({ servers: server.url });
  try {
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: 'RAW', subjects: ['raw.*'], allow_atomic: true });
    let expected = 0;
    const timed = async (way: Way, concurrency: number): Promise<Measurement> => {
      const measured = await measure(way, concurrency, server.pid, context.quick);
      expected += measured.stored;
      return measured.measurement;
    };
    const inbox = new AckInbox(connection);
    const published = publishWay(connection);
    const comparisons: Comparison[] = [];
    for (const concurrency of [1, 32, 256]) {
      const single = ownInboxWay(connection, inbox);
      const sides = {
        what: `single, c = ${concurrency}, sync ${syncInterval}`,
        baseline: { name: 'js.publish', measure: () => timed(published, concurrency) },
        candidate: { name: 'own inbox', measure: () => timed(single, concurrency) },
      };
      comparisons.push(await compare(sides, context.quick ? 1 : 2, context));
    }
    for (const size of [10, 32, 100]) {
      const single = ownInboxWay(connection, inbox);
      const batch = batchWay(connection, inbox, size);
      const sides = {
        what: `${size} at once, sync ${syncInterval}`,
        baseline: { name: `${size} singles`, measure: () => timed(burstOf(single, size), 1) },
        candidate: { name: 'atomic batch', measure: () => timed(batch, 1) },
      };
      comparisons.push(await compare(sides, context.quick ? 1 : 2, context));
    }
    const { state } = await manager.streams.info('RAW');
    if (state.messages !== expected)
      wrong.push(`sync ${syncInterval}: ${expected} acks and ${state.messages} messages`);
    return comparisons;
  } finally {
    await connection.close();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function measure(
  way: Way,
  concurrency: number,
  serverPid: number,
  quick: boolean,
): Promise<{ measurement: Measurement; stored: number }> {
  const windowMs = quick ? 400 : 1_200;
  const from = performance.now() + windowMs / 4;
  const to = from + windowMs;
  const latencies: number[] = [];
  let stored = 0;
  let cpu: { server: number; client: number } | undefined;
  const backToBack = async (): Promise<void> => {
    for (;;) {
      const startedAt = performance.now();
      if (startedAt >= to) return;
      if (startedAt >= from) cpu ??= cpuNow(serverPid);
      await way.store();
      stored += way.messages;
      const endedAt = performance.now();
      if (endedAt >= from && endedAt < to) latencies.push(endedAt - startedAt);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, backToBack));
  const cpuAfter = cpuNow(serverPid);
  const messages = latencies.length * way.messages;
  const cpuBefore = cpu ?? cpuAfter;
  return {
    stored,
    measurement: {
      perSecond: (messages / windowMs) * 1000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      cpuUs: {
        'nats-server': ((cpuAfter.server - cpuBefore.server) * 1000) / messages,
        client: ((cpuAfter.client - cpuBefore.client) * 1000) / messages,
      },
    },
  };
}

function cpuNow(serverPid: number): { server: number; client: number } {
  const own = process.cpuUsage();
  return { server: cpuMsOf(serverPid) ?? NaN, client: (own.user + own.system) / 1000 };
}

let subjects = 0;
const nextSubject = () => `raw.${++subjects}`;

function publishWay(connection: NatsConnection): Way {
  const js = jetstream(connection);
  return {
    name: 'js.publish',
    messages: 1,
    store: async () => {
      await js.publish(nextSubject(), PAYLOAD, { expect: { lastSubjectSequence: 0 } });
    },
  };
}

function ownInboxWay(connection: NatsConnection, inbox: AckInbox): Way {
  const expectNew = encoded(EXPECT_NEW);
  return {
    name: 'own inbox',
    messages: 1,
    store: () => inbox.awaitAck((reply) => connection.publish(nextSubject(), PAYLOAD, { reply, headers: expectNew })),
  };
}

function burstOf(way: Way, messages: number): Way {
  const store = async () => {
    await Promise.all(Array.from({ length: messages }, () => way.store()));
  };
  return { name: `${messages} singles`, messages, store };
}

function batchWay(connection: NatsConnection, inbox: AckInbox, messages: number): Way {
  const store = () => {
    const batch = nuid.next();
    return inbox.awaitAck((reply) => {
      for (let sequence = 1; sequence <= messages; sequence++) {
        const last = sequence === messages;
        const lines = {
          ...EXPECT_NEW,
          'Nats-Batch-Id': batch,
          'Nats-Batch-Sequence': String(sequence),
          ...(last && { 'Nats-Batch-Commit': '1' }),
        };
        connection.publish(nextSubject(), PAYLOAD, { headers: encoded(lines), ...(last && { reply }) });
      }
    });
  };
  return { name: 'atomic batch', messages, store };
}

/** One subscription for the acks of all publishes. */
class AckInbox {
  readonly #prefix = createInbox();
  readonly #waiting = new Map<string, { resolve(): void; reject(error: Error): void }>();
  #last = 0;

  constructor(connection: NatsConnection) {
    connection.subscribe(`${this.#prefix}.*`, {
      callback: (_, message) => {
        const waiter = this.#waiting.get(message.subject);
        this.#waiting.delete(message.subject);
        const answer = message.json<{ error?: { description: string } }>();
        if (answer.error) waiter?.reject(new Error(answer.error.description));
        else waiter?.resolve();
      },
    });
  }

  awaitAck(publish: (reply: string) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const reply = `${this.#prefix}.${++this.#last}`;
      this.#waiting.set(reply, { resolve, reject });
      publish(reply);
    });
  }
}

/** Headers that are written once and sent often. */
function encoded(lines: { [name: string]: string }): MsgHdrs {
  const written = headers();
  for (const [name, value] of Object.entries(lines)) written.set(name, value);
  return written;
}
