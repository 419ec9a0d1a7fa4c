/**
 * One whole stack as a user starts it: `callboard up` in a process of its own, known from outside by its `ready.json` alone.
 *
 * It owns the supervisor's process and ends no other one. The supervisor's own words are kept, for the report of a failure.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface ReadyFile {
  mcp_url: string;
  /** One a front end. */
  mcp_urls: string[];
  token: string;
  nats_url: string;
  nats_users: { sre: { creds: string } };
  processes: { [process: string]: number[] };
}

export interface StackOptions {
  /** Must not hold the `ready.json` of another run. */
  dataDir: string;
  /** `mcp-frontend=2,action-runner=3` */
  replicas?: string;
}

const CALLBOARD = fileURLToPath(new URL('../../../apps/cli/bin/callboard.js', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 100;
const KEPT_OUTPUT_CHARS = 64 * 1024;

export class Stack {
  ready!: ReadyFile;
  #output = '';
  readonly #supervisor: ChildProcess;
  readonly #exited: Promise<number | null>;

  private constructor(
    readonly dataDir: string,
    replicas: string | undefined,
  ) {
    const args = [CALLBOARD, 'up', '--port', '0', '--data-dir', dataDir];
    if (replicas !== undefined) args.push('--replicas', replicas);
    this.#supervisor = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#supervisor.stdout!, this.#supervisor.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-KEPT_OUTPUT_CHARS);
      });
    }
    this.#exited = new Promise((resolve) => this.#supervisor.once('exit', resolve));
  }

  /** Resolves when the stack says that it is ready. @throws Error with the supervisor's last words when it does not. */
  static async start({ dataDir, replicas }: StackOptions): Promise<Stack> {
    const stack = new Stack(dataDir, replicas);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const ready = await stack.readReady();
      if (ready) {
        stack.ready = ready;
        return stack;
      }
      const ended = await Promise.race([stack.#exited.then(() => true), sleep(POLL_MS, false)]);
      if (ended || Date.now() > deadline) {
        await stack.stop();
        throw new Error(`the stack ${ended ? 'ended' : 'was not ready in time'}; it said:\n${stack.output}`);
      }
    }
  }

  /** The file as it is now: the supervisor rewrites it whenever a process is replaced. */
  async readReady(): Promise<ReadyFile | undefined> {
    try {
      return JSON.parse(await readFile(join(this.dataDir, 'ready.json'), 'utf8')) as ReadyFile;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** The last that the supervisor and its apps have printed. */
  get output(): string {
    return this.#output;
  }

  /** Asks the stack to drain and stop, as Ctrl-C does; resolves with the supervisor's exit code, `null` when it had to be killed. */
  async stop(): Promise<number | null> {
    this.#supervisor.kill('SIGINT');
    const timer = setTimeout(() => this.#supervisor.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const code = await this.#exited;
    clearTimeout(timer);
    return code;
  }
}
