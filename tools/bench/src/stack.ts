/**
 * A whole stack as a user starts it: `callboard up` in a process of its own, known from outside by its `ready.json` alone.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface ReadyFile {
  mcp_url: string;
  token: string;
  processes: { [process: string]: number[] };
}

const CALLBOARD = fileURLToPath(new URL('../../../apps/cli/bin/callboard.js', import.meta.url));
const START_MS = 60_000;
const STOP_MS = 30_000;
const POLL_MS = 100;
const KEPT_CHARS = 16 * 1024;

export class Stack {
  #output = '';
  readonly #supervisor: ChildProcess;
  readonly #exited: Promise<void>;
  ready!: ReadyFile;

  private constructor(
    private readonly dataDir: string,
    env: NodeJS.ProcessEnv,
  ) {
    this.#supervisor = spawn(process.execPath, [CALLBOARD, 'up', '--port', '0', '--data-dir', dataDir], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#supervisor.stdout!, this.#supervisor.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-KEPT_CHARS);
      });
    }
    this.#exited = new Promise((resolve) => this.#supervisor.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#supervisor.pid!;
  }

  static async start(dataDir: string, env: NodeJS.ProcessEnv): Promise<Stack> {
    const stack = new Stack(dataDir, env);
    const deadline = Date.now() + START_MS;
    for (;;) {
      const ready = await readReady(stack.dataDir);
      if (ready) {
        stack.ready = ready;
        return stack;
      }
      const ended = await Promise.race([stack.#exited.then(() => true), sleep(POLL_MS, false)]);
      if (ended || Date.now() > deadline) {
        await stack.stop();
        throw new Error(`the stack ${ended ? 'ended' : 'was not ready in time'}; it said:\n${stack.#output}`);
      }
    }
  }

  async stop(): Promise<void> {
    this.#supervisor.kill('SIGINT');
    const timer = setTimeout(() => this.#supervisor.kill('SIGKILL'), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

async function readReady(dataDir: string): Promise<ReadyFile | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDir, 'ready.json'), 'utf8')) as ReadyFile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
