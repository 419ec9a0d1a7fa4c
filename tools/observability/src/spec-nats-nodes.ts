/** For specs: three nats-servers whose figures are read as prometheus-nats-exporter reads them, and which can be killed one by one. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, resolveNatsServer, runServer, type RunningNatsServer } from '@callboard/nats-server';
import { waitFor } from '@callboard/testing';
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Scrape } from './spec-time-lapse.js';

const SIZE = 3;
/** A node may store a little more than the one stream may have. */
const STREAM_BYTES = 8 * 1024 ** 2;
const NODE_BYTES = 8.5 * 1024 ** 2;
const MESSAGE_BYTES = 64 * 1024;
/** No election takes longer, with some room. */
const ELECTED_MS = 60_000;

/** The part of `/jsz?config=true&streams=true` that the exporter makes these figures of. */
interface Jsz {
  streams: number;
  bytes: number;
  config: { max_storage: number };
  account_details?: {
    stream_detail?: {
      name: string;
      cluster?: { leader?: string };
      config: { max_bytes: number };
      state: { bytes: number };
    }[];
  }[];
}

type Node = Pick<RunningNatsServer, 'kill' | 'exited' | 'stop'>;

export interface NatsNodes {
  /** What the nodes that live tell now. */
  scrape(): Promise<Scrape>;
  /** Kills so many nodes that live, the one that leads the stream first. */
  kill(count: number): Promise<void>;
  /** Starts those that were killed. Resolves when the stream has a leader again. */
  restart(): Promise<void>;
  /** Stores as much as there is room for in the stream `AUDIT`. */
  fill(): Promise<void>;
  empty(): Promise<void>;
  stop(): Promise<void>;
}

export async function startNatsNodes(): Promise<NatsNodes> {
  const { path: binary } = await resolveNatsServer();
  const folder = await mkdtemp(join(tmpdir(), 'callboard-nodes-'));
  const ports: { client: number; route: number; monitor: number }[] = [];
  for (let i = 0; i < SIZE; i++) {
    ports.push({ client: await freePort(), route: await freePort(), monitor: await freePort() });
  }
  const routes = ports.map(({ route }) => `nats://127.0.0.1:${route}`);
  const nodes = ports.map(({ client, route, monitor }, i) => ({
    name: `n${i + 1}`,
    file: join(folder, `n${i + 1}.conf`),
    jsz: `http://127.0.0.1:${monitor}/jsz?config=true&streams=true`,
    running: undefined as Node | undefined,
    lines: [
      `server_name: n${i + 1}`,
      ...[`host: 127.0.0.1`, `port: ${client}`, `http: "127.0.0.1:${monitor}"`],
      `jetstream { store_dir: ${JSON.stringify(join(folder, `n${i + 1}`))}, max_file_store: ${NODE_BYTES} }`,
      `cluster { name: spec, listen: "127.0.0.1:${route}", routes: ${JSON.stringify(routes)} }`,
    ],
  }));
  const start = () => Promise.all(nodes.map(async (node) => (node.running ??= await runServer({ binary }, node.file))));
  await Promise.all(nodes.map(({ file, lines }) => writeFile(file, lines.join('\n'))));
  await Promise.all(nodes.map(({ name }) => mkdir(join(folder, name))));
  await start();
  const nc = await connect({
    servers: ports.map(({ client }) => `127.0.0.1:${client}`),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  const js: JetStreamClient = jetstream(nc);
  const jsm: JetStreamManager = await jetstreamManager(nc, { checkAPI: false });
  const led = (what: () => Promise<unknown>) =>
    waitFor(
      () =>
        what().then(
          () => true,
          () => false,
        ),
      { what: 'a leader', timeoutMs: ELECTED_MS },
    );
  const stream = { name: 'AUDIT', subjects: ['audit.>'], num_replicas: SIZE, max_bytes: STREAM_BYTES };
  await led(() => jsm.streams.add(stream));

  const read = async ({ jsz }: { jsz: string }): Promise<Jsz | undefined> => {
    try {
      return (await (await fetch(jsz, { signal: AbortSignal.timeout(2_000) })).json()) as Jsz;
    } catch {
      return undefined;
    }
  };
  return {
    scrape: async () => {
      const samples: Scrape = new Map();
      for (const node of nodes) {
        const told = node.running && (await read(node));
        if (!told) continue;
        const server = `server_name="${node.name}"`;
        samples.set(`nats_server_total_streams{${server}}`, told.streams);
        samples.set(`nats_server_total_message_bytes{${server}}`, told.bytes);
        samples.set(`nats_server_max_storage{${server}}`, told.config.max_storage);
        for (const { name, cluster, config, state } of (told.account_details ?? []).flatMap(
          ({ stream_detail: streams }) => streams ?? [],
        )) {
          const labels = `{${server},stream_name="${name}",is_stream_leader="${cluster?.leader === node.name}"}`;
          samples.set(`nats_stream_total_bytes${labels}`, state.bytes);
          samples.set(`nats_stream_limit_bytes${labels}`, config.max_bytes);
        }
      }
      return samples;
    },
    kill: async (count) => {
      const leader = (await jsm.streams.info(stream.name)).cluster?.leader;
      const living = nodes.filter(({ running }) => running);
      living.sort((a, b) => Number(b.name === leader) - Number(a.name === leader));
      for (const node of living.slice(0, count)) {
        const { running } = node;
        node.running = undefined;
        running!.kill();
        await running!.exited;
      }
    },
    restart: async () => {
      await start();
      await led(() => js.publish('audit.restart', 'here again'));
    },
    fill: async () => {
      const { state } = await jsm.streams.info(stream.name);
      const room = Math.floor((0.95 * STREAM_BYTES - state.bytes) / MESSAGE_BYTES);
      for (let i = 0; i < room; i++) await js.publish('audit.fill', Buffer.alloc(MESSAGE_BYTES));
    },
    empty: async () => void (await jsm.streams.purge(stream.name)),
    stop: async () => {
      await nc.close();
      await Promise.all(nodes.map(({ running }) => running?.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
