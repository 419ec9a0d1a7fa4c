import { setTimeout as delay } from 'node:timers/promises';
import { DeliverPolicy, jetstream, type ConsumerMessages, type JetStreamClient, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';
import { LEADER_MS, isForNow } from './when-led.js';

const REOPEN_MS = 500;
/** What was asked while the connection was down is lost, and only this tells. */
const TIMEOUT_MS = 2_000;
/** A node that dies takes its consumers along; twice this without a word, and the client looks for its own. */
const HEARTBEAT_MS = 5_000;

/** Is told what one consumer brings. */
export interface Pass {
  /** @param old it was stored before the consumer was made */
  message(message: JsMsg, old: boolean): void;
  /** All that was stored when the consumer was made has been told. */
  caughtUp(): void;
}

/**
 * The last message of each subject, then every message, for as long as the connection lives. It makes a new consumer at every reconnect and after
 * every gap, and each begins with all subjects again, so what changed meanwhile shows. The client's own recovery is not used: it forgets to
 * ask for more than a few messages (nats.js 3.4 counts what it asked of the lost consumer), and is then silent for half a minute.
 */
export class LastOfSubjects {
  readonly #js: JetStreamClient;
  #messages: ConsumerMessages | undefined;
  #unsubscribe: (() => void) | undefined;
  /** Grows whenever what was begun before is no longer wanted. */
  #generation = 0;
  #caughtUp: () => void = () => undefined;

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
        if (until !== Number.POSITIVE_INFINITY && (Date.now() > until || !isForNow(error))) throw error;
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
    const caughtUp = () => {
      pass.caughtUp();
      this.#caughtUp();
    };
    let old = num_pending;
    if (old === 0) caughtUp();
    const messages = await consumer.consume({
      max_messages: 500,
      idle_heartbeat: HEARTBEAT_MS,
      callback: (message) => {
        if (generation !== this.#generation) return;
        pass.message(message, old > 0);
        if (old === 0) return;
        // One that was there may be gone before it is delivered, and more may come meanwhile.
        old = message.info.pending === 0 ? 0 : old - 1;
        if (old === 0) caughtUp();
      },
    });
    if (generation !== this.#generation) return messages.stop();
    this.#messages = messages;
    void this.#distrust(messages, generation);
  }

  /** The client has made itself a new consumer after a gap, or has given up: make our own. */
  async #distrust(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const { type } of messages.status()) {
      if (generation !== this.#generation) return;
      if (type === 'ordered_consumer_recreated') return this.#reopen();
    }
    await delay(REOPEN_MS);
    if (generation === this.#generation) await this.#reopen();
  }
}
