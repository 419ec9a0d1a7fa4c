/** What runs sagas beside Callboard. Each keeps every step on the disk before the next begins: PostgreSQL's defaults, and Restate's own. */
import { mkdtemp } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchContext } from './bench.js';
import { startPeer, type Peer, type RunningPeer } from './beside-peers.js';
import { Child } from './child.js';
import { NotThere, PEERS_FOLDER, Server, freePort, requirePackages, startPostgres } from './peer-servers.js';

export const SAGA_PEERS: Peer[] = [
  { name: 'DBOS', start: startDbos },
  { name: 'Restate', start: startRestate },
];

async function startDbos(context: BenchContext): Promise<RunningPeer> {
  requirePackages();
  const { server, url, remove } = await startPostgres(context);
  const stops = [remove, () => server.stop('SIGINT')];
  return startPeer('DBOS', stops, async () => {
    const producer = await Child.start('DBOS', new URL('dbos-sagas.mjs', PEERS_FOLDER), { BENCH_DATABASE_URL: url });
    stops.push(() => producer.stop());
    return { producer, processes: { postgres: [server.pid] } };
  });
}

async function startRestate({ directory }: BenchContext): Promise<RunningPeer> {
  requirePackages();
  const binary = restateServer();
  const [node, admin, ingress, service] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const dataDir = await mkdtemp(join(directory, 'restate-'));
  const args = [
    '--base-dir',
    dataDir,
    '--bind-ip',
    '127.0.0.1',
    '--bind-port',
    String(node),
    '--listen-mode',
    'tcp',
    '--no-logo',
  ];
  const server = await Server.start('restate-server', binary, args, ingress, {
    env: {
      ...process.env,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_LOG_FILTER: 'error',
      RESTATE_INGRESS__BIND_PORT: String(ingress),
      RESTATE_ADMIN__BIND_PORT: String(admin),
    },
  });
  const stops = [() => server.stop('SIGKILL')];
  return startPeer('Restate', stops, async () => {
    const env = {
      BENCH_SERVICE_PORT: String(service),
      BENCH_ADMIN_PORT: String(admin),
      BENCH_INGRESS_PORT: String(ingress),
      RESTATE_LOGGING: 'ERROR',
      NODE_ENV: 'production',
    };
    const worker = await Child.start('the service of Restate', new URL('restate-service.mjs', PEERS_FOLDER), env);
    stops.push(() => worker.stop());
    const producer = await Child.start('the producer of Restate', new URL('restate-sagas.mjs', PEERS_FOLDER), env);
    stops.push(() => producer.stop());
    return { producer, processes: { [server.name]: [server.pid], service: [worker.pid] } };
  });
}

function restateServer(): string {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const binary = fileURLToPath(new URL(`node_modules/${name}/bin/restate-server`, PEERS_FOLDER));
  if (!existsSync(binary)) throw new NotThere(`there is no restate-server for ${process.platform} ${process.arch}`);
  return binary;
}
