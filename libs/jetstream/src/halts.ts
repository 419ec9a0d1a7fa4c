/**
 * Ordering keys that stand still: a command of theirs became a dead letter, its action says that nothing of the key may follow
 * before an operator has decided, and nobody has. Redriving names the command that goes first (`resume_with`); discarding takes the
 * halt away.
 */
import { decodeToken, encodeToken } from '@callboard/envelope';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore } from './key-value-store.js';
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
  readonly #halts = new Map<string, Halt>();
  readonly #changes = new Map<string, Set<() => void>>();
  #watch: { stop(): void } | undefined;

  private constructor(private readonly store: KeyValueStore) {}

  /** Resolves when all halts are known. */
  static async open(
    nc: NatsConnection,
    onChange: (tenantId: string, orderingKey: string, halt: Halt) => void = () => undefined,
  ): Promise<Halts> {
    const halts = new Halts(await KeyValueStore.open(nc, BUCKET.halts));
    halts.#watch = await halts.store.watch('>', (key, value) => {
      const halt = value && read(value);
      if (halt) halts.#halts.set(key, halt);
      else halts.#halts.delete(key);
      const [tenant = '', orderingKey = ''] = key.split('.');
      if (halt) onChange(decodeToken(tenant), decodeToken(orderingKey), halt);
      const waiting = halts.#changes.get(key);
      halts.#changes.delete(key);
      for (const tell of waiting ?? []) tell();
    });
    return halts;
  }

  close(): void {
    this.#watch?.stop();
  }

  /** Keys that stand still. */
  get size(): number {
    return this.#halts.size;
  }

  get(tenantId: string, orderingKey: string): Halt | undefined {
    return this.#halts.size === 0 ? undefined : this.#halts.get(haltKey(tenantId, orderingKey));
  }

  /** Resolves when the key's halt changes. */
  changed(tenantId: string, orderingKey: string): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    return new Promise((resolve) => {
      const waiting = this.#changes.get(key) ?? new Set();
      this.#changes.set(key, waiting.add(resolve));
    });
  }

  /** Resolves when the halt is durable; from then on nothing of the key begins here. */
  async halt(tenantId: string, orderingKey: string, halt: Halt): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    await this.store.put(key, Buffer.from(JSON.stringify(halt)));
    this.#halts.set(key, halt);
  }

  /** Lets the key go on. */
  async release(tenantId: string, orderingKey: string): Promise<void> {
    const key = haltKey(tenantId, orderingKey);
    await this.store.delete(key);
    this.#halts.delete(key);
  }
}

/** What nobody can read still halts: going on could be wrong, and an operator sees it. */
function read(value: Uint8Array): Halt {
  try {
    return JSON.parse(Buffer.from(value).toString()) as Halt;
  } catch {
    return { correlation_id: '', action: '', at: '' };
  }
}
