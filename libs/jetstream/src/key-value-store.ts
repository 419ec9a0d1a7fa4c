/**
 * A key-value bucket with what Callboard needs of one: compare-and-set, a time to live per key, and a watch that also hears of
 * keys that expire. The bucket's stream is declared in the topology; `nats kv` reads it like any other.
 */
import {
  DeliverPolicy,
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type ConsumerMessages,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';
import { countSubject, pendingAfter, readSubject } from './read-subject.js';

export interface KeyValueEntry {
  value: Uint8Array;
  /** Grows with every change of any key of the bucket. */
  revision: number;
}

const WRONG_LAST_SEQUENCE = 10071;
const DELETE_MARKER_TTL_MS = 60_000;
const REOPEN_MS = 500;
/** What was asked while the connection was down is lost, and only this tells. */
const TIMEOUT_MS = 2_000;

type OnEntry = (key: string, value: Uint8Array | undefined, revision: number) => void;

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

  /**
   * As `entry`, but never behind: where the bucket has replicas, `entry` may ask one that has not heard of a key yet. For keys that
   * are expected to be there and seem not to be; costs the leader.
   */
  async latestEntry(key: string): Promise<KeyValueEntry | undefined> {
    const message = await this.jsm.streams.getMessage(this.#stream, { last_by_subj: this.#subject(key) });
    return message && !isMarker(message.header) ? { value: message.data, revision: message.seq } : undefined;
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

  /** With a revision, only when the key still has that one; whoever was faster has decided then. */
  async delete(key: string, revision?: number): Promise<void> {
    // The marker tells those who watch, and goes by itself: a bucket does not grow with every key that it ever held.
    const marker = ttlHeader(DELETE_MARKER_TTL_MS);
    marker.set('KV-Operation', 'DEL');
    const expect = revision === undefined ? {} : { expect: { lastSubjectSequence: revision } };
    try {
      await this.#js.publish(this.#subject(key), new Uint8Array(), { headers: marker, ...expect });
    } catch (error) {
      if (!(error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE)) throw error;
    }
  }

  /**
   * Calls back for every key that the filter matches and holds a value, then for every change; with `undefined` for a key that was
   * deleted or has expired. Resolves when the first pass is through. Survives reconnects, however long the server was away.
   */
  async watch(filter: string, onEntry: OnEntry): Promise<{ stop(): void }> {
    const watch = new Watch(this.nc, this.#js, this.#stream, this.#subject(filter), this.#subject(''), onEntry);
    await watch.start();
    return watch;
  }

  #subject(key: string): string {
    return `$KV.${this.bucket}.${key}`;
  }

  async #last(key: string): Promise<(KeyValueEntry & { deleted: boolean }) | undefined> {
    const message = await this.jsm.direct.getMessage(this.#stream, { last_by_subj: this.#subject(key) });
    if (!message) return undefined;
    return { value: message.data, revision: message.seq, deleted: isMarker(message.header) };
  }
}

/**
 * Follows keys through an ordered consumer, and makes a new one at every reconnect: the client's own recovery forgets to ask for
 * more than a few messages (nats.js 3.4 counts what it asked of the lost consumer), and is then silent for half a minute. Each new
 * one begins with all keys, so what changed meanwhile shows, and what is gone without a trace is what it does not bring.
 */
class Watch {
  /** Keys that hold a value, with their revision. */
  readonly #known = new Map<string, number>();
  #messages: ConsumerMessages | undefined;
  /** Grows whenever what was begun before is no longer wanted. */
  #generation = 0;
  #caughtUp: () => void = () => undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(
    private readonly nc: NatsConnection,
    private readonly js: JetStreamClient,
    private readonly stream: string,
    private readonly subjects: string,
    private readonly prefix: string,
    private readonly onEntry: OnEntry,
  ) {}

  /** Resolves when every key has been seen once. */
  start(): Promise<void> {
    this.#unsubscribe = onConnectionChange(this.nc, (change) => {
      if (change === 'connected') void this.#reopen();
    });
    return new Promise((resolve, reject) => {
      this.#caughtUp = resolve;
      const generation = ++this.#generation;
      this.#open(generation).catch((error: Error) => {
        if (generation !== this.#generation) return;
        this.stop();
        reject(error);
      });
    });
  }

  stop(): void {
    this.#generation += 1;
    this.#unsubscribe?.();
    this.#messages?.stop();
  }

  async #reopen(): Promise<void> {
    const generation = ++this.#generation;
    this.#messages?.stop();
    while (generation === this.#generation && !this.nc.isClosed()) {
      try {
        return await this.#open(generation);
      } catch {
        // The server is up, its stream not yet.
        await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
      }
    }
  }

  async #open(generation: number): Promise<void> {
    const consumer = await this.js.consumers.get(this.stream, {
      filter_subjects: [this.subjects],
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    const { num_pending } = await consumer.info(true);
    if (generation !== this.#generation) return;
    let seen: Set<string> | undefined = new Set<string>();
    const passed = () => {
      for (const key of this.#known.keys()) if (!seen?.has(key)) this.#take(key, undefined, 0);
      seen = undefined;
      this.#caughtUp();
    };
    if (num_pending === 0) passed();
    const messages = await consumer.consume({
      max_messages: 500,
      callback: (message) => {
        if (generation !== this.#generation) return;
        const key = message.subject.slice(this.prefix.length);
        seen?.add(key);
        this.#take(key, isMarker(message.headers) ? undefined : message, message.seq);
        if (seen && message.info.pending === 0) passed();
      },
    });
    if (generation !== this.#generation) return messages.stop();
    this.#messages = messages;
    void this.#distrust(messages, generation);
  }

  /** The client has made itself a new consumer after a gap: make our own, see above. */
  async #distrust(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const { type } of messages.status()) {
      if (generation !== this.#generation) return;
      if (type === 'ordered_consumer_recreated') return this.#reopen();
    }
  }

  #take(key: string, message: JsMsg | undefined, revision: number): void {
    const known = this.#known.get(key);
    if (message) {
      if (known === revision) return;
      this.#known.set(key, revision);
    } else if (!this.#known.delete(key)) {
      return;
    }
    this.onEntry(key, message?.data, revision);
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
