/**
 * The replicas of the front end, as far as sessions need to know each other: who is alive, and a way to ask one.
 *
 * Every process has an incarnation of its own, so a restarted replica is not mistaken for the one that died. It beats by putting its
 * incarnation under its instance name in MCP_SESSIONS, with a short time to live; it is gone when the key is, or names another
 * incarnation. A replica that is only cut off from NATS for longer than that counts as gone too: both may then carry the same
 * request on, which the event log makes harmless.
 *
 * Questions travel over core NATS (`mcp.replica.<incarnation>`) and are answered or not; nothing relies on them but speed.
 */
import { randomBytes } from 'node:crypto';
import { CallboardError, encodeToken } from '@callboard/envelope';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import { patiently } from './event-log.js';

export interface ReplicaId {
  instance: string;
  incarnation: string;
}

export type Question = { about: string } & Record<string, unknown>;
/** Returns whether this replica did what it was asked. */
export type Answerer = (question: Question) => boolean;

export interface ReplicaOptions {
  heartbeatMs: number;
  heartbeatTtlMs: number;
}

const EVERYONE = 'mcp.replicas';
const ASK_TIMEOUT_MS = 1_000;
const ASK_PATIENCE_MS = 3_000;
/** What fits into one message of core NATS, with room to spare. */
const MAX_QUESTION_BYTES = 1024 * 1024 - 4096;

export class Replicas {
  readonly self: ReplicaId;
  /** What this replica does when another asks it. */
  answer: Answerer = () => false;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();

  private constructor(
    private readonly nc: NatsConnection,
    private readonly store: KeyValueStore,
    instance: string,
    private readonly options: ReplicaOptions,
    private readonly onError: (error: unknown) => void,
  ) {
    this.self = { instance, incarnation: randomBytes(12).toString('base64url') };
  }

  /** Resolves when the others can see this replica. */
  static async join(
    nc: NatsConnection,
    instance: string,
    options: ReplicaOptions,
    onError: (error: unknown) => void,
  ): Promise<Replicas> {
    const store = await KeyValueStore.open(nc, BUCKET.sessions);
    const replicas = new Replicas(nc, store, instance, options, onError);
    const { incarnation } = replicas.self;
    nc.subscribe(`mcp.replica.${incarnation}`, {
      callback: (error, message) =>
        void (error ?? message.respond(replicas.answer(message.json<Question>()) ? 'yes' : 'no')),
    });
    nc.subscribe(EVERYONE, { callback: (error, message) => void (error ?? replicas.answer(message.json<Question>())) });
    await patiently(() => replicas.#beat());
    replicas.#timer = setInterval(() => {
      replicas.#beating = replicas.#beat().catch(onError);
    }, options.heartbeatMs);
    return replicas;
  }

  /** From now on the others carry on what this replica served. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    await this.store.delete(keyOf(this.self.instance)).catch(this.onError);
  }

  isSelf(replica: ReplicaId): boolean {
    return replica.incarnation === this.self.incarnation;
  }

  async isAlive(replica: ReplicaId): Promise<boolean> {
    if (this.isSelf(replica)) return true;
    const value = await patiently(() => this.store.get(keyOf(replica.instance)));
    return value !== undefined && Buffer.from(value).toString() === replica.incarnation;
  }

  /**
   * Asks one replica to do something. Tries for some seconds while it does not answer, as it may be reconnecting; `undefined` when
   * there was no answer.
   * @throws CallboardError `payload_too_large`
   */
  async ask({ incarnation }: ReplicaId, question: Question): Promise<boolean | undefined> {
    const until = Date.now() + ASK_PATIENCE_MS;
    const data = encode(question);
    do {
      try {
        const reply = await this.nc.request(`mcp.replica.${incarnation}`, data, { timeout: ASK_TIMEOUT_MS });
        return reply.string() === 'yes';
      } catch (error) {
        // No subscription there: it is gone, or not back yet.
        if (isNoResponders(error)) await delay(100);
        else if (!(error instanceof errors.TimeoutError)) throw error;
      }
    } while (Date.now() < until);
    return undefined;
  }

  /** @throws CallboardError `payload_too_large` */
  tellEveryone(question: Question): void {
    this.nc.publish(EVERYONE, encode(question));
  }

  async #beat(): Promise<void> {
    const { instance, incarnation } = this.self;
    await this.store.put(keyOf(instance), Buffer.from(incarnation), { ttlMs: this.options.heartbeatTtlMs });
  }
}

function encode(question: Question): Uint8Array {
  const data = Buffer.from(JSON.stringify(question));
  if (data.byteLength > MAX_QUESTION_BYTES) throw new CallboardError('payload_too_large');
  return data;
}

function isNoResponders(error: unknown): boolean {
  return error instanceof errors.NoRespondersError || (error instanceof errors.RequestError && error.isNoResponders());
}

function keyOf(instance: string): string {
  return `replicas.${encodeToken(instance)}`;
}
