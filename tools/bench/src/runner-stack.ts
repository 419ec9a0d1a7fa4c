/** nats-server and one action-runner with the bench's own actions, with everything synced, and a client of it in this process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandClient, applyTopology, connectNats, declareTopology } from '@callboard/jetstream';
import { startNatsServer } from '@callboard/nats-server';
import type { NatsConnection } from '@nats-io/transport-node';
import type { BenchContext } from './bench.js';
import { Child } from './child.js';

export const PARTITIONS = 16;
const ACCEPT_MS = 60_000;
const ACTION_RUNNER = new URL('../../../apps/action-runner/dist/main.js', import.meta.url);
const BENCH_ACTIONS = fileURLToPath(new URL('./actions.js', import.meta.url));

export interface RunnerStack {
  url: string;
  serverPid: number;
  workerPid: number;
  connection: NatsConnection;
  client: CommandClient;
  stop(): Promise<void>;
}

export async function startRunnerStack(context: BenchContext, name: string): Promise<RunnerStack> {
  const dataDir = await mkdtemp(join(context.directory, `${name}-`));
  const topology = declareTopology({ partitions: PARTITIONS });
  const server = await startNatsServer({
    binary: context.natsServer,
    dataDir,
    topology,
    auth: 'none',
    syncInterval: 'always',
  });
  const stops: (() => Promise<unknown>)[] = [() => rm(dataDir, { recursive: true, force: true }), () => server.stop()];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const connection = await connectNats({ servers: server.url, user: 'sre', name: 'bench' });
    stops.push(() => connection.close());
    await applyTopology(connection, topology);
    const worker = await Child.start('the action runner', ACTION_RUNNER, {
      CALLBOARD_NATS_URL: server.url,
      CALLBOARD_NATS_CREDS: '',
      CALLBOARD_INSTANCE: 'bench-runner',
      CALLBOARD_PARTITIONS: String(PARTITIONS),
      CALLBOARD_ACTION_MODULES: BENCH_ACTIONS,
      CALLBOARD_OPS_PORT: '0',
    });
    stops.push(() => worker.stop());
    const client = await CommandClient.start(connection, { instance: 'bench', acceptTimeoutMs: ACCEPT_MS });
    stops.push(async () => client.close());
    return { url: server.url, serverPid: server.pid, workerPid: worker.pid, connection, client, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
