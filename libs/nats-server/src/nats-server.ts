/**
 * A nats-server process of our own: on loopback, with JetStream in its own folder and the users of the topology.
 *
 * It runs in a process group of its own, so that Ctrl-C in a terminal reaches only us and the server stops last.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { NatsTls, Topology } from '@callboard/jetstream';
import { issueCertificates } from './certificates.js';
import { issueCredentials } from './credentials.js';
import { renderServerConfig, type ClusterNode } from './server-config.js';

export interface NatsServerOptions {
  binary: string;
  /** Folder of this server: configuration, keys, credentials and the store. The nodes of one cluster share it. */
  dataDir: string;
  /** Decides users, permissions and how much the store may hold. */
  topology: Topology;
  /** 0 or absent: any free one. */
  port?: number;
  /** `none` lets anyone on this machine do everything; for benches. */
  auth?: 'users' | 'none';
  /** Encrypts, and asks every client for a certificate of our own authority. */
  tls?: boolean;
  syncInterval?: string;
  /** Absent: it is alone. */
  cluster?: ClusterNode;
  onLog?: (line: string) => void;
  /** Told the process id before anything can go wrong. */
  onSpawn?: (pid: number) => void;
  /** Ends a start that is under way. */
  signal?: AbortSignal;
}

export interface RunningNatsServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Path of a user's credentials file; empty when the server asks for none. */
  credsFile(user: string): string;
  /** Files of a user for TLS; undefined when the server speaks none. */
  tlsFiles(user: string): NatsTls | undefined;
  /** Settles when the process has ended, whoever ended it, with how: `signal SIGKILL`, `exit code 1`. */
  readonly exited: Promise<string>;
  /** Ends the server in order; every acked message is stored already. */
  stop(): Promise<void>;
  kill(): void;
}

/** A big store is read back before the server answers. */
const READY_MS = 120_000;
const STOP_MS = 10_000;
const KEPT_LINES = 20;

/** @throws Error with the server's own last words when it does not come up. */
export async function startNatsServer(options: NatsServerOptions): Promise<RunningNatsServer> {
  const { dataDir, topology, auth = 'users', syncInterval = 'always', cluster } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const suffix = cluster ? `-${cluster.name}` : '';
  const storeDir = join(dataDir, `store${suffix}`);
  const credentials =
    auth === 'users' ? await issueCredentials(dataDir, topology.users, existsSync(storeDir)) : undefined;
  const certificates = options.tls
    ? await issueCertificates(
        join(dataDir, 'tls'),
        topology.users.map(({ name }) => name),
        ['localhost', '127.0.0.1'],
      )
    : undefined;
  const port = options.port || (await freePort());
  const config = join(dataDir, `server${suffix}.conf`);
  // The limit is what streams may reserve, not what they use; twice the declared leaves room to raise a stream's own limit.
  const declared = topology.streams.reduce((sum, { config }) => sum + Math.max(0, config.max_bytes ?? 0), 0);
  await writeFile(
    config,
    renderServerConfig({
      port,
      storeDir,
      syncInterval,
      maxFileStore: 2 * declared,
      ...(cluster && { cluster }),
      ...(credentials && { credentials }),
      ...(certificates && { tls: { caFile: certificates.caFile, ...certificates.server } }),
    }),
    { mode: 0o600 },
  );
  const child = await runServer(options, config);
  return {
    url: `${certificates ? 'tls' : 'nats'}://127.0.0.1:${port}`,
    port,
    ...child,
    credsFile: (user) => (credentials ? fileOf(credentials.files, user) : ''),
    tlsFiles: (user) => certificates && { caFile: certificates.caFile, ...fileOf(certificates.users, user) },
  };
}

/** Runs a nats-server by a configuration file; resolves when it is ready for clients. */
export async function runServer(
  {
    binary,
    onLog = () => undefined,
    onSpawn,
    signal,
  }: Pick<NatsServerOptions, 'binary' | 'onLog' | 'onSpawn' | 'signal'>,
  config: string,
): Promise<Pick<RunningNatsServer, 'pid' | 'exited' | 'stop' | 'kill'>> {
  const child = spawn(binary, ['-c', config], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
  });
  if (child.pid !== undefined) onSpawn?.(child.pid);
  const kill = () => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    await ready(child, exited, onLog);
  } finally {
    signal?.removeEventListener('abort', kill);
  }
  return { pid: child.pid!, exited, stop: () => stop(child, exited), kill };
}

async function ready(child: ChildProcess, exited: Promise<string>, onLog: (line: string) => void): Promise<void> {
  const lines: string[] = [];
  let onReady!: () => void;
  const saysReady = new Promise<void>((resolve) => (onReady = resolve));
  createInterface({ input: child.stderr! }).on('line', (line) => {
    onLog(line);
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    if (line.includes('Server is ready')) onReady();
  });
  let timer: NodeJS.Timeout | undefined;
  const failed = async (): Promise<never> => {
    await exited;
    const words = lines
      .filter((line) => /\[(FTL|ERR)\]/.test(line))
      .map((line) => line.replace(/^.*\[(FTL|ERR)\] /, ''));
    throw new Error(`nats-server did not start: ${words.join('; ') || lines.at(-1) || 'it said nothing'}`);
  };
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`nats-server was not ready after ${READY_MS / 1000} s: ${lines.at(-1) ?? 'it said nothing'}`));
    }, READY_MS);
  });
  const unstartable = once(child, 'error').then(([error]) => {
    throw new Error(`nats-server cannot be run: ${(error as Error).message}`);
  });
  try {
    await Promise.race([saysReady, failed(), late, unstartable]);
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}

function fileOf<T>(files: ReadonlyMap<string, T>, user: string): T {
  const file = files.get(user);
  if (!file) throw new Error(`the topology declares no user ${user}`);
  return file;
}

/** Below what Linux and macOS give to outgoing connections and to whoever takes any port. */
const PORTS = { from: 20_000, count: 12_000 };
/** By this process, which may not listen there yet. */
const given = new Set<number>();

/**
 * A port that is free now, and that nobody is given by chance before it is used: one that the system itself hands out is soon handed
 * out again where much is connected. Somebody else may still ask for it by number, which then fails as loudly as any taken port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + randomInt(PORTS.count);
    if (given.has(port)) continue;
    given.add(port);
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer()
        .once('error', () => resolve(false))
        .listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
    given.delete(port);
  }
}
