import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTopology, connectNats, declareTopology, type Topology, type TopologyOptions } from '@callboard/jetstream';
import {
  freePort,
  issueCertificates,
  resolveNatsServer,
  runServer,
  writeExternalConfig,
  type Certificates,
} from '@callboard/nats-server';
import type { NatsConnection } from '@nats-io/transport-node';
import { waitFor } from './wait-for.js';

/** Three nats-servers as others would run them: by what `callboard nats config` writes, with nkeys, and certificates on both sides. */
export interface NatsCluster {
  readonly url: string;
  readonly topology: Topology;
  /** Every configuration file that a server was started with. */
  readonly configFiles: readonly string[];
  /** File with the seed of a user's nkey. */
  nkeyFile(user: string): string;
  readonly certificates: Certificates;
  /** A connection as one of the declared users; closed by `dispose`. */
  connect(user: string): Promise<NatsConnection>;
  dispose(): Promise<void>;
}

const SIZE = 3;

/**
 * @param rendered folder with `nats.conf`, as the Helm chart renders it for three servers, and the seeds of its users in `users`: what the cluster
 * is then given, in the place of what `callboard nats config` writes.
 */
export async function startNatsCluster(
  overrides: Partial<TopologyOptions> = {},
  rendered?: string,
): Promise<NatsCluster> {
  const topology = declareTopology({ maxBytes: 64 * 1024 ** 2, replicas: SIZE, ...overrides });
  const { path: binary } = await resolveNatsServer();
  const folder = await mkdtemp(join(tmpdir(), 'callboard-cluster-'));
  const users = topology.users.map(({ name }) => name);
  const certificates = await issueCertificates(join(folder, 'tls'), users, ['localhost', '127.0.0.1']);
  const tls = { caFile: certificates.caFile, ...certificates.server };
  if (rendered) await cp(join(rendered, 'users'), join(folder, 'users'), { recursive: true });
  else {
    await writeExternalConfig({
      folder,
      topology,
      auth: 'nkeys',
      server: { storeDir: join(folder, 'unused'), tls },
    });
  }
  const ports: number[] = [];
  for (let i = 0; i < 2 * SIZE; i++) ports.push(await freePort());
  const routes = ports.slice(SIZE).map((port) => `nats://127.0.0.1:${port}`);
  const block = `{ ca_file: "${tls.caFile}", cert_file: "${tls.certFile}", key_file: "${tls.keyFile}", verify: true }`;
  const servers = await Promise.all(
    ports.slice(0, SIZE).map(async (port, i) => {
      const store = join(folder, `n${i + 1}`);
      await mkdir(store);
      const config = join(folder, `n${i + 1}.conf`);
      const written = [
        `server_name: n${i + 1}`,
        'include ./server.conf',
        'host: 127.0.0.1',
        `port: ${port}`,
        `jetstream { store_dir: "${store}", sync_interval: "2m", max_file_store: 100GB, max_memory_store: 256MB }`,
        `cluster { name: spec, listen: "127.0.0.1:${ports[SIZE + i]}", routes: ${JSON.stringify(routes)}, tls ${block} }`,
      ].join('\n');
      const here = {
        $POD_NAME: `n${i + 1}`,
        '0.0.0.0:4222': `127.0.0.1:${port}`,
        '0.0.0.0:6222': `127.0.0.1:${ports[SIZE + i]}`,
        '0.0.0.0:8222': `127.0.0.1:${await freePort()}`,
        ...Object.fromEntries(
          ports
            .slice(SIZE)
            .map((other, j) => [`callboard-nats-${j}.callboard-nats.callboard.svc:6222`, `127.0.0.1:${other}`]),
        ),
        '/etc/nats/tls/ca.crt': tls.caFile,
        '/etc/nats/tls/tls.crt': tls.certFile,
        '/etc/nats/tls/tls.key': tls.keyFile,
        '/data/jetstream': store,
        '/tmp/nats.pid': `${store}.pid`,
      };
      await writeFile(config, rendered ? placed(await readFile(join(rendered, 'nats.conf'), 'utf8'), here) : written);
      return { config, ...(await runServer({ binary }, config)) };
    }),
  );
  const url = ports
    .slice(0, SIZE)
    .map((port) => `tls://127.0.0.1:${port}`)
    .join(',');
  const nkeyFile = (user: string) => join(folder, 'users', `${user}.nk`);
  const connections: NatsConnection[] = [];
  const connect = async (user: string) => {
    const nc = await connectNats({
      servers: url,
      user,
      name: `test ${user}`,
      nkeyFile: nkeyFile(user),
      tls: { caFile: certificates.caFile, ...certificates.users.get(user)! },
    });
    connections.push(nc);
    return nc;
  };
  const dispose = async () => {
    await Promise.all(connections.map((nc) => nc.close()));
    await Promise.all(servers.map(({ stop }) => stop()));
    await rm(folder, { recursive: true, force: true });
  };
  const provisioner = await connect('provisioner');
  // It has no leader at first.
  let error: unknown;
  await waitFor(
    () =>
      applyTopology(provisioner, topology).then(
        () => true,
        (reason: unknown) => ((error = reason), false),
      ),
    { what: 'the streams of the cluster', timeoutMs: 60_000 },
  ).catch(async (late: Error) => {
    await dispose();
    throw new Error(late.message, { cause: error });
  });
  return {
    url,
    topology,
    configFiles: servers.map(({ config }) => config),
    nkeyFile,
    certificates,
    connect,
    dispose,
  };
}

/** What a pod would have, as it is here. @throws Error when something of it is not in the configuration: then it has another form by now. */
function placed(conf: string, here: Record<string, string>): string {
  for (const [of, as] of Object.entries(here)) {
    if (!conf.includes(of)) throw new Error(`the rendered configuration has no ${of}`);
    conf = conf.replaceAll(of, as);
  }
  return conf;
}
