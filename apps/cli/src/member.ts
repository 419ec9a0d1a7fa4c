/**
 * A place in the stack that one process fills at a time: the process is started, watched, and replaced when it dies, after a
 * pause that grows while it keeps dying. Its name and its ports stay with the place.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** A process that is ready. */
export interface Running {
  readonly pid: number;
  /** Settles when the process has ended, whoever ended it, with how. Never rejects. */
  readonly exited: Promise<string>;
  /** Ends it in order, and settles when it has ended. */
  stop(): Promise<void>;
  kill(): void;
}

/** What the start of a process is given. */
export interface Launch {
  /** Each line that it prints; a promise asks to wait with the next one. */
  onLine(line: string): void | Promise<void>;
  onSpawn(pid: number): void;
  /** Ends a start that is under way. */
  signal: AbortSignal;
}

export interface MemberHooks {
  onDeath(how: string, restartInMs: number): void;
  onStartFailed(error: unknown, restartInMs: number): void;
  onReplaced(): void;
}

const FIRST_PAUSE_MS = 100;
/**
 * Long enough that a process which can never run costs little, and short against the time a started one runs: with ten seconds a
 * stack whose apps are killed every two seconds came to have most of them waiting, and the rest killed the more often for it.
 */
const LONGEST_PAUSE_MS = 2_000;
/** A process that was ready for this long has left its trouble behind. */
const STEADY_MS = 5_000;

export class Member<T extends Running = Running> {
  #running: T | undefined;
  #ended = true;
  #keeping: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  constructor(
    private readonly launch: (signal: AbortSignal) => Promise<T>,
    private readonly hooks: MemberHooks,
  ) {}

  /** Starts it for the first time. Throws when that fails: what never worked is not tried for ever. */
  async begin(): Promise<void> {
    this.#running = await this.launch(this.#stopping.signal);
    if (this.#stopping.signal.aborted) {
      await this.#running.stop();
      return;
    }
    this.#ended = false;
    this.#keeping = this.#keep(this.#running);
  }

  /** The process of now, or the last one while there is none. */
  get running(): T | undefined {
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#running && !this.#ended) await this.#running.stop();
    await this.#keeping;
  }

  kill(): void {
    this.#stopping.abort();
    this.#running?.kill();
  }

  async #keep(first: T): Promise<void> {
    const { signal } = this.#stopping;
    let pauseMs = FIRST_PAUSE_MS;
    for (let running: T | undefined = first; ;) {
      if (running) {
        const readyAt = Date.now();
        const how: string = await running.exited;
        this.#ended = true;
        if (signal.aborted) return;
        if (Date.now() - readyAt > STEADY_MS) pauseMs = FIRST_PAUSE_MS;
        this.hooks.onDeath(how, pauseMs);
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      try {
        running = this.#running = await this.launch(signal);
        if (signal.aborted) {
          await running.stop();
          return;
        }
        this.#ended = false;
        this.hooks.onReplaced();
      } catch (error) {
        running = undefined;
        if (signal.aborted) return;
        this.hooks.onStartFailed(error, pauseMs);
      }
    }
  }
}
