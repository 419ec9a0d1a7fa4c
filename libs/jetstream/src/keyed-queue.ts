import type { Priority } from '@callboard/envelope';

/**
 * Strict order per key, parallel across keys.
 *
 * Every key has a line of its own. The first of each line may run; the next becomes ready only when the one before it has settled.
 * Ready ones are started in the order in which they became ready, high priority before normal before low, at most `concurrency`
 * at a time.
 *
 * Invariants: two items of one key never run at once (K1); items of one key run in the order in which they were pushed (K2).
 * Knows nothing of NATS, time or retries: whatever must block its key does so by not settling.
 */
export class KeyedQueue<T extends { readonly key: string; readonly priority: Priority }> {
  readonly #lines = new Map<string, Line<T>>();
  readonly #ready: Record<Priority, Fifo<T>> = { high: new Fifo(), normal: new Fifo(), low: new Fifo() };
  #running = 0;
  #stopped = false;
  #idle: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  /** `run` settles when the item is done with its key; it must not reject. */
  constructor(
    private readonly concurrency: number,
    private readonly run: (item: T) => Promise<void>,
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
    const line = this.#lines.get(item.key);
    if (line) {
      line.waiting.push(item);
    } else {
      this.#lines.set(item.key, { waiting: new Fifo() });
      this.#ready[item.priority].push(item);
      this.#start();
    }
  }

  /** Starts nothing more and forgets what waits. Resolves when nothing runs any more, for everyone who asks. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#running > 0) await (this.#idle ??= new Promise((resolve) => (this.#onIdle = resolve)));
    this.#lines.clear();
  }

  #start(): void {
    while (this.#running < this.concurrency && !this.#stopped) {
      const item = this.#ready.high.shift() ?? this.#ready.normal.shift() ?? this.#ready.low.shift();
      if (!item) return;
      this.#running += 1;
      void this.run(item).finally(() => this.#settled(item.key));
    }
  }

  #settled(key: string): void {
    this.#running -= 1;
    const next = this.#lines.get(key)?.waiting.shift();
    if (next) this.#ready[next.priority].push(next);
    else this.#lines.delete(key);
    this.#start();
    if (this.#running === 0) this.#onIdle?.();
  }
}

interface Line<T> {
  waiting: Fifo<T>;
}

/** A queue whose shift is cheap however long it is. */
class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined as T;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}
