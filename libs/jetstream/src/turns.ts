import { Fifo } from './fifo.js';

/**
 * First in, first out for each owner, and owners in turn: who has a thousand entries waits for one with a single one as that waits for him.
 * An owner that comes anew has the last turn.
 */
export class Turns<T extends { readonly owner: string }> {
  /** In the order of their turns. */
  readonly #owners = new Map<string, Fifo<T>>();

  /** Of whoever's turn it is. */
  get first(): T | undefined {
    for (const entries of this.#owners.values()) return entries.first;
    return undefined;
  }

  push(entry: T): void {
    const entries = this.#owners.get(entry.owner);
    if (entries) return entries.push(entry);
    const first = new Fifo<T>();
    first.push(entry);
    this.#owners.set(entry.owner, first);
  }

  /** Takes the first, and with it its owner's turn. */
  shift(): T | undefined {
    for (const [owner, entries] of this.#owners) {
      const entry = entries.shift();
      this.#owners.delete(owner);
      if (entries.length > 0) this.#owners.set(owner, entries);
      return entry;
    }
    return undefined;
  }

  /** Takes the first away, which counts no more; it is its owner's turn still. */
  drop(): void {
    for (const [owner, entries] of this.#owners) {
      entries.shift();
      if (entries.length === 0) this.#owners.delete(owner);
      return;
    }
  }
}
