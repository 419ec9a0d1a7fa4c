/** One at a time, in the order of asking. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when it is the caller's turn, with the function that ends it. */
  async begin(): Promise<() => void> {
    let end!: () => void;
    const before = this.#last;
    this.#last = new Promise((resolve) => (end = resolve));
    await before;
    return end;
  }
}
