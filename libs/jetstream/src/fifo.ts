/** A queue whose shift is cheap however long it is. */
export class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): T | undefined {
    return this.#items[this.#head];
  }

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

  /** Moves one item to the front, behind the first `keep`. Returns whether it was there. */
  putFirst(which: (item: T) => boolean, keep: number): boolean {
    const at = this.#items.findIndex((item, index) => index >= this.#head + keep && which(item));
    if (at < 0) return false;
    const [item] = this.#items.splice(at, 1);
    this.#items.splice(this.#head + keep, 0, item as T);
    return true;
  }
}
