/**
 * One app process from spawn to exit, as the supervisor sees it: it is ready when it has said so and its readiness check
 * answers, and it drains at SIGTERM.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { worthEchoing } from './echo.js';
import { messageOf } from './failure.js';
import type { Launch, Running } from './member.js';

export interface AppSpec {
  instance: string;
  /** The program, a file that Node runs. */
  main: string;
  env: NodeJS.ProcessEnv;
  /** How long it may take to drain. */
  drainMs: number;
}

export interface AppPorts {
  http?: number;
  ops: number;
}

export interface RunningApp extends Running {
  readonly ports: AppPorts;
  /** Sends it a message, if it still lives. */
  tell(message: object): void;
}

const READY_MS = 60_000;
const READY_POLL_MS = 25;
const KEPT_LINES = 40;

export async function startApp(spec: AppSpec, { onLine, onSpawn, signal }: Launch): Promise<RunningApp> {
  const child = fork(spec.main, {
    env: spec.env,
    execArgv: ['--enable-source-maps'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A process group of its own: Ctrl-C in a terminal is for the supervisor, which then drains in order.
    detached: true,
  });
  const lastLines: string[] = [];
  for (const stream of [child.stdout!, child.stderr!]) {
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > KEPT_LINES) lastLines.shift();
      const wait = onLine(line);
      if (!wait) return;
      lines.pause();
      void wait.then(() => lines.resume());
    });
  }
  let ended: string | undefined;
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve((ended = error.message)));
    child.once('close', (code, by) => resolve((ended = by ? `signal ${by}` : `exit code ${code}`)));
  });
  if (child.pid !== undefined) onSpawn(child.pid);

  const kill = () => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  const late = AbortSignal.timeout(READY_MS);
  try {
    const ports = await Promise.race([saysReady(child), exited.then((how) => Promise.reject(new Error(how)))]);
    while (!(await answersReady(ports.ops))) {
      if (ended !== undefined) throw new Error(ended);
      if (late.aborted) throw new Error(`not ready after ${READY_MS / 1000} s`);
      await delay(READY_POLL_MS);
    }
    return {
      pid: child.pid!,
      ports,
      exited,
      kill,
      tell: (message) => void (child.connected && child.send(message, () => undefined)),
      stop: async () => {
        child.kill('SIGTERM');
        const timer = setTimeout(kill, spec.drainMs);
        await exited;
        clearTimeout(timer);
      },
    };
  } catch (error) {
    kill();
    await exited;
    throw new Error(`${spec.instance} did not start (${messageOf(error)}): ${lastWords(lastLines)}`, { cause: error });
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

function saysReady(child: ChildProcess): Promise<AppPorts> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: { type?: string; ports?: AppPorts }) => {
      if (message.type === 'ready' && message.ports) resolve(message.ports);
    });
    setTimeout(() => reject(new Error(`not ready after ${READY_MS / 1000} s`)), READY_MS).unref();
  });
}

/** Of a process that has failed: the message of its error, or else the last that it said. */
function lastWords(lines: string[]): string {
  const from = lines.findIndex((line) => /^\w*Error\b/.test(line));
  if (from < 0) return lines.at(-1) ?? 'it said nothing';
  const trace = lines.findIndex((line, i) => i > from && /^\s+at /.test(line));
  const message = lines.slice(from, trace < 0 ? undefined : trace);
  return message.map((line) => worthEchoing(line)?.trim() ?? '').join(' ');
}

async function answersReady(port: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
