/** The queues that Callboard is measured beside. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchContext } from './bench.js';
import { startPeer, type Peer, type RunningPeer } from './beside-peers.js';
import { Child } from './child.js';
import { NotThere, PEERS_FOLDER, Server, freePort, onPath, requirePackages, startPostgres } from './peer-servers.js';

export const QUEUE_PEERS: Peer[] = [
  { name: 'BullMQ', start: startBullMq },
  { name: 'graphile-worker', start: startGraphileWorker },
];

async function startBullMq({ directory }: BenchContext): Promise<RunningPeer> {
  requirePackages();
  const binary = onPath('redis-server');
  if (!binary) throw new NotThere('there is no redis-server on PATH (Debian: apt-get install redis-server)');
  const dataDir = await mkdtemp(join(directory, 'redis-'));
  const port = await freePort();
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: dataDir,
    appendonly: 'yes',
    appendfsync: 'always',
    save: '',
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const server = await Server.start('redis-server', binary, args, port);
  return withProcesses('BullMQ', server, 'bullmq', { BENCH_REDIS_PORT: String(port) }, 'SIGTERM');
}

async function startGraphileWorker(context: BenchContext): Promise<RunningPeer> {
  requirePackages();
  const { server, url, remove } = await startPostgres(context);
  return withProcesses('graphile-worker', server, 'graphile', { BENCH_DATABASE_URL: url }, 'SIGINT', remove);
}

/** The worker first: it also makes what it needs in the database. */
function withProcesses(
  name: string,
  server: Server,
  kind: string,
  env: NodeJS.ProcessEnv,
  stopSignal: NodeJS.Signals,
  remove: () => Promise<void> = async () => undefined,
): Promise<RunningPeer> {
  const stops = [remove, () => server.stop(stopSignal)];
  return startPeer(name, stops, async () => {
    const worker = await Child.start(`the worker of ${name}`, new URL(`${kind}-worker.mjs`, PEERS_FOLDER), env);
    stops.push(() => worker.stop());
    const producer = await Child.start(`the producer of ${name}`, new URL(`${kind}-producer.mjs`, PEERS_FOLDER), env);
    stops.push(() => producer.stop());
    return { producer, processes: { [server.name]: [server.pid], worker: [worker.pid] } };
  });
}
