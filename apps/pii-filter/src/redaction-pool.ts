/**
 * Threads that redact, each with a bounded heap, each one event at a time. A thread that takes too long is ended and replaced; one that dies
 * or runs out of memory takes its event with it and no other.
 *
 * Whether an event can be redacted should not depend on the machine's bad moments, so what timed out or crashed is tried a second time.
 * What an error says is not looked at: it may quote the event.
 */
import { Piscina } from 'piscina';
import type { Verdict } from './judge-event.js';
import type { RawEvent } from './raw-event.js';
import type { CommonRules, RedactionTask } from './redaction-worker.js';

export interface PoolOptions {
  workers: number;
  workerHeapMb: number;
  timeoutMs: number;
  /** The program of a thread; other than ours in specs. */
  filename?: string;
  /** A thread was lost, and is replaced. */
  onLost(reason: 'timed_out' | 'filter_crashed'): void;
}

export interface Judged {
  verdict: Verdict;
  attempts: number;
}

const ATTEMPTS = 2;
const YOUNG_HEAP_MB = 32;
/** Deep recursion fails before the stack does, in every thread at the same depth. */
const STACK_MB = 4;

export class RedactionPool {
  readonly #pool: Piscina<RedactionTask, Verdict>;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(
    rules: CommonRules,
    private readonly options: PoolOptions,
  ) {
    const { workers, workerHeapMb, filename = new URL('./redaction-worker.js', import.meta.url).href } = options;
    this.#free = workers;
    this.#pool = new Piscina({
      filename,
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: {
        maxOldGenerationSizeMb: workerHeapMb,
        maxYoungGenerationSizeMb: YOUNG_HEAP_MB,
        stackSizeMb: STACK_MB,
      },
      workerData: rules,
    });
    // Of a thread that dies without a task; it is replaced like the others.
    this.#pool.on('error', () => options.onLost('filter_crashed'));
  }

  /**
   * Always settles with a verdict.
   * @param key of the event's tenant
   */
  async judge(event: RawEvent, key: Uint8Array): Promise<Judged> {
    const task = { event, key: Buffer.from(key).toString('base64') };
    for (let attempts = 1; ; attempts++) {
      const verdict = await this.#once(task);
      const isFinal = verdict.ok || (verdict.reason !== 'timed_out' && verdict.reason !== 'filter_crashed');
      if (isFinal || attempts === ATTEMPTS) return { verdict, attempts };
    }
  }

  async close(): Promise<void> {
    await this.#pool.close({ force: false });
  }

  /** No more than there are threads, so that an event's time does not pass while it waits for one. */
  async #once(task: Omit<RedactionTask, 'begun'>): Promise<Verdict> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await this.#inThread(task);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  async #inThread(task: Omit<RedactionTask, 'begun'>): Promise<Verdict> {
    const begun = new Int32Array(new SharedArrayBuffer(4));
    const late = new AbortController();
    const arm = (): NodeJS.Timeout =>
      setTimeout(() => {
        // A thread that is still starting has not begun.
        if (Atomics.load(begun, 0) === 0) timer = arm();
        else late.abort();
      }, this.options.timeoutMs);
    let timer = arm();
    try {
      return await this.#pool.run({ ...task, begun }, { signal: late.signal });
    } catch {
      const reason = late.signal.aborted ? 'timed_out' : 'filter_crashed';
      this.options.onLost(reason);
      return { ok: false, reason };
    } finally {
      clearTimeout(timer);
    }
  }
}
