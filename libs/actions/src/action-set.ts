import type { ActionDefinition } from './define-action.js';

/**
 * The actions that one service serves. It can change while the service runs: who announces the set hears of it, and so, through
 * the registry, does every client.
 */
export class ActionSet {
  readonly #actions = new Map<string, ActionDefinition>();
  readonly #listeners = new Set<() => void>();

  constructor(definitions: Iterable<ActionDefinition> = []) {
    for (const definition of definitions) this.add(definition);
  }

  /** @throws TypeError when an action of that id is already there: two handlers for one name is a mistake in the service. */
  add(definition: ActionDefinition): void {
    const { id } = definition.descriptor;
    if (this.#actions.has(id)) throw new TypeError(`action "${id}" is defined twice`);
    this.#actions.set(id, definition);
    this.#changed();
  }

  remove(id: string): boolean {
    const removed = this.#actions.delete(id);
    if (removed) this.#changed();
    return removed;
  }

  get(id: string): ActionDefinition | undefined {
    return this.#actions.get(id);
  }

  [Symbol.iterator](): Iterator<ActionDefinition> {
    return this.#actions.values();
  }

  /** Returns a function that ends the subscription. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
