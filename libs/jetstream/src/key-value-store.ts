/**
 * A key-value bucket with what Callboard needs of one: compare-and-set, a time to live per key, and a watch that also hears of
 * keys that expire. The bucket's stream is declared in the topology; `nats kv` reads it like any other.
 */
import {
  DeliverPolicy,
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type JetStreamClient,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';

export interface KeyValueEntry {
  value: Uint8Array;
  /** Grows with every change of any key of the bucket. */
  revision: number;
}

const WRONG_LAST_SEQUENCE = 10071;
const DELETE_MARKER_TTL_MS = 60_000;

export class KeyValueStore {
  readonly #js: JetStreamClient;
  readonly #stream: string;

  private constructor(
    nc: NatsConnection,
    private readonly bucket: string,
    private readonly jsm: JetStreamManager,
  ) {
    this.#js = jetstream(nc);
    this.#stream = `KV_${bucket}`;
  }

  static async open(nc: NatsConnection, bucket: string): Promise<KeyValueStore> {
    return new KeyValueStore(nc, bucket, await jetstreamManager(nc, { checkAPI: false }));
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
    return message && !isDeleted(message.header) ? { value: message.data, revision: message.seq } : undefined;
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

  async delete(key: string): Promise<void> {
    // The marker tells those who watch, and goes by itself: a bucket does not grow with every key that it ever held.
    const marker = ttlHeader(DELETE_MARKER_TTL_MS);
    marker.set('KV-Operation', 'DEL');
    await this.#js.publish(this.#subject(key), new Uint8Array(), { headers: marker });
  }

  /**
   * Calls back for every key that the filter matches and holds a value, then for every change; with `undefined` for a key that was
   * deleted or has expired. Resolves when the first pass is through. Survives reconnects without missing a change.
   */
  async watch(
    filter: string,
    onEntry: (key: string, value: Uint8Array | undefined, revision: number) => void,
  ): Promise<{ stop(): void }> {
    const consumer = await this.#js.consumers.get(this.#stream, {
      filter_subjects: [this.#subject(filter)],
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    let firstPassDone!: () => void;
    const firstPass = new Promise<void>((resolve) => (firstPassDone = resolve));
    const { num_pending } = await consumer.info();
    if (num_pending === 0) firstPassDone();
    const messages = await consumer.consume({
      max_messages: 500,
      callback: (message) => {
        const gone = message.headers !== undefined && isDeleted(message.headers);
        onEntry(message.subject.slice(`$KV.${this.bucket}.`.length), gone ? undefined : message.data, message.seq);
        if (message.info.pending === 0) firstPassDone();
      },
    });
    await firstPass;
    return { stop: () => messages.stop() };
  }

  #subject(key: string): string {
    return `$KV.${this.bucket}.${key}`;
  }

  async #last(key: string): Promise<(KeyValueEntry & { deleted: boolean }) | undefined> {
    const message = await this.jsm.direct.getMessage(this.#stream, { last_by_subj: this.#subject(key) });
    if (!message) return undefined;
    return { value: message.data, revision: message.seq, deleted: isDeleted(message.header) };
  }
}

function isDeleted(header: MsgHdrs): boolean {
  const operation = header.get('KV-Operation');
  return operation === 'DEL' || operation === 'PURGE' || header.has('Nats-Marker-Reason');
}

function ttlHeader(ttlMs: number | undefined) {
  const result = headers();
  if (ttlMs !== undefined) result.set('Nats-TTL', `${Math.max(1, Math.ceil(ttlMs / 1000))}s`);
  return result;
}
