/**
 * Which runner owns which partition.
 *
 * Each partition has a key `partition.<n>` in the bucket LEASES; holding it, renewed in time, is owning the partition. Every runner
 * also keeps `runner.<instance>` alive, so that all of them know how many they are: each holds at most its fair share, gives back
 * what is over, and takes what is free.
 *
 * Safety rests on three things, none of them a clock that two machines share:
 *   L1  A lease is taken, renewed and given back by compare-and-set; two runners can never both succeed.
 *   L2  The holder counts its lease from the moment it sent the last renewal that succeeded, and stops using it `MARGIN_MS` before
 *       the server can let it expire.
 *   L3  The revision at which a lease was taken is the partition's fence: it grows with every owner.
 *   L4  A lease that was lost is not taken again by this process before its owner here has `stopped`.
 *
 * A lease that is given back says whether everything was finished (`clean`); one that expired was not. The next owner is told.
 * A runner that restarts under the same instance name takes its own leases back at once: whoever gives names out (the supervisor,
 * Kubernetes) guarantees that the earlier process of that name is gone.
 */
import { encodeToken } from '@callboard/envelope';
import type { KeyValueStore } from './key-value-store.js';

export const LEASE_TTL_MS = 5_000;
const MARGIN_MS = 1_500;
export const LEASE_RENEW_MS = 1_000;

export interface Lease {
  partition: number;
  /** Grows with every owner of the partition. */
  fence: number;
  /** Is it certain that the owner before left nothing half done? */
  clean: boolean;
  /**
   * Can it be relied on at this moment? A process that was frozen meets what came meanwhile before its timers tell it that the
   * lease is lost, so whoever is about to act asks. Once it is not, it never is again.
   */
  isValid(): boolean;
}

interface LeaseRecord {
  owner: string;
  state: 'held' | 'free';
  clean: boolean;
}

interface Held extends Lease {
  revision: number;
  validUntil: number;
}

export interface LeaseEvents {
  acquired(lease: Lease): void;
  /** The lease is over the fair share: finish, then call `giveBack`. */
  surplus(partition: number): void;
  /** The lease can no longer be relied on: stop at once, then call `stopped`. */
  lost(partition: number): void;
  error(error: unknown): void;
  /** How much runs in a partition now: what is idle is given back first, for the next owner waits until nothing runs. */
  load(partition: number): number;
}

export class PartitionLeases {
  readonly #held = new Map<number, Held>();
  readonly #leaving = new Set<number>();
  /** Neither held nor to be taken: being given back, or lost and still worked on here. */
  readonly #endingHere = new Set<number>();
  /** What the bucket says now. */
  readonly #records = new Map<number, { record: LeaseRecord | undefined; revision: number }>();
  readonly #runners = new Set<string>();
  readonly #runnerKey: string;
  #watches: { stop(): void }[] = [];
  #timers: NodeJS.Timeout[] = [];
  #started = false;
  #stopping = false;
  #settling: Promise<void> | undefined;
  #again = false;

  constructor(
    private readonly store: KeyValueStore,
    private readonly instance: string,
    private readonly partitions: number,
    private readonly events: LeaseEvents,
  ) {
    this.#runnerKey = `runner.${encodeToken(instance)}`;
  }

  async start(): Promise<void> {
    for (let partition = 0; partition < this.partitions; partition++)
      this.#records.set(partition, { record: undefined, revision: 0 });
    await this.#beat();
    this.#watches = [
      await this.store.watch('runner.*', (key, value) => {
        if (value) this.#runners.add(key);
        else this.#runners.delete(key);
        this.#settle();
      }),
      await this.store.watch('partition.*', (key, value, revision) => {
        const partition = Number(key.slice('partition.'.length));
        if (!this.#records.has(partition)) return;
        this.#records.set(partition, { record: value && decode(value), revision });
        this.#settle();
      }),
    ];
    // Only now: deciding on half a picture would take partitions from those who are not seen yet.
    this.#started = true;
    const every = (ms: number, work: () => unknown) => this.#timers.push(setInterval(work, ms));
    every(LEASE_RENEW_MS, () => void this.#beat().catch((error: unknown) => this.events.error(error)));
    every(LEASE_RENEW_MS, () => void this.#renewAll());
    every(250, () => this.#dropExpired());
    this.#settle();
  }

  /** Partitions held now. */
  get held(): number[] {
    return [...this.#held.keys()];
  }

  /** Takes no more leases and asks for all to be given back; resolves when this runner is no longer counted. */
  async leave(): Promise<void> {
    this.#stopping = true;
    await this.#settling;
    await this.store.delete(this.#runnerKey).catch((error: unknown) => this.events.error(error));
    for (const partition of this.#held.keys()) this.#markSurplus(partition);
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const watch of this.#watches) watch.stop();
  }

  /** The owner has stopped working on the partition; `clean` when nothing was left half done. */
  async giveBack(partition: number, clean: boolean): Promise<void> {
    const lease = this.#held.get(partition);
    if (!lease) return;
    this.#held.delete(partition);
    this.#leaving.delete(partition);
    this.#endingHere.add(partition);
    try {
      const key = `partition.${partition}`;
      const record = encode({ owner: this.instance, state: 'free', clean } satisfies LeaseRecord);
      for (let revision: number | undefined = lease.revision; revision !== undefined;) {
        if ((await this.store.update(key, record, revision)) !== undefined) return;
        // A renewal was under way, and has moved the revision on.
        revision = await this.#ownRevision(partition);
      }
    } finally {
      this.stopped(partition);
    }
  }

  /** Nothing of a lost lease is worked on here any more. */
  stopped(partition: number): void {
    this.#endingHere.delete(partition);
    this.#settle();
  }

  async #beat(): Promise<void> {
    if (!this.#stopping) await this.store.put(this.#runnerKey, encode({}), { ttlMs: LEASE_TTL_MS });
  }

  async #renewAll(): Promise<void> {
    await Promise.all(
      [...this.#held.values()].map(async (lease) => {
        const sentAt = performance.now();
        try {
          const record: LeaseRecord = { owner: this.instance, state: 'held', clean: false };
          const revision = await this.store.update(`partition.${lease.partition}`, encode(record), lease.revision, {
            ttlMs: LEASE_TTL_MS,
          });
          if (revision === undefined) {
            // Our own renewal may have been stored and only its ack lost; then the bucket still says that it is ours.
            const own = await this.#ownRevision(lease.partition);
            if (own !== undefined) lease.revision = own;
            else this.#lose(lease);
          } else if (!lease.isValid()) {
            // Too late: what was told that it may not go on has given up.
            this.#lose(lease);
          } else {
            lease.revision = revision;
            lease.validUntil = sentAt + LEASE_TTL_MS - MARGIN_MS;
          }
        } catch {
          // The server is away: the lease runs out by itself if that lasts.
        }
      }),
    );
  }

  /** Revision of the partition's record while it says that we hold it. */
  async #ownRevision(partition: number): Promise<number | undefined> {
    const now = await this.store.entry(`partition.${partition}`);
    const record = now && decode(now.value);
    return record?.owner === this.instance && record.state === 'held' ? now?.revision : undefined;
  }

  #dropExpired(): void {
    for (const lease of [...this.#held.values()]) if (!lease.isValid()) this.#lose(lease);
    this.#settle();
  }

  #lose(lease: Held): void {
    // By the time that a renewal is refused, the partition may have been given back, and even taken anew.
    if (this.#held.get(lease.partition) !== lease) return;
    this.#held.delete(lease.partition);
    this.#leaving.delete(lease.partition);
    this.#endingHere.add(lease.partition);
    this.events.lost(lease.partition);
  }

  /** Brings what is held towards the fair share. One pass at a time; changes during a pass cause another. */
  #settle(): void {
    if (!this.#started) return;
    this.#again = true;
    this.#settling ??= this.#settleNow()
      .catch((error: unknown) => this.events.error(error))
      .finally(() => (this.#settling = undefined));
  }

  async #settleNow(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      const share = this.#share();
      const staying = [...this.#held.keys()].filter((partition) => !this.#leaving.has(partition));
      staying.sort((a, b) => this.events.load(a) - this.events.load(b));
      for (const partition of staying.slice(0, Math.max(0, staying.length - share))) this.#markSurplus(partition);
      if (this.#stopping) return;
      for (const [partition, { record, revision }] of this.#records) {
        if (this.#held.size >= share || this.#stopping) break;
        const mine = record?.owner === this.instance;
        if (this.#held.has(partition) || this.#endingHere.has(partition)) continue;
        if (record?.state === 'held' && !mine) continue;
        await this.#take(partition, record, revision);
      }
    }
  }

  /** The most that this runner should hold: rounded up, so that nothing is left over. */
  #share(): number {
    return this.#stopping ? 0 : Math.ceil(this.partitions / Math.max(1, this.#runners.size));
  }

  #markSurplus(partition: number): void {
    if (this.#leaving.has(partition)) return;
    this.#leaving.add(partition);
    this.events.surplus(partition);
  }

  async #take(partition: number, before: LeaseRecord | undefined, revision: number): Promise<void> {
    const key = `partition.${partition}`;
    const sentAt = performance.now();
    const record = encode({ owner: this.instance, state: 'held', clean: false } satisfies LeaseRecord);
    const ttl = { ttlMs: LEASE_TTL_MS };
    const taken = before
      ? await this.store.update(key, record, revision, ttl)
      : await this.store.create(key, record, ttl);
    if (taken === undefined) return;
    const lease: Held = {
      partition,
      fence: taken,
      clean: before?.state === 'free' && before.clean,
      revision: taken,
      validUntil: sentAt + LEASE_TTL_MS - MARGIN_MS,
      isValid: () => performance.now() <= lease.validUntil,
    };
    this.#held.set(partition, lease);
    this.events.acquired(lease);
  }
}

/** A record that nobody of us wrote holds no partition back. */
function decode(value: Uint8Array): LeaseRecord {
  try {
    const { owner, state, clean } = JSON.parse(Buffer.from(value).toString()) as LeaseRecord;
    return { owner, state, clean };
  } catch {
    return { owner: '', state: 'free', clean: false };
  }
}

function encode(record: object): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}
