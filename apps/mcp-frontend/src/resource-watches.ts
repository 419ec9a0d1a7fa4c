/**
 * What one connected client is told of the events and sagas that it subscribed to as resources: that a URI was updated, no more. Of each URI
 * one notification waits at most, however much happens and however slowly the client reads; it reads all of it afterwards.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Principal } from '@callboard/access';
import type { EventResources } from './events/event-resources.js';
import { isEventUri } from './events/event-uri.js';
import { isOurUri } from './listing.js';
import type { SagaResources } from './sagas/saga-resources.js';

/** A client that reads at once is told of one URI so often at most. */
const PACE_MS = 100;

/** How a client is reached. */
export interface Reached {
  /** Resolves when what was sent before is read, or nothing can be sent any more. */
  ready(): Promise<void>;
  /** @param position every event up to here was told of when the last of these is */
  updated(uris: string[], position: number): void;
}

export class ResourceWatches {
  readonly #watches = new Map<string, () => void>();
  readonly #pending = new Set<string>();
  #telling = false;
  #closed = false;

  constructor(
    private readonly events: Pick<EventResources, 'mayHaveSince' | 'position' | 'told' | 'watch'>,
    private readonly sagas: Pick<SagaResources, 'watch'>,
    private readonly principal: Principal,
    private readonly client: Reached,
  ) {}

  /** Follows exactly the URIs of events and of sagas among these. `since` tells what was told of events that were not followed before. */
  follow(uris: Iterable<string>, since: (uri: string) => number | undefined): void {
    const wanted = new Set([...uris].filter(isOurUri));
    for (const [uri, end] of this.#watches) {
      if (wanted.has(uri)) continue;
      end();
      this.#watches.delete(uri);
      this.#pending.delete(uri);
    }
    for (const uri of wanted) {
      if (this.#closed || this.#watches.has(uri)) continue;
      const onUpdated = () => this.#updated(uri);
      if (!isEventUri(uri)) {
        this.#watches.set(uri, this.sagas.watch(this.principal, uri, onUpdated));
        continue;
      }
      // Listens before it looks back: nothing comes in between.
      this.#watches.set(uri, this.events.watch(this.principal, uri, onUpdated));
      if (this.events.mayHaveSince(this.principal, uri, since(uri))) this.#updated(uri);
    }
  }

  close(): void {
    this.#closed = true;
    this.follow([], () => undefined);
  }

  #updated(uri: string): void {
    this.#pending.add(uri);
    if (!this.#telling) void this.#tell();
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    while (this.#pending.size > 0 && !this.#closed) {
      await this.client.ready();
      if (this.#closed) break;
      const uris = [...this.#pending];
      this.#pending.clear();
      this.client.updated(uris, this.events.position);
      for (const uri of uris) if (isEventUri(uri)) this.events.told();
      await delay(PACE_MS, undefined, { ref: false });
    }
    this.#telling = false;
  }
}
