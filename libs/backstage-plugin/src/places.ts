/** A number of places; who finds none free waits, and is served in the order of asking. */
export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves with a place taken; call what it returns to give it back. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return () => {
      // Handed on, not freed: nobody who comes now overtakes who has waited.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    };
  }
}
