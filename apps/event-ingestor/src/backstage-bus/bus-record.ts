/**
 * How far a bus source is, in the bucket INGEST: what the next process needs to know if this one ends at any instant.
 *
 * Written by compare-and-set under a claim: once another process has claimed the record, this one can write no more, and knows it.
 */
import { randomUUID } from 'node:crypto';
import { encodeToken } from '@callboard/envelope';
import type { GapReason } from '@callboard/events';
import type { KeyValueStore } from '@callboard/jetstream';

/** A gap that is not told yet. */
export interface OpenGap {
  id: string;
  reason: GapReason;
  since: string;
  atMost?: number;
}

export interface BusState {
  /** `reading`: a read may be under way, or its events are not all stored. */
  state: 'idle' | 'reading';
  /** When the bus last had nothing more to give; up to here nothing is missing but what `gap` says. ISO 8601. */
  at: string;
  /** What was last subscribed to. */
  topics: readonly string[];
  gap?: OpenGap;
}

export class BusRecord {
  readonly #key: string;
  readonly #claim = randomUUID();
  #revision = 0;

  constructor(
    private readonly store: KeyValueStore,
    sourceName: string,
  ) {
    this.#key = `bus.${encodeToken(sourceName)}`;
  }

  /** What the record says, whoever wrote it; undefined when nobody did. */
  async read(): Promise<BusState | undefined> {
    const entry = await this.store.entry(this.#key);
    this.#revision = entry?.revision ?? 0;
    return entry && decode(entry.value).state;
  }

  /** Is it still as we wrote it last, or at least ours? */
  async isOurs(): Promise<boolean> {
    const entry = await this.store.entry(this.#key);
    return entry !== undefined && decode(entry.value).claim === this.#claim;
  }

  /** Writes what follows from what was last read or written. `taken` when somebody else has written since. */
  async write(state: BusState): Promise<'written' | 'taken'> {
    const value = Buffer.from(JSON.stringify({ ...state, claim: this.#claim }));
    for (;;) {
      const written =
        this.#revision === 0
          ? await this.store.create(this.#key, value)
          : await this.store.update(this.#key, value, this.#revision);
      if (written !== undefined) {
        this.#revision = written;
        return 'written';
      }
      // A write of ours whose ack was lost has moved the revision on.
      const entry = await this.store.entry(this.#key);
      if (!entry || decode(entry.value).claim !== this.#claim) return 'taken';
      this.#revision = entry.revision;
    }
  }
}

/** A record that nobody of us wrote says nothing, so anything may be missing. */
const UNREADABLE: BusState = { state: 'reading', at: new Date(0).toISOString(), topics: [] };

function decode(value: Uint8Array): { state: BusState; claim: string } {
  try {
    const { claim, ...state } = JSON.parse(Buffer.from(value).toString()) as BusState & { claim: string };
    return { state, claim };
  } catch {
    return { state: UNREADABLE, claim: '' };
  }
}
