import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestNats } from './test-nats.js';

/** An app in a process of its own, as the supervisor starts it. */
export interface TestApp {
  process: ChildProcess;
  opsPort: number;
  /** What it has printed. */
  output(): string;
  metrics(): Promise<string>;
  /** Ends it as the supervisor does, and resolves with its exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
}

/** @throws Error with what it printed, when it ends before it is ready. */
export async function startApp(
  nats: TestNats,
  { app, main, instance }: { app: string; main: URL; instance: string },
  env: NodeJS.ProcessEnv,
): Promise<TestApp> {
  const child = fork(main, {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile(app),
      CALLBOARD_INSTANCE: instance,
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  const ready = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
  if (!ready) throw new Error(`${app} did not start:\n${output}`);
  const [{ ports }] = ready as [{ ports: { ops: number } }];
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    process: child,
    opsPort: ports.ops,
    output: () => output,
    metrics: async () => (await fetch(`http://127.0.0.1:${ports.ops}/metrics`)).text(),
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
  };
}
