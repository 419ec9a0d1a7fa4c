/**
 * Processes that a bench starts for itself: forked with an IPC channel, ready when they say so, gone when the bench is.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const READY_MS = 30_000;
const STOP_MS = 15_000;
const KEPT_CHARS = 16 * 1024;

export class Child<Ready> {
  #output = '';

  private constructor(
    readonly process: ChildProcess,
    private readonly name: string,
  ) {
    for (const stream of [process.stdout!, process.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-KEPT_CHARS);
      });
    }
  }

  ready!: Ready;

  get pid(): number {
    return this.process.pid!;
  }

  /** Starts `module` (a URL) and waits for its first message of type `ready`. */
  static async start<Ready>(name: string, module: URL, env: NodeJS.ProcessEnv = {}): Promise<Child<Ready>> {
    const forked = fork(fileURLToPath(module), [], { env: { ...process.env, ...env }, silent: true });
    const child = new Child<Ready>(forked, name);
    child.ready = (await child.receive('ready', READY_MS)) as Ready;
    return child;
  }

  /** Sends a message and waits for the answer of that type. */
  async ask<Answer>(message: object, answerType: string, timeoutMs: number): Promise<Answer> {
    const answer = this.receive(answerType, timeoutMs);
    this.process.send(message);
    return (await answer) as Answer;
  }

  receive(type: string, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => {
        clearTimeout(timer);
        this.process.off('message', onMessage);
        this.process.off('exit', onExit);
        settled();
      };
      const fail = (why: string) =>
        settle(() => reject(new Error(`${this.name} ${why}; it said:\n${this.#output || '(nothing)'}`)));
      const onMessage = (message: { type?: string }) => {
        if (message.type === type) settle(() => resolve(message));
      };
      const onExit = (code: number | null) => fail(`ended with ${code}`);
      const timer = setTimeout(() => fail(`did not say ${type} in ${timeoutMs / 1000} s`), timeoutMs);
      this.process.on('message', onMessage);
      this.process.once('exit', onExit);
    });
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(timer);
  }
}
