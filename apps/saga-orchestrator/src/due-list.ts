/**
 * Times at which something is to be told, to within a twentieth of a second. One interval serves all of them: a saga has a deadline that nearly
 * always is taken back, and a timer of Node's for each would cost more than the rest of it.
 *
 * Nothing is stored for a time: it follows from the journal, so whoever owns the saga then knows it.
 */
const SLOT_MS = 50;

export interface Due {
  cancel(): void;
}

interface Entry extends Due {
  readonly fire: () => void;
}

export class DueList {
  readonly #slots = new Map<number, Set<Entry>>();
  readonly #interval: NodeJS.Timeout;
  #passed = slotOf(Date.now());

  constructor() {
    this.#interval = setInterval(() => this.#pass(), SLOT_MS);
  }

  /** `at` in milliseconds since 1970; what is past is due at once. */
  add(at: number, fire: () => void): Due {
    const slot = Math.max(slotOf(at) + 1, this.#passed + 1);
    const entries = this.#slots.get(slot) ?? new Set<Entry>();
    this.#slots.set(slot, entries);
    const entry: Entry = {
      fire,
      cancel: () => {
        entries.delete(entry);
        if (entries.size === 0 && this.#slots.get(slot) === entries) this.#slots.delete(slot);
      },
    };
    entries.add(entry);
    return entry;
  }

  stop(): void {
    clearInterval(this.#interval);
    this.#slots.clear();
  }

  #pass(): void {
    const now = slotOf(Date.now());
    // A process that was frozen has many to catch up with: then what there is is looked through instead.
    const slots = now - this.#passed > this.#slots.size ? [...this.#slots.keys()] : range(this.#passed + 1, now);
    this.#passed = Math.max(this.#passed, now);
    for (const slot of slots) {
      if (slot > now) continue;
      const entries = this.#slots.get(slot);
      if (!entries) continue;
      this.#slots.delete(slot);
      for (const entry of entries) entry.fire();
    }
  }
}

function slotOf(at: number): number {
  return Math.floor(at / SLOT_MS);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}
