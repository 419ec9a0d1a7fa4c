/**
 * The key of each tenant, with which its pseudonyms are made: random, made when the tenant's first event is judged, and kept in one place, the
 * bucket PSEUDONYM_KEYS, wrapped by the key of the installation.
 *
 * One key at a time (K1): whoever is first stores his, and all others take it. Destroyed is gone (K2): it is overwritten on the disk, and
 * then every filter forgets it, in its threads too, as soon as it hears of it, and within a minute if it does
 * not; the tenant's next event then has a new key. Cut short, it can be asked again.
 *
 * A key that the installation's key does not open was wrapped by another one: there is nothing to be done with it, and it is replaced.
 */
import { TENANTS_OWN, newKey, unwrap } from '@callboard/audit';
import { encodeToken } from '@callboard/envelope';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { tenantKey } from '@callboard/redaction';
import { JetStreamApiError, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

interface FoundKey {
  wrapped: string;
  key: Uint8Array;
}

interface KnownKey extends FoundKey {
  /** When it is read again. */
  until: number;
}

export interface TenantKeysEvents {
  /** A key that was in use is no longer. */
  lost(): void;
  /** A key was wrapped by another installation's key, and is replaced. */
  unreadable(tenantId: string): void;
}

const KNOWN_MS = 60_000;
const ATTEMPTS = 20;
const NONE = 0;
/** "no message found" and "message not found" of a delete: somebody else was first. */
const GONE = new Set([10037, 10057]);

export class TenantKeys {
  readonly #known = new Map<string, KnownKey>();
  /** Grows with every change that is heard of: what was read before it may be out of date. */
  #changes = 0;
  #watch: { stop(): void } | undefined;

  private constructor(
    private readonly store: KeyValueStore,
    private readonly jsm: JetStreamManager,
    private readonly installationKey: Uint8Array,
    private readonly events: TenantKeysEvents,
  ) {}

  static async open(nc: NatsConnection, installationKey: Uint8Array, events: TenantKeysEvents): Promise<TenantKeys> {
    const store = await KeyValueStore.open(nc, BUCKET.pseudonymKeys);
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const keys = new TenantKeys(store, jsm, installationKey, events);
    keys.#watch = await store.watch('>', (name, value) => keys.#heard(name, value));
    return keys;
  }

  close(): void {
    this.#watch?.stop();
  }

  /** @throws Error when the server does not answer */
  async of(tenantId: string): Promise<Uint8Array> {
    const name = encodeToken(tenantId);
    const known = this.#known.get(name);
    if (known && known.until > Date.now()) return known.key;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const changes = this.#changes;
      const found = await this.#readOrMake(tenantId, name);
      if (!found) continue;
      if (this.#known.get(name)?.wrapped !== found.wrapped) this.#forget(name);
      if (changes === this.#changes) this.#known.set(name, { ...found, until: Date.now() + KNOWN_MS });
      return found.key;
    }
    throw new Error('the key of a tenant changes too fast');
  }

  /** Returns whether there was one. */
  async destroy(tenantId: string): Promise<boolean> {
    const name = encodeToken(tenantId);
    const entry = await this.store.entry(name);
    if (entry) {
      await this.jsm.streams
        .deleteMessage(`KV_${BUCKET.pseudonymKeys}`, entry.revision, true)
        .catch((error: unknown) => {
          if (!(error instanceof JetStreamApiError && GONE.has(error.code))) throw error;
        });
    }
    this.#forget(name);
    // Tells the other filters; unless there is a new key already, which tells them as well.
    await this.store.delete(name, NONE);
    return entry !== undefined;
  }

  /** Nothing, where somebody else was faster: what there is now is to be read. */
  async #readOrMake(tenantId: string, name: string): Promise<FoundKey | undefined> {
    const entry = await this.store.entry(name);
    const kek = tenantKey(this.installationKey, tenantId);
    if (entry) {
      const wrapped = Buffer.from(entry.value).toString('utf8');
      try {
        const kept = { tenant_id: tenantId, subject: TENANTS_OWN, actor: '', wrapped };
        return { wrapped, key: unwrap(kek, kept).key };
      } catch {
        this.events.unreadable(tenantId);
      }
    }
    const { kept, opened } = newKey(kek, tenantId, TENANTS_OWN);
    const value = Buffer.from(kept.wrapped);
    const revision = entry
      ? await this.store.update(name, value, entry.revision)
      : await this.store.create(name, value);
    return revision === undefined ? undefined : { wrapped: kept.wrapped, key: opened.key };
  }

  #heard(name: string, value: Uint8Array | undefined): void {
    const known = this.#known.get(name);
    if (known && value && Buffer.from(value).toString('utf8') === known.wrapped) return;
    this.#changes += 1;
    this.#forget(name);
  }

  #forget(name: string): void {
    if (this.#known.delete(name)) this.events.lost();
  }
}
