/**
 * The registry: which actions exist right now, told by the services that serve them.
 *
 * A service instance puts two kinds of records into one key-value bucket:
 *   `catalogs.<digest>`              the descriptors, stored once under the hash of their content;
 *   `services.<service>.<instance>`  a heartbeat that names the digest, with a time to live.
 * The heartbeat is small, so beating often is cheap; when an instance dies its key expires, and what nobody else announces is gone.
 * Deleting the key at shutdown makes that immediate.
 *
 * A process that is not ours announces in the same way under `remote.services.…` and `remote.catalogs.…`, which is all that its NATS
 * user may write. What it says is checked; its actions have a binding, which tells runners where to send their commands; and it cannot
 * take a name that one of ours has.
 *
 * Invariants: an action is listed exactly while a live instance announces it (R1); readers never see half a catalog, because a
 * heartbeat is put only after the catalog that it names (R2).
 */
import { createHash } from 'node:crypto';
import { CallboardError, encodeToken } from '@callboard/envelope';
import type { ActionSet } from './action-set.js';
import type { ActionDescriptor } from './descriptor.js';
import { readRemoteDescriptor } from './remote-descriptor.js';

/** What the registry needs of a key-value store; `libs/jetstream` has the real one. */
export interface RegistryStore {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array, options: { ttlMs: number }): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  /** Calls back for every present key, then for every change; `undefined` when a key is deleted or expires. Resolves after the first pass. */
  watch(keys: string, onEntry: (key: string, value: Uint8Array | undefined) => void): Promise<{ stop(): void }>;
}

export const HEARTBEAT_MS = 2_000;
/**
 * How long the actions of an instance that died stay listed. Longer than a restart takes, however busy the machine: a call in
 * between is accepted and waits, which is better than being told that its tool does not exist.
 */
export const HEARTBEAT_TTL_MS = 30_000;
/** In which whoever lives has announced itself again. */
const SETTLED_MS = 2.5 * HEARTBEAT_MS;
const CATALOG_TTL_MS = 3_600_000;
const CATALOG_REFRESH_MS = 1_200_000;
const MAX_CATALOG_BYTES = 1_000_000;
const REMOTE = 'remote.';

/** Announces an `ActionSet` until it is stopped. */
export class Announcer {
  readonly #key: string;
  #catalogDigest = '';
  #catalogPutAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #beatWaits = false;
  #work: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void) | undefined;

  constructor(
    private readonly store: RegistryStore,
    private readonly actions: ActionSet,
    private readonly who: { service: string; instance: string },
    private readonly onError: (error: unknown) => void,
  ) {
    this.#key = `services.${encodeToken(who.service)}.${encodeToken(who.instance)}`;
  }

  /** Resolves when the actions are announced; beats from then on. */
  async start(): Promise<void> {
    this.#unsubscribe = this.actions.onChange(() => this.#beatSoon());
    await this.#beat();
    this.#timer = setInterval(() => this.#beatSoon(), HEARTBEAT_MS);
  }

  /** Takes the announcement back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    clearInterval(this.#timer);
    await this.#work.catch(() => undefined);
    await this.store.delete(this.#key);
  }

  /** One that waits is enough, however long the server is away: it announces what the set holds by then. */
  #beatSoon(): void {
    if (this.#beatWaits) return;
    this.#beatWaits = true;
    this.#beat().catch(this.onError);
  }

  /** One after the other: a slow beat must not overtake the next, or an old catalog would win. */
  #beat(): Promise<void> {
    return (this.#work = this.#work.catch(() => undefined).then(() => this.#announce()));
  }

  async #announce(): Promise<void> {
    this.#beatWaits = false;
    if (this.#stopped) return;
    const catalog = Buffer.from(JSON.stringify([...this.actions].map((action) => action.descriptor)));
    if (catalog.byteLength > MAX_CATALOG_BYTES) {
      throw new CallboardError(
        'internal',
        `The actions of ${this.who.service} are too many to announce: ${catalog.byteLength} bytes, at most ${MAX_CATALOG_BYTES}`,
      );
    }
    const digest = createHash('sha256').update(catalog).digest('hex').slice(0, 32);
    if (digest !== this.#catalogDigest || Date.now() - this.#catalogPutAt > CATALOG_REFRESH_MS) {
      await this.store.put(`catalogs.${digest}`, catalog, { ttlMs: CATALOG_TTL_MS });
      this.#catalogPutAt = Date.now();
      this.#catalogDigest = digest;
    }
    const beat = { service: this.who.service, instance: this.who.instance, catalog: digest };
    await this.store.put(this.#key, Buffer.from(JSON.stringify(beat)), { ttlMs: HEARTBEAT_TTL_MS });
  }
}

export interface RegisteredAction extends ActionDescriptor {
  /** The service that announces it. */
  service: string;
  /** How many live instances announce it. */
  instances: number;
}

/** A consistent view of all actions. Replaced as a whole when anything changes. */
export interface CatalogView {
  /** Changes exactly when the actions change. */
  readonly version: string;
  readonly actions: ReadonlyMap<string, RegisteredAction>;
}

/** Follows the registry. `view` is always the latest complete view. */
export class Catalog {
  view: CatalogView = { version: '', actions: new Map() };
  /** By key; `catalog` is the key of its catalog. */
  readonly #instances = new Map<string, { service: string; catalog: string }>();
  readonly #catalogs = new Map<string, ActionDescriptor[]>();
  readonly #listeners = new Set<(view: CatalogView, before: CatalogView) => void>();
  #watches: { stop(): void }[] = [];
  /** When the last instance of a service went. */
  #wentAt = 0;
  #rebuilding: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: RegistryStore,
    private readonly onError: (error: unknown) => void,
  ) {}

  async start(): Promise<void> {
    const onEntry = (key: string, value: Uint8Array | undefined) => {
      try {
        if (!this.#take(key, value)) return;
      } catch (error) {
        return this.onError(error);
      }
      this.#rebuilding = this.#rebuilding.then(() => this.#rebuild()).catch(this.onError);
    };
    for (const keys of ['services.>', `${REMOTE}services.>`]) this.#watches.push(await this.store.watch(keys, onEntry));
    await this.#rebuilding;
  }

  /** Takes a heartbeat, or its end, in. Returns whether there is something to rebuild. */
  #take(key: string, value: Uint8Array | undefined): boolean {
    if (value === undefined) return this.#leave(key);
    const beat = JSON.parse(Buffer.from(value).toString()) as { service: string; catalog: string };
    const service = String(beat.service);
    const catalog = `${key.startsWith(REMOTE) ? REMOTE : ''}catalogs.${beat.catalog}`;
    // A catalog that could not be read is tried again at the next beat.
    if (this.#instances.get(key)?.catalog === catalog && this.#catalogs.has(catalog)) return false;
    this.#instances.set(key, { service, catalog });
    return true;
  }

  #leave(key: string): boolean {
    const service = this.#instances.get(key)?.service;
    if (!this.#instances.delete(key)) return false;
    if (![...this.#instances.values()].some((left) => left.service === service)) this.#wentAt = Date.now();
    return true;
  }

  stop(): void {
    for (const watch of this.#watches) watch.stop();
  }

  /**
   * May there be actions that the view has not, because those who serve them could not say so? While nobody announces anything, and for some seconds
   * after a service has gone: where nothing can be stored for longer than a heartbeat lives, all of them expire at once.
   */
  get mayLack(): boolean {
    return this.#instances.size === 0 || Date.now() - this.#wentAt < SETTLED_MS;
  }

  get(actionId: string): RegisteredAction | undefined {
    return this.view.actions.get(actionId);
  }

  /** Is the instance of this key alive, whatever it announces? One that drains announces nothing any more. */
  isAlive(key: string): boolean {
    return this.#instances.has(key);
  }

  /** Keys of the live instances that announce an action. */
  announcers(actionId: string): Set<string> {
    const announces = ([, { catalog }]: [string, { catalog: string }]) =>
      this.#catalogs.get(catalog)?.some(({ id }) => id === actionId);
    return new Set([...this.#instances].filter(announces).map(([key]) => key));
  }

  onChange(listener: (view: CatalogView, before: CatalogView) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #rebuild(): Promise<void> {
    const live = new Set([...this.#instances.values()].map(({ catalog }) => catalog));
    for (const key of live) {
      if (this.#catalogs.has(key)) continue;
      try {
        const bytes = await this.store.get(key);
        if (bytes) this.#catalogs.set(key, this.#readCatalog(key, bytes));
      } catch (error) {
        // One that cannot be read must not hold the others back.
        this.onError(error);
      }
    }
    for (const key of this.#catalogs.keys()) if (!live.has(key)) this.#catalogs.delete(key);

    const actions = new Map<string, RegisteredAction>();
    // Sorted, so that every replica settles a name that two services claim in the same way: the first service keeps it, ours first.
    for (const [, { service, catalog }] of [...this.#instances].sort(([a], [b]) => compareKeys(a, b))) {
      for (const descriptor of this.#catalogs.get(catalog) ?? []) {
        const known = actions.get(descriptor.id);
        if (!known) actions.set(descriptor.id, { ...descriptor, service, instances: 1 });
        else if (known.service === service) known.instances += 1;
      }
    }
    const sorted = new Map([...actions].sort(([a], [b]) => (a < b ? -1 : 1)));
    const before = this.view;
    const version = createHash('sha256')
      .update(JSON.stringify([...sorted.values()].map((action) => ({ ...action, instances: 0 }))))
      .digest('hex')
      .slice(0, 16);
    this.view = { version, actions: sorted };
    if (version !== before.version) for (const listener of this.#listeners) listener(this.view, before);
  }

  /** One action that cannot be read must not take the others of its service with it. */
  #readCatalog(key: string, bytes: Uint8Array): ActionDescriptor[] {
    const descriptors = JSON.parse(Buffer.from(bytes).toString()) as ActionDescriptor[];
    if (!key.startsWith(REMOTE)) return descriptors;
    if (!Array.isArray(descriptors)) throw new TypeError(`${key} is no list of descriptors`);
    return descriptors.flatMap((descriptor) => {
      try {
        return [readRemoteDescriptor(descriptor)];
      } catch (error) {
        this.onError(error);
        return [];
      }
    });
  }
}

function compareKeys(a: string, b: string): number {
  const remote = Number(a.startsWith(REMOTE)) - Number(b.startsWith(REMOTE));
  return remote || (a < b ? -1 : 1);
}
