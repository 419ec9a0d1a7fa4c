import type { Priority } from '@callboard/envelope';
import { Fifo } from './fifo.js';
import { Turns } from './turns.js';

export interface KeyedQueueOptions {
  /** Items that run at once. */
  concurrency: number;
  /** A key that could run and has waited so long for others goes before them, in turns. */
  starvationMs: number;
}

/** What `run` says when its item is not done: it is to be run again when `again` has resolved, and its key waits meanwhile. */
export interface Again {
  again: Promise<unknown>;
}

/** What stands in a line. All items of a key have one owner. */
export interface Queued {
  readonly key: string;
  readonly owner: string;
  readonly priority: Priority;
}

/**
 * Strict order per key, parallel across keys.
 *
 * Every key has a line of its own. The first of each line may run; the next becomes ready only when the one before it is done. A
 * line counts with the highest priority of all that stands in it, so an urgent item hurries those before it in its key and overtakes
 * none of them. Ready lines are started high before normal before low; within a priority their owners take turns, and those of one owner
 * start in the order in which they became ready. But of the lines whose turn it is, one that has waited for `starvationMs` takes every second start.
 *
 * Invariants: two items of one key never run at once (K1); items of one key run in the order in which they were pushed (K2), but for
 * what is put first on purpose. Knows nothing of NATS, retries or outcomes.
 */
export class KeyedQueue<T extends Queued> {
  readonly #lines = new Map<string, Line<T>>();
  readonly #ready: Record<Priority, Turns<Ready<T>>> = { high: new Turns(), normal: new Turns(), low: new Turns() };
  #running = 0;
  #stopped = false;
  #overdueHadTurn = false;
  #idle: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  /** `run` must not reject. */
  constructor(
    private readonly options: KeyedQueueOptions,
    private readonly run: (item: T) => Promise<Again | void>,
  ) {}

  get running(): number {
    return this.#running;
  }

  /** Keys with something waiting or running. */
  get keys(): number {
    return this.#lines.size;
  }

  push(item: T): void {
    if (this.#stopped) return;
    let line = this.#lines.get(item.key);
    if (line) {
      line.add(item);
      if (line.state === 'ready' && RANK[item.priority] > RANK[line.readyAs]) this.#queueUp(line);
    } else {
      line = new Line(item);
      this.#lines.set(item.key, line);
      this.#makeReady(line);
    }
    this.#start();
  }

  /** Puts an item of a line before all that have not begun. Returns whether there was one. */
  putFirst(key: string, which: (item: T) => boolean): boolean {
    const line = this.#lines.get(key);
    if (!line?.items.putFirst(which, line.state === 'running' ? 1 : 0)) return false;
    if (line.state === 'running') line.beforeRunning = which;
    // What the line waited for was its first item's, which is another now.
    if (line.state === 'waiting') this.#makeReady(line);
    this.#start();
    return true;
  }

  /** Gives the place of a running item to others while it waits for something outside. */
  async rest<R>(until: Promise<R>): Promise<R> {
    this.#running -= 1;
    this.#start();
    try {
      return await until;
    } finally {
      this.#running += 1;
    }
  }

  /** Starts nothing more and forgets what waits. Resolves when nothing runs any more, for everyone who asks. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#active() > 0) await (this.#idle ??= new Promise((resolve) => (this.#onIdle = resolve)));
    this.#lines.clear();
  }

  #active(): number {
    let active = 0;
    for (const { state } of this.#lines.values()) if (state === 'running') active += 1;
    return active;
  }

  #makeReady(line: Line<T>): void {
    line.state = 'ready';
    line.readySince = performance.now();
    this.#queueUp(line);
  }

  /** Where it stood before it is passed over. */
  #queueUp(line: Line<T>): void {
    line.readyAs = line.priority;
    line.ticket += 1;
    this.#ready[line.readyAs].push({ line, ticket: line.ticket, owner: line.items.first!.owner });
  }

  #start(): void {
    while (this.#running < this.options.concurrency && !this.#stopped) {
      const line = this.#next();
      if (!line) return;
      line.state = 'running';
      this.#running += 1;
      void this.run(line.items.first!).then((said) => this.#settled(line, said));
    }
  }

  #next(): Line<T> | undefined {
    const overdue = this.#overdueHadTurn ? undefined : this.#overdue();
    this.#overdueHadTurn = overdue !== undefined;
    const priority = overdue ?? PRIORITIES.find((each) => this.#firstReady(each));
    return priority && this.#ready[priority].shift()!.line;
  }

  /** The priority whose first in turn has waited longest, and too long, if there is one. */
  #overdue(): Priority | undefined {
    const low = this.#firstReady('low')?.readySince ?? Infinity;
    const normal = this.#firstReady('normal')?.readySince ?? Infinity;
    const since = Math.min(low, normal);
    if (since === Infinity || performance.now() - since < this.options.starvationMs) return undefined;
    return since === low ? 'low' : 'normal';
  }

  #firstReady(priority: Priority): Line<T> | undefined {
    const queue = this.#ready[priority];
    for (let entry = queue.first; entry; entry = queue.first) {
      if (entry.ticket === entry.line.ticket && entry.line.state === 'ready') return entry.line;
      queue.drop();
    }
    return undefined;
  }

  #settled(line: Line<T>, said: Again | void): void {
    this.#running -= 1;
    const { key } = line.items.first!;
    const before = line.beforeRunning;
    line.beforeRunning = undefined;
    if (said && before && line.items.putFirst(before, 0)) {
      // Put before it while it was asked, and it has not begun.
      this.#makeReady(line);
    } else if (said) {
      line.state = 'waiting';
      const wait = ++line.waits;
      void said.again.then(() => {
        if (this.#stopped || line.state !== 'waiting' || line.waits !== wait) return;
        this.#makeReady(line);
        this.#start();
      });
    } else {
      line.remove();
      if (line.items.length > 0) this.#makeReady(line);
      else this.#lines.delete(key);
    }
    this.#start();
    if (this.#onIdle && this.#active() === 0) this.#onIdle();
  }
}

const PRIORITIES = ['high', 'normal', 'low'] as const;
const RANK: Record<Priority, number> = { high: 2, normal: 1, low: 0 };

interface Ready<T extends Queued> {
  owner: string;
  line: Line<T>;
  ticket: number;
}

class Line<T extends Queued> {
  readonly items = new Fifo<T>();
  state: 'ready' | 'running' | 'waiting' = 'ready';
  readyAs: Priority = 'normal';
  readySince = 0;
  /** Only the entry that was made last counts. */
  ticket = 0;
  /** Only what it waits for now counts. */
  waits = 0;
  /** What was put before all that have not begun while the first of the line ran; it goes before that too if that waits. */
  beforeRunning: ((item: T) => boolean) | undefined;
  readonly #count: Record<Priority, number> = { high: 0, normal: 0, low: 0 };

  constructor(item: T) {
    this.add(item);
  }

  get priority(): Priority {
    return this.#count.high > 0 ? 'high' : this.#count.normal > 0 ? 'normal' : 'low';
  }

  add(item: T): void {
    this.items.push(item);
    this.#count[item.priority] += 1;
  }

  remove(): void {
    this.#count[this.items.shift()!.priority] -= 1;
  }
}
