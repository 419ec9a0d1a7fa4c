/**
 * An installation as a platform team has it: a nats-server that others run, by what `callboard nats config` wrote, and each app a process
 * of one of two builds, replaced as a rolling update does it: drained, and a new one on its port and under its name.
 */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, resolveNatsServer, runServer } from '@callboard/nats-server';
import { waitFor } from '@callboard/testing';
import type { NatsUsers } from '../observe.js';
import type { Build } from './build.js';

const READY_MS = 120_000;
const DRAIN_MS = 60_000;
const APPLY_WAIT_S = 30;
const CONFIG = 'streams:\n  partitions: 16\n';
const PARTITIONS = 16;

export type App = 'mcp-frontend' | 'action-runner';

interface Place {
  app: App;
  instance: string;
  port: number;
  build?: Build;
  process?: ChildProcess;
}

export class Installation {
  readonly places: Place[] = [];
  readonly #nats: string;
  #server: Awaited<ReturnType<typeof runServer>> | undefined;
  #onLog: (line: string) => void = () => undefined;
  #url = '';

  constructor(private readonly dataDir: string) {
    this.#nats = join(dataDir, 'nats');
  }

  /** Where MCP is served. */
  get urls(): string[] {
    return this.places.filter(({ app }) => app === 'mcp-frontend').map(({ port }) => `http://127.0.0.1:${port}/mcp`);
  }

  get users(): NatsUsers {
    const user = (name: string) => ({ nkey: join(this.#nats, 'users', `${name}.nk`) });
    return { nats_url: this.#url, nats_users: { sre: user('sre'), operator: user('operator') } };
  }

  /** nats-server with the users and streams of a build, and `replicas` of each app of it. */
  async start(build: Build, replicas: number): Promise<void> {
    await mkdir(this.dataDir, { recursive: true });
    await writeFile(join(this.dataDir, 'callboard.yaml'), CONFIG);
    await this.#writeUsers(build);
    const port = await freePort();
    this.#url = `nats://127.0.0.1:${port}`;
    const config = join(this.#nats, 'node.conf');
    await writeFile(config, `include ./server.conf\nhost: 127.0.0.1\nport: ${port}\n`);
    const { path: binary } = await resolveNatsServer();
    this.#server = await runServer({ binary, onLog: (line) => this.#onLog(line) }, config);
    await this.#applyStreams(build);
    for (const app of ['mcp-frontend', 'action-runner'] as const) {
      for (let n = 1; n <= replicas; n++) {
        const place: Place = { app, instance: `${app}-${n}`, port: await freePort() };
        this.places.push(place);
        await this.#launch(place, build);
      }
    }
  }

  /** What comes before the apps: permissions, which the server reads again, and streams. */
  async prepare(build: Build): Promise<void> {
    const reloaded = new Promise<void>((resolve) => {
      this.#onLog = (line) => line.includes('Reloaded server configuration') && resolve();
    });
    await this.#writeUsers(build);
    process.kill(this.#server!.pid, 'SIGHUP');
    let done = false;
    void reloaded.then(() => (done = true));
    await waitFor(() => done, { what: 'the server to read its configuration again' });
    await this.#applyStreams(build);
  }

  /** @throws Error when the process did not drain and end well, or the new one did not become ready. */
  async replace(place: Place, build: Build): Promise<void> {
    await this.#drain(place);
    await this.#launch(place, build);
  }

  /** Drains everything; what does not end well is told. */
  async stop(): Promise<string | undefined> {
    const failures: string[] = [];
    for (const place of this.places) {
      await this.#drain(place).catch((error: unknown) => failures.push((error as Error).message));
    }
    await this.#server?.stop();
    return failures.length === 0 ? undefined : failures.join('; ');
  }

  async #launch(place: Place, build: Build): Promise<void> {
    const { app, instance, port } = place;
    const main = join(build.folder, 'apps', app, 'dist', 'main.js');
    const child = fork(main, {
      env: this.#env(place, build),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    const log = createWriteStream(join(this.dataDir, `${instance}.log`), { flags: 'a' });
    for (const stream of [child.stdout!, child.stderr!]) stream.pipe(log, { end: false });
    child.once('close', () => log.end());
    Object.assign(place, { build, process: child });
    let ops: number | undefined;
    child.on('message', (message: { type?: string; ports?: { ops: number } }) => {
      if (message.type === 'ready') ops = message.ports?.ops;
    });
    const isReady = async () => {
      if (child.exitCode !== null) throw new Error(`${instance} ended with ${child.exitCode} before it was ready`);
      return ops !== undefined && (await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => undefined))?.ok;
    };
    await waitFor(isReady, { what: `${instance} of the ${build.name} build on port ${port}`, timeoutMs: READY_MS });
  }

  async #drain(place: Place): Promise<void> {
    const { process: child, instance, build } = place;
    delete place.process;
    if (!child) return;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS);
      await exited;
      clearTimeout(late);
    }
    const how = child.signalCode ?? child.exitCode;
    if (how !== 0) throw new Error(`${instance} of the ${build!.name} build ended with ${how}`);
  }

  #env({ app, instance, port }: Place, build: Build): NodeJS.ProcessEnv {
    return {
      ...process.env,
      CALLBOARD_NATS_URL: this.#url,
      CALLBOARD_NATS_NKEY: join(this.#nats, 'users', `${app}.nk`),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_PARTITIONS: String(PARTITIONS),
      CALLBOARD_OPS_PORT: '0',
      ...(app === 'mcp-frontend' && {
        CALLBOARD_HTTP_PORT: String(port),
        CALLBOARD_REQUEST_STATE_KEY: Buffer.alloc(32, 1).toString('base64'),
      }),
      ...(app === 'action-runner' && {
        CALLBOARD_DEMO_DIR: join(this.dataDir, 'demo'),
        CALLBOARD_ACTION_MODULES: `@callboard/demo-actions,${join(build.folder, 'tools/faults/dist/actions.js')}`,
      }),
    };
  }

  async #writeUsers(build: Build): Promise<void> {
    const store = ['--store-dir', join(this.dataDir, 'store')];
    await this.#callboard(build, ['nats', 'config', this.#nats, '--no-tls', ...store]);
  }

  async #applyStreams(build: Build): Promise<void> {
    await this.#callboard(build, ['streams', 'apply', '--external', '--wait-s', String(APPLY_WAIT_S)]);
  }

  async #callboard(build: Build, args: string[]): Promise<void> {
    const env = {
      ...process.env,
      CALLBOARD_NATS_URL: this.#url,
      CALLBOARD_NATS_NKEY: join(this.#nats, 'users', 'provisioner.nk'),
    };
    const cli = join(build.folder, 'apps/cli/dist/main.js');
    const config = ['--config', join(this.dataDir, 'callboard.yaml')];
    await promisify(execFile)(process.execPath, [cli, ...args, ...config], { env });
  }
}
