/** An AI client with a durable subscription: polls, confirms what it has, and polls again after whatever went wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SdkCaller } from '../sdk-caller.js';
import type { Era, SeenEvent } from './history.js';
import { seenEvent, type GivenEvent } from './seen.js';

const CALL_MS = 30_000;
const WAIT_MS = 2_000;
const AGAIN_MS = 200;

interface Poll {
  events: GivenEvent[];
  next_cursor: string;
  truncated: boolean;
}

export class Subscriber {
  readonly read: SeenEvent[] = [];
  readonly #caller: SdkCaller;
  #stopped = false;

  private constructor(
    url: string,
    token: string,
    private readonly era: Era,
  ) {
    this.#caller = new SdkCaller(url, token, CALL_MS, era);
  }

  /** Resolves when it is subscribed: to what comes from then on. */
  static async subscribe(url: string, token: string, era: Era): Promise<Subscriber> {
    const subscriber = new Subscriber(url, token, era);
    await subscriber.#call('events.subscribe', { name: era });
    return subscriber;
  }

  /** Reads until it is stopped. */
  async run(): Promise<void> {
    let cursor: string | undefined;
    while (!this.#stopped) {
      const text = await this.#call('events.poll', {
        name: this.era,
        wait_ms: WAIT_MS,
        max: 200,
        ...(cursor && { cursor }),
      });
      const { events, next_cursor, truncated } = JSON.parse(text) as Poll;
      if (truncated) throw new Error('a poll said that events may be missing, and nothing is that old');
      cursor = next_cursor;
      for (const event of events) {
        const seen = seenEvent(event);
        if (seen) this.read.push(seen);
      }
    }
    await this.#caller.close();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** @throws Error when it is refused for good. */
  async #call(name: string, args: Record<string, unknown>): Promise<string> {
    for (;;) {
      const answer = await this.#caller.call({ name, arguments: args });
      if (answer.kind === 'succeeded') return answer.text;
      if (answer.kind === 'refused') throw new Error(`${name} was refused: ${answer.code}: ${answer.message}`);
      await sleep(AGAIN_MS);
    }
  }
}
