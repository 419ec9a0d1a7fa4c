/**
 * Which event was being worked on when a filter died: a note in the bucket of the leases, one for each partition, written before an event
 * that may have been the cause is worked on, alone. An event that has killed as many filters as are allowed is not tried again.
 */
import type { KeyValueStore } from '@callboard/jetstream';

interface Note {
  event: string;
  /** How many times the event was begun and not ended. */
  begun: number;
}

export class CrashNotes {
  constructor(private readonly store: KeyValueStore) {}

  /** Notes that an event is begun; returns how often it was before, by filters that did not live to end it. */
  async begin(partition: number, event: string): Promise<number> {
    const kept = await this.store.get(key(partition));
    const before = kept === undefined ? undefined : read(kept);
    const begun = before?.event === event ? before.begun : 0;
    await this.store.put(key(partition), Buffer.from(JSON.stringify({ event, begun: begun + 1 } satisfies Note)));
    return begun;
  }

  /** All that may have been the cause is done with. */
  async clear(partition: number): Promise<void> {
    await this.store.delete(key(partition));
  }
}

function key(partition: number): string {
  return `begun.${partition}`;
}

function read(kept: Uint8Array): Note | undefined {
  try {
    return JSON.parse(Buffer.from(kept).toString()) as Note;
  } catch {
    return undefined;
  }
}
