/**
 * Ordering keys that stand still: a command of theirs became a dead letter, its action says that nothing of the key may follow
 * before an operator has decided, and nobody has. Redriving names the command that goes first (`resume_with`); discarding takes the
 * halt away.
 *
 * The key goes on when that command has ended. Whoever ran it says so, but may die between the outcome and that; and a command that is ended
 * from outside was run by nobody. So whoever has a key that waits asks for the outcome as well (`releaseIfEnded`).
 */
import { decodeToken, encodeToken } from '@callboard/envelope';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore, type KeyWatch } from './key-value-store.js';
import { BUCKET } from './topology.js';

export interface Halt {
  /** The command that gave up. */
  correlation_id: string;
  /** Id of its action. */
  action: string;
  /** Since when, ISO 8601, UTC. */
  at: string;
  /** The only command of the key that may run. */
  resume_with?: string;
}

/** Key of a halt in the bucket: `<tenant>.<ordering key>`, as subject tokens. */
export function haltKey(tenantId: string, orderingKey: string): string {
  return `${encodeToken(tenantId)}.${encodeToken(orderingKey)}`;
}

export class Halts {
  readonly #halts = new Map<string, Known>();
  readonly #changes = new Map<string, Set<() => void>>();
  #watch: KeyWatch | undefined;

  private constructor(private readonly store: KeyValueStore) {}

  /** Resolves when all halts are known. */
  static async open(
    nc: NatsConnection,
    onChange: (tenantId: string, orderingKey: string, halt: Halt) => void = () => undefined,
  ): Promise<Halts> {
    const halts = new Halts(await KeyValueStore.open(nc, BUCKET.halts));
    halts.#watch = await halts.store.watch('>', (key, value, revision, asOf) => {
      // What was read of the leader, or written, may be newer than what comes by here.
      if (asOf > 0 && asOf < (halts.#halts.get(key)?.revision ?? 0)) return;
      const halt = value && read(value);
      if (halt) halts.#halts.set(key, { halt, revision });
      else halts.#halts.delete(key);
      const [tenant = '', orderingKey = ''] = key.split('.');
      if (halt) onChange(decodeToken(tenant), decodeToken(orderingKey), halt);
      const waiting = halts.#changes.get(key);
      halts.#changes.delete(key);
      for (const tell of waiting ?? []) tell();
    });
    return halts;
  }

  /**
   * Resolves when every halt is known that was stored before this was asked: by who owned a partition before, for instance.
   * @throws Error when that cannot be found out now
   */
  async current(): Promise<void> {
    await this.#watch?.current();
  }

  close(): void {
    this.#watch?.stop();
  }

  /** Keys that stand still. */
  get size(): number {
    return this.#halts.size;
  }

  get(tenantId: string, orderingKey: string): Halt | undefined {
    return this.#halts.size === 0 ? undefined : this.#halts.get(haltKey(tenantId, orderingKey))?.halt;
  }

  /** `told` resolves when the key's halt changes; `forget` when nobody wants to know any more. */
  changed(tenantId: string, orderingKey: string): { told: Promise<void>; forget(): void } {
    const key = haltKey(tenantId, orderingKey);
    let forget = () => undefined as void;
    const told = new Promise<void>((resolve) => {
      const waiting = this.#changes.get(key) ?? new Set();
      this.#changes.set(key, waiting.add(resolve));
      forget = () => {
        waiting.delete(resolve);
        if (waiting.size === 0 && this.#changes.get(key) === waiting) this.#changes.delete(key);
      };
    });
    return { told, forget };
  }

  /**
   * Resolves when the halt is durable; from then on nothing of the key begins here. Said again after a crash, it leaves alone what was decided
   * about it since.
   */
  async halt(tenantId: string, orderingKey: string, halt: Halt): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    for (;;) {
      const stored = await this.#stored(key);
      if (stored?.halt.correlation_id === halt.correlation_id) return;
      const value = Buffer.from(JSON.stringify(halt));
      const revision = stored
        ? await this.store.update(key, value, stored.revision)
        : await this.store.create(key, value);
      if (revision !== undefined) return void this.#halts.set(key, { halt, revision });
    }
  }

  /** Lets the key go on, if the command that may run there is this one; without one, if nobody has named any. */
  async release(tenantId: string, orderingKey: string, resumedWith?: string): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    const stored = await this.#stored(key);
    if (stored && stored.halt.resume_with === resumedWith) await this.#delete(key, stored);
  }

  /** Lets the key go on when the command that was to go first has ended. Another dead letter of it has put its own halt there before. */
  async releaseIfEnded(
    tenantId: string,
    orderingKey: string,
    hasEnded: (correlationId: string) => Promise<boolean>,
  ): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    const stored = await this.#stored(key);
    const first = stored?.halt.resume_with;
    if (first !== undefined && (await hasEnded(first))) await this.#delete(key, stored!);
  }

  async #stored(key: string): Promise<Known | undefined> {
    const entry = await this.store.entry(key);
    if (!entry) {
      this.#halts.delete(key);
      return undefined;
    }
    const known = { halt: read(entry.value), revision: entry.revision };
    this.#halts.set(key, known);
    return known;
  }

  /** Only while it is this halt: one that came in its place stays. */
  async #delete(key: string, { revision }: Known): Promise<void> {
    if ((await this.store.delete(key, revision)) && this.#halts.get(key)?.revision === revision)
      this.#halts.delete(key);
  }
}

interface Known {
  halt: Halt;
  revision: number;
}

/** What nobody can read still halts: going on could be wrong, and an operator sees it. */
function read(value: Uint8Array): Halt {
  try {
    return JSON.parse(Buffer.from(value).toString()) as Halt;
  } catch {
    return { correlation_id: '', action: '', at: '' };
  }
}
