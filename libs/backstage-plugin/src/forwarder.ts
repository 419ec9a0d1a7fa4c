/**
 * From Backstage's events service into JetStream.
 *
 * Whoever publishes an event in this process waits for its subscribers, the HTTP ingress among them; and an error of a subscriber is logged and
 * forgotten there, the publisher none the wiser. So `forward` does not fail for anything that can pass: it returns when the event is
 * stored, however long that takes, and a publisher that is answered knows that its event is durable.
 *
 *   F1  An event of a key is stored after those of its key that came before it; keys do not wait for each other.
 *   F2  An event has one identity from the moment it came: however often it is sent, it is stored once.
 *   F3  At most `maxInFlight` events are being sent. The others wait, in the order in which they came, and with them their publishers;
 *       of them nothing is kept here but what Backstage holds anyway.
 *
 * Not guaranteed: anything for events whose publisher did not come to wait here, because this process ended. It was not answered either.
 */
import { backstageEvent, type BackstageEvent, type BackstageOrigin, type SourcedEvent } from '@callboard/events';
import { backOffMs, type RawEvents } from '@callboard/jetstream';
import { setTimeout as delay } from 'node:timers/promises';
import { Places } from './places.js';
import { Turns } from './turns.js';

export interface ForwarderEvents {
  stored(topic: string, how: 'stored' | 'known'): void;
  /** It could not be stored now and is tried again; `attempt` counts from 1. */
  refused(topic: string, error: unknown, attempt: number, retryInMs: number): void;
}

/** The publisher sends what has no ack again by itself; this only bounds how long nobody is told. */
const ATTEMPT_MS = 10_000;
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 15_000;

export class Forwarder {
  readonly #turns = new Turns();
  readonly #places: Places;
  readonly #waiting = new Set<Promise<void>>();

  constructor(
    private readonly origin: BackstageOrigin,
    private readonly raw: Promise<Pick<RawEvents, 'publish'>>,
    maxInFlight: number,
    private readonly events: ForwarderEvents,
  ) {
    this.#places = new Places(maxInFlight);
  }

  /** Events that have come and are not stored yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when the event is durable.
   * @throws InvalidEvent when it can never be: its payload is no JSON.
   */
  async forward(params: BackstageEvent): Promise<void> {
    const event = backstageEvent(this.origin, params);
    const stored = this.#turns.take(event.key, async () => {
      const leave = await this.#places.take();
      try {
        await this.#store(event);
      } finally {
        leave();
      }
    });
    this.#waiting.add(stored);
    try {
      await stored;
    } finally {
      this.#waiting.delete(stored);
    }
  }

  /** Resolves when everything that has come so far, and until then, is stored. */
  async idle(): Promise<void> {
    while (this.#waiting.size > 0) await Promise.allSettled(this.#waiting);
  }

  async #store(event: SourcedEvent): Promise<void> {
    const { type: topic } = event.attributes;
    for (let attempt = 1; ; attempt++) {
      try {
        const raw = await this.raw;
        return this.events.stored(topic, await raw.publish(event, ATTEMPT_MS));
      } catch (error) {
        const pauseMs = backOffMs(attempt, FIRST_RETRY_MS, LONGEST_RETRY_MS);
        this.events.refused(topic, error, attempt, pauseMs);
        await delay(pauseMs);
      }
    }
  }
}
