/** Strict order per key, parallel across keys: work of a key begins when all that was asked for before it, of that key, has ended. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Keys with work that waits or runs. */
  get keys(): number {
    return this.#last.size;
  }

  /** Runs the work when it is its turn; settles as the work does. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const running = before ? before.then(work) : work();
    const ended = running.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, ended);
    try {
      return await running;
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    }
  }
}
