/**
 * Answers requests at a subject, each by one of those who serve it. When it stops, what was taken is answered first.
 */
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';

export class RequestAnswers {
  readonly #answering = new Set<Promise<void>>();
  readonly #subscription: Subscription;

  /** `answer` responds to its message, and does not throw. */
  constructor(nc: NatsConnection, subject: string, queue: string, answer: (message: Msg) => Promise<void>) {
    this.#subscription = nc.subscribe(subject, {
      queue,
      callback: (error, message) => {
        if (error) return;
        const answering = answer(message).finally(() => this.#answering.delete(answering));
        this.#answering.add(answering);
      },
    });
  }

  /** Takes no more requests; resolves when those of before are answered. */
  async stop(): Promise<void> {
    await this.#subscription.drain();
    await Promise.all(this.#answering);
  }
}
