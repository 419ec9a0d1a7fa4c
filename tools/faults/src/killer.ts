/**
 * Kills processes of one stack with SIGKILL: an app at every tick, nats-server and Backstage when the load has come as far as the plan says.
 * Every second tick is for a node of a cluster, where there is one: in turns the one that leads, and any. Never two at a time.
 *
 * Which app, and when the others, are the seed's choices. It kills nothing but what the stack's own `ready.json` names, and no
 * process twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestStack } from '@callboard/testing';
import type { Kill } from './history.js';
import type { Random } from './random.js';

export interface KillPlan {
  everyMs: number;
  natsKills: number;
  backstageKills?: number;
  /** Which apps: those whose death can do harm to what is being checked. */
  apps: readonly string[];
  /** Of a cluster: the place of the node that leads the command stream, where somebody knows. */
  leader?: () => Promise<number | undefined>;
}

/** Not killed at every tick: while they are gone, little else can go wrong. */
const NODE = 'nats-server';
const OTHERS = [NODE, 'backstage'];

const WATCH_MS = 50;
/** Processes that are down at once: where starting one takes long, more would only be killed while they start. */
const MOST_DOWN = 2;
const REPAIR_TIMEOUT_MS = 60_000;

export class Killer {
  readonly kills: Kill[] = [];
  readonly #killed = new Set<number>();
  readonly #others: { process: string; at: number }[];
  readonly #stop = new AbortController();
  #ticks = 0;
  #nodes = 0;

  constructor(
    private readonly stack: TestStack,
    private readonly plan: KillPlan,
    private readonly random: Random,
    /** How much of the load is done, from 0 to 1. */
    private readonly progress: () => number,
  ) {
    const planned = [plan.natsKills, plan.backstageKills ?? 0];
    this.#others = OTHERS.flatMap((process, i) =>
      Array.from({ length: planned[i]! }, () => ({ process, at: random.between(0.1, 0.9) })),
    ).sort((a, b) => a.at - b.at);
  }

  /** Kills until it is stopped. */
  async run(): Promise<void> {
    let nextAt = Date.now() + this.plan.everyMs;
    while (!this.#stop.signal.aborted) {
      await this.#watch();
      if (Date.now() >= nextAt && this.#open().length < MOST_DOWN) {
        nextAt = Math.max(nextAt + this.plan.everyMs, Date.now());
        await this.#killApp();
      }
      if (this.#others.length > 0 && this.progress() >= this.#others[0]!.at) {
        await this.#killOther(this.#others.shift()!.process);
      }
      await sleep(WATCH_MS);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Resolves when everything that was killed has been replaced. @throws Error naming what was not. */
  async repaired(): Promise<void> {
    const deadline = Date.now() + REPAIR_TIMEOUT_MS;
    for (;;) {
      await this.#watch();
      const missing = this.#open();
      if (missing.length === 0) return;
      if (Date.now() > deadline) {
        throw new Error(
          `not replaced after a kill: ${missing.map(({ process, pid }) => `${process} ${pid}`).join(', ')}`,
        );
      }
      await sleep(WATCH_MS);
    }
  }

  async #killApp(): Promise<void> {
    if (this.plan.leader && this.#ticks++ % 2 === 0 && (await this.#killNode(this.plan.leader))) return;
    const apps = (await this.#living()).filter(({ process }) => this.plan.apps.includes(process));
    if (apps.length > 0) this.#kill(this.random.pick(apps));
  }

  /** @returns whether one was killed: while another is away, those that are left are all that the streams have. */
  async #killNode(leader: () => Promise<number | undefined>): Promise<boolean> {
    if (this.#open().some(({ process }) => process === NODE)) return false;
    const pids = (await this.stack.readReady()).processes[NODE]!;
    const place = this.#nodes++ % 2 === 0 ? await leader() : undefined;
    const pid = place === undefined ? this.random.pick(pids) : pids[place]!;
    if (this.#killed.has(pid)) return false;
    this.#kill({ process: NODE, pid, node: true, ...(place !== undefined && { leader: true }) });
    return true;
  }

  async #killOther(name: string): Promise<void> {
    const [found] = (await this.#living()).filter(({ process }) => process === name);
    if (found) this.#kill(found);
  }

  #kill(target: Pick<Kill, 'process' | 'pid' | 'node' | 'leader'>): void {
    this.#killed.add(target.pid);
    try {
      process.kill(target.pid, 'SIGKILL');
    } catch (error) {
      // It ended by itself, which is for the supervisor to repair and not a kill of ours.
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    this.kills.push({ at: Date.now(), ...target });
  }

  async #living(): Promise<{ process: string; pid: number }[]> {
    const ready = await this.stack.readReady();
    return Object.entries(ready.processes)
      .flatMap(([process, pids]) => pids.map((pid) => ({ process, pid })))
      .filter(({ pid }) => !this.#killed.has(pid));
  }

  #open(): Kill[] {
    return this.kills.filter(({ replacedAt }) => replacedAt === undefined);
  }

  /** A kill is repaired when the ready file names no killed process of that kind any more, and as many as before. */
  async #watch(): Promise<void> {
    const open = this.#open();
    if (open.length === 0) return;
    const ready = await this.stack.readReady();
    for (const kill of open) {
      const pids = ready.processes[kill.process] ?? [];
      const whole = pids.length === this.stack.ready.processes[kill.process]?.length;
      if (whole && !pids.includes(kill.pid)) kill.replacedAt = Date.now();
    }
  }
}
