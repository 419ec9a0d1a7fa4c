import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  applyTopology,
  connectNats,
  declareTopology,
  type NatsTls,
  type Topology,
  type TopologyOptions,
} from '@callboard/jetstream';
import { resolveNatsServer, startNatsServer, type RunningNatsServer } from '@callboard/nats-server';
import type { NatsConnection } from '@nats-io/transport-node';

/** A real nats-server with the declared streams, in a folder of its own, on a port of its own. */
export interface TestNats {
  readonly url: string;
  readonly topology: Topology;
  credsFile(user: string): string;
  /** A connection as one of the declared users; closed by `dispose`. */
  connect(user: string): Promise<NatsConnection>;
  /** Kills the server as a power cut would, and starts it again on the same store and port; resolves when the connections are back. */
  crash(): Promise<void>;
  /** Lets the server hang, as a machine that swaps does: connections stay, and nothing answers until `thaw`. */
  freeze(): void;
  thaw(): void;
  dispose(): Promise<void>;
}

export interface TestNatsOptions {
  topology?: Partial<TopologyOptions>;
  auth?: 'users' | 'none';
  syncInterval?: string;
  tls?: boolean;
}

export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const { topology: overrides, ...rest } = options;
  const topology = declareTopology({ maxBytes: 256 * 1024 ** 2, ...overrides });
  const { path: binary } = await resolveNatsServer();
  const folder = await mkdtemp(join(tmpdir(), 'callboard-test-'));
  const dataDir = join(folder, 'nats');
  await copyKeys(dataDir);
  let server: RunningNatsServer = await startNatsServer({ binary, dataDir, topology, ...rest });
  const connections: NatsConnection[] = [];

  const connect = async (user: string) => {
    const nc = await connectNats({
      servers: server.url,
      user,
      credsFile: server.credsFile(user),
      ...tlsOf(server, user),
      name: `test ${user}`,
    });
    connections.push(nc);
    return nc;
  };
  const provisioner = await connect('provisioner');
  await applyTopology(provisioner, topology);
  await provisioner.close();

  return {
    url: server.url,
    topology,
    credsFile: (user) => server.credsFile(user),
    connect,
    crash: async () => {
      const back = connections.filter((nc) => !nc.isClosed()).map(reconnected);
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
      server = await startNatsServer({ binary, dataDir, topology, ...rest, port: server.port });
      await Promise.all(back);
    },
    freeze: () => void process.kill(server.pid, 'SIGSTOP'),
    thaw: () => void process.kill(server.pid, 'SIGCONT'),
    dispose: async () => {
      process.kill(server.pid, 'SIGCONT');
      await Promise.all(connections.map((nc) => nc.close()));
      // Nobody needs what it stored, and an end in order takes a sixth of a second.
      server.kill();
      await server.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function tlsOf(server: RunningNatsServer, user: string): { tls?: NatsTls } {
  const tls = server.tlsFiles(user);
  return tls ? { tls } : {};
}

async function reconnected(nc: NatsConnection): Promise<void> {
  for await (const { type } of nc.status()) if (type === 'reconnect' || type === 'close') return;
}

async function copyKeys(dataDir: string): Promise<void> {
  const keys = process.env['CALLBOARD_TEST_KEYS'];
  if (!keys) return;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  for (const name of ['keys.json', 'creds']) await cp(join(keys, name), join(dataDir, name), { recursive: true });
}
