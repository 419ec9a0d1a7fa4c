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

  /** Adds an action, or puts it in the place of the one that has its id. */
  put(definition: ActionDefinition): void {
    this.#actions.set(definition.descriptor.id, definition);
    this.#changed();
  }

  /**
   * Adds the actions of another set, and from then on does here what is done there.
   * @param onTaken told of an action that comes later under an id that is taken: it stays away
   * @throws TypeError when an id is taken already
   */
  include(part: ActionSet, onTaken: (id: string) => void): void {
    const included = new Map<string, ActionDefinition>();
    const taken = new Set<string>();
    for (const action of part) {
      this.add(action);
      included.set(action.descriptor.id, action);
    }
    part.onChange(() => {
      for (const id of [...included.keys(), ...taken]) {
        if (part.get(id)) continue;
        if (included.delete(id)) this.remove(id);
        taken.delete(id);
      }
      for (const action of part) {
        const { id } = action.descriptor;
        if (included.get(id) === action || taken.has(id)) continue;
        if (included.has(id) || !this.#actions.has(id)) {
          included.set(id, action);
          this.put(action);
        } else {
          taken.add(id);
          onTaken(id);
        }
      }
    });
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
