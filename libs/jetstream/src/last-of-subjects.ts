import { setTimeout as delay } from 'node:timers/promises';
import {
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type ConsumerMessages,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';
import { LEADER_MS, isForNow } from './when-led.js';

const REOPEN_MS = 500;
/** What was asked while the connection was down is lost, and only this tells. */
const TIMEOUT_MS = 2_000;
/** A node that dies takes its consumers along; twice this without a word, and the client looks for its own. */
const HEARTBEAT_MS = 5_000;
/** How long what the leader has is waited for, before it is asked again: what was its last may be gone. */
const ASK_AGAIN_MS = 500;
/** How long a replica may be behind, before another one is tried. */
const BEHIND_MS = 5_000;

/** Is told what one consumer brings. */
export interface Pass {
  /** @param old it came before the pass had caught up */
  message(message: JsMsg, old: boolean): void;
  /**
   * All that was stored when the consumer was made has been told.
   * @param upTo sequence of the last of it; 0 when there is nothing
   */
  caughtUp(upTo: number): void;
}

/**
 * The last message of each subject, then every message, for as long as the connection lives. It makes a new consumer at every reconnect and after
 * every gap, and each begins with all subjects again, so what changed meanwhile shows. The client's own recovery is not used: it forgets to
 * ask for more than a few messages (nats.js 3.4 counts what it asked of the lost consumer), and is then silent for half a minute.
 *
 * In a cluster a consumer is served by one replica, and that of a node which has just come back may lack what the others have acknowledged. So a
 * pass has caught up when it has brought what the leader has.
 */
export class LastOfSubjects {
  readonly #js: JetStreamClient;
  #jsm: JetStreamManager | undefined;
  #messages: ConsumerMessages | undefined;
  #unsubscribe: (() => void) | undefined;
  /** Grows whenever what was begun before is no longer wanted. */
  #generation = 0;
  #caughtUp: () => void = () => undefined;
  /** Highest sequence that was told. */
  #told = 0;
  /** What somebody waits for. */
  readonly #awaited = new Set<{ isSo: () => boolean; resolve: () => void }>();

  /**
   * @param newPass called for each consumer that is made
   * @param onError told of what is tried again
   */
  constructor(
    private readonly nc: NatsConnection,
    private readonly stream: string,
    private readonly subjects: string,
    private readonly newPass: () => Pass,
    private readonly onError: (error: unknown) => void = () => undefined,
  ) {
    this.#js = jetstream(nc, { timeout: TIMEOUT_MS });
  }

  /**
   * Resolves when every subject has been told once. A cluster that has no leader yet is waited for.
   * @param patienceMs `Infinity`: whatever goes wrong is tried again
   * @throws Error when there is no such stream, or it may not be read; TimeoutError when nobody has answered for so long.
   */
  start(patienceMs = LEADER_MS): Promise<void> {
    this.#unsubscribe = onConnectionChange(this.nc, (change) => {
      if (change === 'connected') void this.#reopen();
    });
    return new Promise((resolve, reject) => {
      this.#caughtUp = resolve;
      this.#open(Date.now() + patienceMs).catch((error: Error) => {
        this.stop();
        reject(error);
      });
    });
  }

  /**
   * Resolves when everything has been told that was stored before this was asked.
   * @throws Error when the leader cannot be asked now, or what it has does not come
   */
  async current(): Promise<void> {
    const until = Date.now() + BEHIND_MS;
    for (;;) {
      const last = await this.#lastStored();
      if (await this.#soon(() => this.#told >= last)) return;
      if (Date.now() < until) continue;
      void this.#reopen();
      throw new Behind(this.stream);
    }
  }

  stop(): void {
    this.#generation += 1;
    this.#unsubscribe?.();
    this.#messages?.stop();
  }

  #reopen(): Promise<void> {
    return this.#open(Number.POSITIVE_INFINITY);
  }

  /** @throws Error when it cannot be opened, and waiting until `until` has not helped or could not. */
  async #open(until: number): Promise<void> {
    const generation = ++this.#generation;
    this.#messages?.stop();
    while (generation === this.#generation && !this.nc.isClosed()) {
      try {
        return await this.#follow(generation);
      } catch (error) {
        if (generation !== this.#generation) return;
        if (until !== Number.POSITIVE_INFINITY && (Date.now() > until || !(error instanceof Behind || isForNow(error))))
          throw error;
        this.onError(error);
        await delay(REOPEN_MS);
      }
    }
  }

  async #follow(generation: number): Promise<void> {
    const consumer = await this.#js.consumers.get(this.stream, {
      filter_subjects: [this.subjects],
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    const { num_pending } = await consumer.info(true);
    if (generation !== this.#generation) return;
    const pass = this.newPass();
    let left = num_pending;
    let highest = 0;
    let isOld = true;
    const messages = await consumer.consume({
      max_messages: 500,
      idle_heartbeat: HEARTBEAT_MS,
      callback: (message) => {
        if (generation !== this.#generation) return;
        pass.message(message, isOld);
        // One that was there may be gone before it is delivered, and more may come meanwhile.
        if (left > 0) left = message.info.pending === 0 ? 0 : left - 1;
        highest = message.seq;
        this.#told = Math.max(this.#told, highest);
        for (const awaited of this.#awaited) if (awaited.isSo()) awaited.resolve();
      },
    });
    if (generation !== this.#generation) return messages.stop();
    this.#messages = messages;
    // From now on: what happens to the consumer before it has caught up counts as well.
    const status = messages.status();
    const until = Date.now() + BEHIND_MS;
    try {
      for (;;) {
        const last = await this.#lastStored();
        if (generation !== this.#generation) return;
        if (await this.#soon(() => left === 0 && highest >= last)) break;
        if (generation !== this.#generation) return;
        if (left === 0 && Date.now() > until) throw new Behind(this.stream);
      }
    } catch (error) {
      messages.stop();
      throw error;
    }
    if (generation !== this.#generation) return;
    isOld = false;
    pass.caughtUp(highest);
    this.#caughtUp();
    void this.#distrust(status, generation);
  }

  /** Sequence of the last message that the leader has; 0 when there is none. */
  async #lastStored(): Promise<number> {
    this.#jsm ??= await jetstreamManager(this.nc, { checkAPI: false, timeout: TIMEOUT_MS });
    return (await this.#jsm.streams.getMessage(this.stream, { last_by_subj: this.subjects }))?.seq ?? 0;
  }

  /** Resolves when that is so, with whether it is so after a while. It can become so with a message only. */
  async #soon(isSo: () => boolean): Promise<boolean> {
    if (isSo()) return true;
    let resolve = () => undefined as void;
    const told = new Promise<void>((resolved) => (resolve = resolved));
    const awaited = { isSo, resolve };
    this.#awaited.add(awaited);
    const enough = new AbortController();
    await Promise.race([told, delay(ASK_AGAIN_MS, undefined, { signal: enough.signal }).catch(() => undefined)]);
    enough.abort();
    this.#awaited.delete(awaited);
    return isSo();
  }

  /** The client has made itself a new consumer after a gap, or has given up: make our own. */
  async #distrust(status: ReturnType<ConsumerMessages['status']>, generation: number): Promise<void> {
    for await (const { type } of status) {
      if (generation !== this.#generation) return;
      if (type === 'ordered_consumer_recreated') return this.#reopen();
    }
    await delay(REOPEN_MS);
    if (generation === this.#generation) await this.#reopen();
  }
}

/** The replica that serves a consumer lacks what the leader has. */
class Behind extends Error {
  constructor(stream: string) {
    super(`${stream}: a replica is behind, and what it lacks does not come`);
  }
}
