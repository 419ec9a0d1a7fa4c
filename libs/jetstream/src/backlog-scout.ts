import { HEADER } from '@callboard/envelope';
import {
  AckPolicy,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type ConsumerMessages,
  type JsMsg,
} from '@nats-io/jetstream';
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { STREAM } from './topology.js';

const PULL_MESSAGES = 2_000;

/**
 * Reads ahead of a partition's owner when the backlog is deeper than what it keeps in memory: headers only, to find the urgent
 * commands in it. Finding is all that it does, so whatever goes wrong here costs priority and nothing else.
 */
export class BacklogScout {
  /** Everything up to here was looked at. */
  scoutedUpTo = 0;
  #messages: ConsumerMessages | undefined;
  #starting = false;
  #stopped = false;

  constructor(
    private readonly nc: NatsConnection,
    private readonly subjects: string,
    private readonly onUrgent: (subject: string, sequence: number) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Looks at what is stored after a sequence, and at what comes after that, until stopped. */
  async start(after: number): Promise<void> {
    if (this.#messages || this.#starting) return;
    this.#starting = true;
    this.#stopped = false;
    try {
      const jsm = await jetstreamManager(this.nc, { checkAPI: false });
      const { name } = await jsm.consumers.add(STREAM.commands, {
        description: 'Looks for urgent commands in a deep backlog',
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(30_000),
        filter_subject: this.subjects,
        headers_only: true,
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: Math.max(after, this.scoutedUpTo) + 1,
      });
      const consumer = await jetstream(this.nc).consumers.get(STREAM.commands, name);
      const messages = await consumer.consume({
        max_messages: PULL_MESSAGES,
        callback: (message) => this.#look(message),
      });
      if (this.#stopped) messages.stop();
      else this.#messages = messages;
    } catch (error) {
      this.onError(error);
    } finally {
      this.#starting = false;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#messages?.stop();
    this.#messages = undefined;
  }

  #look(message: JsMsg): void {
    if (this.#stopped) return;
    this.scoutedUpTo = Math.max(this.scoutedUpTo, message.seq);
    if (message.headers?.get(HEADER.priority) === 'high') this.onUrgent(message.subject, message.seq);
  }
}
