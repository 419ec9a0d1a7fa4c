import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A process, told from a later one that was given the same id. */
export interface ProcessIdentity {
  pid: number;
  /** When it began, in the system's own notation. */
  since: string;
}

const POLL_MS = 50;

export function identify(pid: number): ProcessIdentity {
  return { pid, since: beginningOf(pid) ?? 'ended' };
}

/** Does exactly this process still run? */
export function isRunning({ pid, since }: ProcessIdentity): boolean {
  return beginningOf(pid) === since;
}

/** Ends a process that nobody watches any more: asks first, then insists. */
export async function endProcess(process_: ProcessIdentity, graceMs: number): Promise<void> {
  for (const [signal, limitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 5_000],
  ] as const) {
    if (!isRunning(process_)) return;
    process.kill(process_.pid, signal);
    const until = Date.now() + limitMs;
    while (isRunning(process_) && Date.now() < until) await delay(POLL_MS);
  }
}

function beginningOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // After the name, which is in brackets and may hold anything: state is the first field, start time the 20th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
