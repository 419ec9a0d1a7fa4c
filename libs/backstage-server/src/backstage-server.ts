/**
 * A Backstage process of our own: one of the fixtures, on loopback, with a database in memory or in a folder.
 *
 * It runs in a process group of its own, so that Ctrl-C in a terminal reaches only us. Its events bus is what any Backstage without
 * PostgreSQL has: kept in memory, gone when the process ends.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@callboard/nats-server';
import { BACKSTAGE_FOLDER, PLAIN, nodeFor, type Fixture } from './fixture.js';

/** External access, one token for one plug-in each; see `app-config.yaml` of the fixture. */
export interface BackstageTokens {
  events: string;
  notifications: string;
  catalog: string;
}

export interface CallboardPlugin {
  /** Folder of the package. */
  folder: string;
  natsUrl: string;
  /** Of NATS user `backstage`. */
  credsFile: string;
  /** Files of TLS, as the plug-in's configuration has them. */
  tls?: { caFile?: string; certFile?: string; keyFile?: string };
}

export interface BackstageServerOptions {
  /** Which one; `PLAIN` where nothing is said. */
  fixture?: Fixture;
  /** What `installBackstage` returned for it. */
  modules: string;
  tokens: BackstageTokens;
  /** 0 or absent: any free one. */
  port?: number;
  /** Folder of the database; absent: in memory, and gone with the process. */
  databaseDir?: string;
  /** With Callboard's plug-in; see `app-config.callboard.yaml` of the fixture. */
  callboard?: CallboardPlugin;
  /** What else the site adds to its backend: paths of modules that export a backend feature. */
  features?: readonly string[];
  /** More configuration files, read last. */
  configFiles?: readonly string[];
  /** More environment variables, for what those files name. */
  env?: NodeJS.ProcessEnv;
  /** How long the events bus lets a reader wait for an event. Default: Backstage's own. */
  notifyTimeoutMs?: number;
  onLine?: (line: string) => void | Promise<void>;
  /** Told the process id before anything can go wrong. */
  onSpawn?: (pid: number) => void;
  /** Ends a start that is under way. */
  signal?: AbortSignal;
}

export interface RunningBackstage {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Settles when the process has ended, whoever ended it, with how: `signal SIGKILL`, `exit code 1`. */
  readonly exited: Promise<string>;
  /** Ends it in order. */
  stop(): Promise<void>;
  kill(): void;
}

const HOST = '127.0.0.1';
const READY_MS = 120_000;
const POLL_MS = 50;
const STOP_MS = 20_000;
const KEPT_LINES = 20;
const NOTIFY_TIMEOUT_MS = 55_000;

/** @throws Error with Backstage's last words when it does not come up. */
export async function startBackstageServer(options: BackstageServerOptions): Promise<RunningBackstage> {
  const { fixture = PLAIN, modules, tokens, callboard, onLine = () => undefined, signal } = options;
  const port = options.port || (await freePort());
  const url = `http://${HOST}:${port}`;
  const plugin = callboard ? [join(BACKSTAGE_FOLDER, 'app-config.callboard.yaml')] : [];
  const configs = [...fixture.configFiles, ...plugin, ...(options.configFiles ?? [])];
  const features = [...(callboard ? [callboard.folder] : []), ...(options.features ?? [])];
  const child = spawn(
    nodeFor(fixture, modules),
    [
      ...(fixture.nodeArgs ?? []),
      join(BACKSTAGE_FOLDER, 'start.cjs'),
      ...configs.flatMap((path) => ['--config', path]),
    ],
    {
      cwd: BACKSTAGE_FOLDER,
      env: {
        ...process.env,
        NODE_ENV: 'production',
        NODE_PATH: modules,
        BACKSTAGE_PORT: String(port),
        BACKSTAGE_CATALOG: join(BACKSTAGE_FOLDER, 'catalog.yaml'),
        BACKSTAGE_PLUGINS: fixture.plugins.join(),
        BACKSTAGE_EVENTS_TOKEN: tokens.events,
        BACKSTAGE_NOTIFICATIONS_TOKEN: tokens.notifications,
        BACKSTAGE_CATALOG_TOKEN: tokens.catalog,
        BACKSTAGE_NOTIFY_TIMEOUT_MS: String(options.notifyTimeoutMs ?? NOTIFY_TIMEOUT_MS),
        ...(options.databaseDir && {
          APP_CONFIG_backend_database_connection: JSON.stringify({ directory: options.databaseDir }),
        }),
        BACKSTAGE_FEATURES: features.join(),
        ...options.env,
        ...(callboard && {
          CALLBOARD_NATS_URL: callboard.natsUrl,
          CALLBOARD_NATS_CREDS: callboard.credsFile,
          ...(callboard.tls && { APP_CONFIG_callboard_events_nats_tls: JSON.stringify(callboard.tls) }),
        }),
      },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const lastLines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > KEPT_LINES) lastLines.shift();
      void onLine(line);
    });
  }
  let ended: string | undefined;
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve((ended = error.message)));
    child.once('close', (code, by) => resolve((ended = by ? `signal ${by}` : `exit code ${code}`)));
  });
  if (child.pid !== undefined) options.onSpawn?.(child.pid);
  const kill = () => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const until = Date.now() + READY_MS;
    while (!(await answersReady(url))) {
      if (ended !== undefined) throw new Error(ended);
      if (Date.now() > until) throw new Error(`not ready after ${READY_MS / 1000} s`);
      await delay(POLL_MS);
    }
  } catch (error) {
    kill();
    await exited;
    throw new Error(`Backstage did not start (${(error as Error).message}): ${lastLines.join('\n')}`, { cause: error });
  } finally {
    signal?.removeEventListener('abort', kill);
  }
  return {
    url,
    port,
    pid: child.pid!,
    exited,
    kill,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, STOP_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function answersReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/.backstage/health/v1/readiness`, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
