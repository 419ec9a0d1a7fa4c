import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import type { CommandConsumer } from './command-consumer.js';

/** The NestJS transport for the command stream: Nest starts it and stops it, the ordered keyed consumer does the work. */
export class JetStreamServer extends Server implements CustomTransportStrategy {
  #consumer: CommandConsumer | undefined;

  /** `start` makes the consumer; a stopping application waits for its drain, at most `drainTimeoutMs` for what runs. */
  constructor(
    private readonly start: () => Promise<CommandConsumer>,
    private readonly drainTimeoutMs: number,
  ) {
    super();
  }

  listen(callback: (error?: unknown) => void): void {
    this.start().then((consumer) => {
      this.#consumer = consumer;
      callback();
    }, callback);
  }

  async close(): Promise<void> {
    await this.#consumer?.drain(this.drainTimeoutMs);
  }

  /** This transport has no events of its own: what happens to commands is in the streams. */
  on(): never {
    throw new TypeError('the JetStream transport has no events; read the streams');
  }

  unwrap<T>(): T {
    return this.#consumer as T;
  }
}
