/** The real stack as a test sees it: the supervisor started from outside, known only by its exit code and its `ready.json`. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectNats, type NatsTls } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { waitFor } from './wait-for.js';

/** `ready.json`, as the black-box contract has it. */
export interface ReadyFile {
  mcp_url: string;
  mcp_urls: string[];
  mcp_servers: Record<string, string>;
  token: string;
  results_url: string;
  ingest_url: string;
  ingest_urls: string[];
  nats_url: string;
  backstage_url?: string;
  backstage_users?: Record<string, string>;
  database_url?: string;
  audit_public_key: string;
  nats_users: Record<string, { creds: string; tls?: NatsTls }>;
  metrics: Record<string, string[]>;
  processes: Record<string, number[]>;
  supervisor_pid: number;
}

export interface TestStackOptions {
  /** The apps that run; default: all but the audit writer, whose database takes seconds to make, and the operators' tools. */
  apps?: readonly string[];
  /** Replicas of each app that runs; one where nothing is said. */
  replicas?: Record<string, number>;
  env?: NodeJS.ProcessEnv;
  /** What the configuration file of `callboard up` says, if there is one. */
  config?: object;
  /** Default: a new folder, removed when the stack stops. */
  dataDir?: string;
  /** More arguments of `callboard up`. */
  args?: string[];
  readyWithinMs?: number;
  /** A program with its arguments that runs the supervisor as its last ones say, in place of itself. */
  within?: string[];
}

export interface TestStack {
  /** As it was when the stack became ready. */
  readonly ready: ReadyFile;
  readonly dataDir: string;
  /** As it is now. */
  readReady(): Promise<ReadyFile>;
  /** What the supervisor has printed. */
  output(): string;
  /** A connection to its nats-server as one of the declared users, for whoever made it to close. */
  connect(user: string): Promise<NatsConnection>;
  /** Stops the stack as Ctrl-C does. Throws when it does not end well or leaves a process behind. */
  stop(): Promise<void>;
}

/** What a stack needs for calls alone. Each app that does not start saves a second of a core. */
export const CALLS = ['mcp-frontend', 'action-runner'] as const;
/** They run where they are asked for. */
const ASKED_FOR = ['audit-writer', 'operator-tools'];
const APPS = [...CALLS, 'event-ingestor', 'pii-filter', 'notifier', 'saga-orchestrator', ...ASKED_FOR];
const CLI = fileURLToPath(new URL('../../../apps/cli/dist/main.js', import.meta.url));
const STOP_MS = 60_000;

export async function startStack(options: TestStackOptions = {}): Promise<TestStack> {
  const folder = options.config && (await mkdtemp(join(tmpdir(), 'callboard-config-')));
  const config = folder === undefined ? [] : ['--config', join(folder, 'stack.yaml')];
  // JSON is YAML.
  if (folder !== undefined) await writeFile(config[1]!, JSON.stringify(options.config));
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'callboard-stack-')));
  const apps = options.apps ?? APPS.filter((app) => !ASKED_FOR.includes(app));
  const off = Object.fromEntries(APPS.filter((app) => !apps.includes(app)).map((app) => [app, 0]));
  const replicas = Object.entries({ ...off, ...options.replicas }).map(([app, count]) => `${app}=${count}`);
  const [program = '', ...argv] = [...(options.within ?? []), process.execPath];
  const supervisor = spawn(
    program,
    [
      ...argv,
      CLI,
      'up',
      ...['--port', '0', '--data-dir', dataDir],
      ...['--replicas', replicas.join(',')],
      ...config,
      ...(options.args ?? []),
    ],
    { env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-100_000)));
  }
  let exit: { code: number | null } | undefined;
  const exited = new Promise<{ code: number | null }>((resolve) => {
    supervisor.once('close', (code) => resolve((exit = { code })));
  });

  const readyFile = join(dataDir, 'ready.json');
  const readReady = async () => JSON.parse(await readFile(readyFile, 'utf8')) as ReadyFile;
  const seen = new Set<number>();
  const note = (ready: ReadyFile) => {
    for (const pid of Object.values(ready.processes).flat()) seen.add(pid);
    return ready;
  };

  let ready: ReadyFile;
  try {
    ready = await waitFor(
      async () => {
        if (exit) throw new Error(`callboard up ended with ${exit.code} before it was ready`);
        // A supervisor that was killed has left its file: only ours counts.
        const found = existsSync(readyFile) ? await readReady().catch(() => undefined) : undefined;
        return found?.supervisor_pid === supervisor.pid && found;
      },
      { what: 'a ready stack', timeoutMs: options.readyWithinMs ?? 120_000 },
    );
  } catch (error) {
    supervisor.kill('SIGTERM');
    await exited;
    throw new Error(`${(error as Error).message}\n${output}`, { cause: error });
  }
  note(ready);
  return {
    ready,
    dataDir,
    readReady: async () => note(await readReady()),
    output: () => output,
    connect: (user) =>
      connectNats({
        servers: ready.nats_url,
        user,
        credsFile: join(dataDir, 'nats', 'creds', `${user}.creds`),
        ...(ready.nats_users[user]?.tls && { tls: ready.nats_users[user].tls }),
        name: `test ${user}`,
      }),
    stop: async () => {
      const late = setTimeout(() => supervisor.kill('SIGKILL'), STOP_MS);
      // A supervisor that is stopping already takes its file away at any moment.
      await readReady().then(note, () => undefined);
      supervisor.kill('SIGTERM');
      const { code } = await exited;
      clearTimeout(late);
      const left = [...seen].filter(isAlive);
      for (const pid of left) process.kill(pid, 'SIGKILL');
      if (!options.dataDir) await rm(dataDir, { recursive: true, force: true });
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`callboard up ended with ${code}:\n${output}`);
      if (left.length > 0) throw new Error(`callboard up left processes running: ${left.join(', ')}\n${output}`);
    },
  };
}

/** Does a process with this id run? One that has ended and that nobody has asked about yet does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
