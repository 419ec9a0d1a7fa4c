/**
 * Servers of peers that Callboard is measured beside: in throw-away folders, from the binaries that are installed here (Debian's packages, or
 * whatever is on PATH), and Node packages of one exact version in `peers`. What is not there is said, and has no ratio.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { appendFile, chown, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchContext } from './bench.js';

/** Where the peers' packages and programs are. */
export const PEERS_FOLDER = new URL('../peers/', import.meta.url);
const DEBIAN_POSTGRES = '/usr/lib/postgresql';
const START_MS = 30_000;
const STOP_MS = 10_000;
const POLL_MS = 50;

/** Something that a peer needs is not on this machine. */
export class NotThere extends Error {}

/** Installs the peers' packages from their lock file, once. Where that fails they are not there, and each start says so. */
export async function installPeers(say: (line: string) => void): Promise<void> {
  if (packagesAreThere()) return;
  say('  installing the peers of this bench (once)');
  const npm = spawn('npm', ['ci', '--no-progress', '--loglevel=error'], { cwd: PEERS_FOLDER, stdio: 'inherit' });
  await new Promise((resolve) => npm.once('error', resolve).once('exit', resolve));
}

function packagesAreThere(): boolean {
  const installed = statSync(new URL('node_modules/.package-lock.json', PEERS_FOLDER), { throwIfNoEntry: false });
  return installed !== undefined && installed.mtimeMs >= statSync(new URL('package-lock.json', PEERS_FOLDER)).mtimeMs;
}

/** A PostgreSQL of its own, synced; `remove` takes its folder away once it has stopped. */
export interface RunningPostgres {
  server: Server;
  url: string;
  remove(): Promise<void>;
}

export async function startPostgres({ directory }: BenchContext): Promise<RunningPostgres> {
  const bin = postgresBin();
  if (!bin)
    throw new NotThere('there is no PostgreSQL on PATH or in /usr/lib/postgresql (Debian: apt-get install postgresql)');
  const user = userForPostgres();
  // Beside the bench's own folder, which only its user may enter.
  const dataDir = await mkdtemp(join(dirname(directory), 'callboard-bench-postgres-'));
  const remove = () => rm(dataDir, { recursive: true, force: true });
  try {
    if (user) await chown(dataDir, user.uid, user.gid);
    const cluster = join(dataDir, 'cluster');
    const as = { ...user, cwd: dataDir };
    const initdb = ['-D', cluster, '-A', 'trust', '-U', 'postgres', '--no-sync'];
    execFileSync(join(bin, 'initdb'), initdb, { ...as, stdio: 'ignore' });
    const port = await freePort();
    const settings = [
      `listen_addresses = '127.0.0.1'`,
      `port = ${port}`,
      `unix_socket_directories = ''`,
      // Room, so that neither memory nor checkpoints are what is measured. fsync and synchronous_commit are on by default.
      'max_connections = 100',
      `shared_buffers = '1GB'`,
      `max_wal_size = '4GB'`,
      `checkpoint_timeout = '30min'`,
    ];
    await appendFile(join(cluster, 'postgresql.conf'), `\n${settings.join('\n')}\n`);
    const server = await Server.start('postgres', join(bin, 'postgres'), ['-D', cluster], port, as);
    return { server, url: `postgresql://postgres@127.0.0.1:${port}/postgres`, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A server of a peer, ready when it takes connections. */
export class Server {
  private constructor(
    readonly name: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(
    name: string,
    binary: string,
    args: string[],
    port: number,
    options: { uid?: number; gid?: number; cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Server> {
    const started = spawn(binary, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    let output = '';
    started.stderr!.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-10_000)));
    const server = new Server(name, started);
    const deadline = Date.now() + START_MS;
    while (!(await takesConnections(port))) {
      if (started.exitCode !== null || Date.now() > deadline) {
        await server.stop('SIGKILL');
        throw new Error(`${name} did not start; it said:\n${output}`);
      }
      await sleep(POLL_MS);
    }
    return server;
  }

  get pid(): number {
    return this.process.pid!;
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill(signal);
    const late = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(late);
  }
}

export function requirePackages(): void {
  if (!packagesAreThere()) throw new NotThere('its packages are not installed (npm ci --prefix tools/bench/peers)');
}

export function onPath(binary: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, binary)).find((file) => existsSync(file));
}

/** The folder that has `initdb` beside `postgres`: Debian puts neither on PATH. */
function postgresBin(): string | undefined {
  const onThePath = onPath('postgres');
  const versions = existsSync(DEBIAN_POSTGRES)
    ? readdirSync(DEBIAN_POSTGRES).sort((a, b) => Number(b) - Number(a))
    : [];
  return [
    ...(onThePath ? [dirname(realpathSync(onThePath))] : []),
    ...versions.map((version) => join(DEBIAN_POSTGRES, version, 'bin')),
  ].find((folder) => existsSync(join(folder, 'initdb')));
}

/** PostgreSQL refuses to run as root; its package brings a user. */
function userForPostgres(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    throw new NotThere('PostgreSQL does not run as root, and there is no user postgres to run it as');
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}
