/**
 * A key-value bucket with what Callboard needs of one: compare-and-set, a time to live per key, and a watch that also hears of
 * keys that expire. The bucket's stream is declared in the topology; `nats kv` reads it like any other.
 */
import {
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { LastOfSubjects, type Pass } from './last-of-subjects.js';
import { countSubject, pendingAfter, readSubject } from './read-subject.js';

export interface KeyValueEntry {
  value: Uint8Array;
  /** Grows with every change of any key of the bucket. */
  revision: number;
}

const WRONG_LAST_SEQUENCE = 10071;
const DELETE_MARKER_TTL_MS = 60_000;
/** What was asked while the connection was down is lost, and only this tells. */
const TIMEOUT_MS = 2_000;

/**
 * @param revision 0 for a key that went without a trace
 * @param asOf revision of the bucket at which the key had this value
 */
type OnEntry = (key: string, value: Uint8Array | undefined, revision: number, asOf: number) => void;

/** Follows keys of a bucket until it is stopped. */
export interface KeyWatch {
  /**
   * Resolves when every change has been told that was made before this was asked.
   * @throws Error when that cannot be found out now
   */
  current(): Promise<void>;
  stop(): void;
}

export class KeyValueStore {
  readonly #js: JetStreamClient;
  readonly #stream: string;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly bucket: string,
    private readonly jsm: JetStreamManager,
  ) {
    this.#js = jetstream(nc, { timeout: TIMEOUT_MS });
    this.#stream = `KV_${bucket}`;
  }

  static async open(nc: NatsConnection, bucket: string): Promise<KeyValueStore> {
    return new KeyValueStore(nc, bucket, await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS }));
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return (await this.entry(key))?.value;
  }

  async entry(key: string): Promise<KeyValueEntry | undefined> {
    const last = await this.#last(key);
    return last && !last.deleted ? { value: last.value, revision: last.revision } : undefined;
  }

  /** The values of all keys that a filter matches. For few: all of them are read. */
  async entries(filter: string): Promise<Map<string, KeyValueEntry>> {
    const found = new Map<string, KeyValueEntry>();
    for (let after = 0, more = true; more;) {
      const messages = await readSubject(this.jsm, this.#stream, this.#subject(filter), after);
      for (const { subject, header, data, seq } of messages) {
        after = seq;
        if (!isMarker(header)) found.set(subject.slice(this.#subject('').length), { value: data, revision: seq });
      }
      const last = messages.at(-1);
      more = last !== undefined && pendingAfter(last) > 0;
    }
    return found;
  }

  /** How many keys a filter matches. A key that was deleted, or has expired, counts for a minute longer. */
  count(filter: string): Promise<number> {
    return countSubject(this.jsm, this.#stream, this.#subject(filter), 0);
  }

  /** Sets the key whatever it holds; without a time to live it stays until deleted. Returns the revision. */
  async put(key: string, value: Uint8Array, options: { ttlMs?: number } = {}): Promise<number> {
    return (await this.#js.publish(this.#subject(key), value, { headers: ttlHeader(options.ttlMs) })).seq;
  }

  /** Sets the key only when it holds nothing. Returns the revision, or `undefined` when someone was first. */
  async create(key: string, value: Uint8Array, options: { ttlMs?: number } = {}): Promise<number | undefined> {
    const revision = await this.update(key, value, 0, options);
    if (revision !== undefined) return revision;
    // A deleted or expired key leaves a marker, which counts as a revision.
    const last = await this.#last(key);
    return last?.deleted ? this.update(key, value, last.revision, options) : undefined;
  }

  /** Sets the key only when its revision is still the given one. Returns the new revision, or `undefined` when it is not. */
  async update(
    key: string,
    value: Uint8Array,
    revision: number,
    options: { ttlMs?: number } = {},
  ): Promise<number | undefined> {
    try {
      const expect = { lastSubjectSequence: revision };
      return (await this.#js.publish(this.#subject(key), value, { headers: ttlHeader(options.ttlMs), expect })).seq;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE) return undefined;
      throw error;
    }
  }

  /** With a revision, only when the key still has that one; returns false when whoever was faster has decided. Who does not watch now hears of it later. */
  async delete(key: string, revision?: number, markerTtlMs = DELETE_MARKER_TTL_MS): Promise<boolean> {
    // The marker tells those who watch, and goes by itself: a bucket does not grow with every key that it ever held. (One that says DEL would leave
    // the server's own marker behind when it goes.)
    const marker = ttlHeader(markerTtlMs);
    marker.set('KV-Operation', 'PURGE');
    const expect = revision === undefined ? {} : { expect: { lastSubjectSequence: revision } };
    try {
      await this.#js.publish(this.#subject(key), new Uint8Array(), { headers: marker, ...expect });
      return true;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE) return false;
      throw error;
    }
  }

  /**
   * Calls back for every key that the filter matches and holds a value, then for every change; with `undefined` for a key that was
   * deleted or has expired. Resolves when the first pass is through. Survives reconnects, however long the server was away.
   */
  async watch(filter: string, onEntry: OnEntry): Promise<KeyWatch> {
    const watch = new Watch(this.nc, this.#stream, this.#subject(filter), this.#subject(''), onEntry);
    await watch.start();
    return watch;
  }

  #subject(key: string): string {
    return `$KV.${this.bucket}.${key}`;
  }

  async #last(key: string): Promise<(KeyValueEntry & { deleted: boolean }) | undefined> {
    // Of the leader: where the bucket has replicas, another may not have heard of the last change yet.
    const message = await this.jsm.streams.getMessage(this.#stream, { last_by_subj: this.#subject(key) });
    if (!message) return undefined;
    return { value: message.data, revision: message.seq, deleted: isMarker(message.header) };
  }
}

/** A key that a pass over all keys does not bring is gone without a trace. */
class Watch implements KeyWatch {
  /** Keys that hold a value, with their revision. */
  readonly #known = new Map<string, number>();
  readonly #feed: LastOfSubjects;

  constructor(
    nc: NatsConnection,
    stream: string,
    subjects: string,
    private readonly prefix: string,
    private readonly onEntry: OnEntry,
  ) {
    this.#feed = new LastOfSubjects(nc, stream, subjects, () => this.#pass());
  }

  /** Resolves when every key has been seen once. */
  start(): Promise<void> {
    return this.#feed.start();
  }

  current(): Promise<void> {
    return this.#feed.current();
  }

  stop(): void {
    this.#feed.stop();
  }

  #pass(): Pass {
    const seen = new Set<string>();
    /** Older than what is known: of a replica that is behind, and then what it lacks will follow; or of a bucket that was made anew. */
    const older = new Map<string, JsMsg>();
    return {
      message: (message, old) => {
        const key = message.subject.slice(this.prefix.length);
        older.delete(key);
        if (old) seen.add(key);
        if (old && message.seq < (this.#known.get(key) ?? 0)) older.set(key, message);
        else this.#takeMessage(key, message);
      },
      caughtUp: (upTo) => {
        for (const [key, message] of older) this.#takeMessage(key, message);
        for (const key of this.#known.keys()) if (!seen.has(key)) this.#take(key, undefined, 0, upTo);
        older.clear();
        seen.clear();
      },
    };
  }

  #takeMessage(key: string, message: JsMsg): void {
    this.#take(key, isMarker(message.headers) ? undefined : message, message.seq, message.seq);
  }

  #take(key: string, message: JsMsg | undefined, revision: number, asOf: number): void {
    const known = this.#known.get(key);
    if (message) {
      if (known === revision) return;
      this.#known.set(key, revision);
    } else if (!this.#known.delete(key)) {
      return;
    }
    this.onEntry(key, message?.data, revision, asOf);
  }
}

function isMarker(header: { get(name: string): string; has(name: string): boolean } | undefined): boolean {
  const operation = header?.get('KV-Operation');
  return operation === 'DEL' || operation === 'PURGE' || header?.has('Nats-Marker-Reason') === true;
}

function ttlHeader(ttlMs: number | undefined) {
  const result = headers();
  if (ttlMs !== undefined) result.set('Nats-TTL', `${Math.max(1, Math.ceil(ttlMs / 1000))}s`);
  return result;
}
