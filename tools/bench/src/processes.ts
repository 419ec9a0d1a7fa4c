/**
 * What processes cost, read from /proc. On systems without it every figure is simply absent.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** USER_HZ: fixed at 100 for programs, whatever the kernel's own tick. */
const TICK_MS = 10;
const SAMPLE_MS = 500;
/** Parent of all kernel threads. */
const KTHREADD = 2;

interface ProcessTimes {
  parent: number;
  cpuMs: number;
}

/** User and system time that a process has had so far. */
export function cpuMsOf(pid: number): number | undefined {
  return read(pid)?.cpuMs;
}

/** The same of several, by name; NaN where it cannot be read. */
export function cpuMsOfEach(pids: { [name: string]: number }): { [name: string]: number } {
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuMsOf(pid) ?? NaN]));
}

/** What a process has in memory now. */
export function rssBytesOf(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/** The processor time of a process and all its living descendants together, for servers that are several processes. */
export function cpuMsOfTree(root: number): number {
  const processes = readAll();
  let sum = 0;
  for (const [pid, { cpuMs }] of processes) if (isBelow(root, pid, processes)) sum += cpuMs;
  return sum;
}

function read(pid: number): ProcessTimes | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
  } catch {
    return undefined;
  }
}

/** Watches which share of all cores others use (processes that are no descendants of this one, and the hypervisor). */
export class OthersWatch {
  readonly #seen = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #machineAtStart = machineMs();
  #othersMs = 0;

  constructor() {
    this.#sample(true);
    this.#timer = setInterval(() => this.#sample(false), SAMPLE_MS).unref();
  }

  /** Ends the watch. The share is between 0 and 1; absent where there is no /proc. */
  stop(): number | undefined {
    clearInterval(this.#timer);
    this.#sample(false);
    const now = machineMs();
    if (!now || !this.#machineAtStart) return undefined;
    const all = now.all - this.#machineAtStart.all;
    return all > 0 ? (this.#othersMs + now.stolen - this.#machineAtStart.stolen) / all : undefined;
  }

  #sample(first: boolean): void {
    const processes = readAll();
    for (const [pid, { cpuMs }] of processes) {
      // What the kernel writes to disk for us is no disturbance.
      if (isBelow(process.pid, pid, processes) || isBelow(KTHREADD, pid, processes)) continue;
      const before = this.#seen.get(pid) ?? (first ? cpuMs : 0);
      this.#othersMs += cpuMs - before;
      this.#seen.set(pid, cpuMs);
    }
  }
}

function isBelow(root: number, pid: number, processes: Map<number, ProcessTimes>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 1; at = processes.get(at)?.parent) {
    if (at === root) return true;
  }
  return false;
}

function readAll(): Map<number, ProcessTimes> {
  const processes = new Map<number, ProcessTimes>();
  for (const name of listProc()) {
    if (!/^\d+$/.test(name)) continue;
    const times = read(Number(name));
    if (times) processes.set(Number(name), times);
  }
  return processes;
}

function listProc(): string[] {
  try {
    return readdirSync('/proc');
  } catch {
    return [];
  }
}

function machineMs(): { all: number; stolen: number } | undefined {
  try {
    const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
    return { all: ticks.reduce((sum, value) => sum + value, 0) * TICK_MS, stolen: (ticks[7] ?? 0) * TICK_MS };
  } catch {
    return undefined;
  }
}
