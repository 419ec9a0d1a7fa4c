/**
 * The clients: each takes a key, calls its values one strictly after the other, and takes the next key.
 *
 * A client retries as the specification tells it: a lost connection, a 5xx, `overloaded` and `unavailable` are tried again with the same
 * idempotency key, after what the server asked for or an exponential back-off with jitter, on the other front end when there
 * is one. It gives a call up when that took too long, and its key with it: order means nothing after a hole. From then on no key is
 * begun: the run is broken, and making it longer tells nothing more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './answer.js';
import { idempotencyKeyOf, type Attempt, type Call } from './history.js';
import { HttpCaller, type Caller } from './http-caller.js';
import { Random } from './random.js';
import { SdkCaller } from './sdk-caller.js';

export interface LoadOptions {
  urls: readonly string[];
  token: string | undefined;
  keys: readonly string[];
  valuesPerKey: number;
  clients: number;
  /** How long a client thinks before its next call, on average. */
  thinkMs: number;
  seed: number;
}

/** One client in this many is the SDK's in either era; the others are plain HTTP, cheaper on the machine that also runs the stack. */
const SHARE = 12;
const KINDS = new Map<number, 'modern' | 'legacy'>([
  [0, 'modern'],
  [1, 'legacy'],
]);
/** Longer than any repair takes: an attempt that is cut short by its client is a cancellation. */
const ATTEMPT_TIMEOUT_MS = 60_000;
const GIVE_UP_AFTER_MS = 180_000;
const BACK_OFF_MS = 50;
const MAX_BACK_OFF_MS = 2_000;
/** The deadline is not what this test is about; it must not end a command that waits for a repair. */
const DEADLINE_MS = 600_000;

export class Load {
  /** Keys whose first call was made, in that order. */
  readonly begun: string[] = [];
  readonly calls: Call[] = [];
  succeeded = 0;
  retries = 0;
  gaveUp = 0;
  readonly #queue: string[];

  constructor(private readonly options: LoadOptions) {
    this.#queue = [...options.keys].reverse();
  }

  get total(): number {
    return this.options.keys.length * this.options.valuesPerKey;
  }

  /** Resolves when every key that was begun is done or given up. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.options.clients }, (_, index) => this.#client(index)));
  }

  async #client(index: number): Promise<void> {
    const { urls, token, seed } = this.options;
    const kind = KINDS.get(index % SHARE) ?? 'http';
    const callers: Caller[] = urls.map((_, offset) => {
      const url = urls[(index + offset) % urls.length]!;
      return kind === 'http'
        ? new HttpCaller(url, token, ATTEMPT_TIMEOUT_MS)
        : new SdkCaller(url, token, ATTEMPT_TIMEOUT_MS, kind);
    });
    const random = new Random(seed + index);
    try {
      for (let key = this.#next(); key !== undefined; key = this.#next()) {
        this.begun.push(key);
        await this.#playKey(key, `${kind}-${index}`, callers, random);
      }
    } finally {
      await Promise.all(callers.map((caller) => caller.close()));
    }
  }

  #next(): string | undefined {
    return this.gaveUp > 0 ? undefined : this.#queue.pop();
  }

  async #playKey(key: string, client: string, callers: readonly Caller[], random: Random): Promise<void> {
    for (let value = 0; value < this.options.valuesPerKey; value++) {
      const call: Call = { key, value, idempotencyKey: idempotencyKeyOf(key, value), attempts: [] };
      this.calls.push(call);
      const end = await this.#persist(call, client, callers, random);
      if (end.kind !== 'succeeded') {
        this.gaveUp += 1;
        return;
      }
      this.succeeded += 1;
      if (this.options.thinkMs > 0) await sleep(this.options.thinkMs * random.between(0.5, 1.5));
    }
  }

  async #persist(call: Call, client: string, callers: readonly Caller[], random: Random): Promise<Answer> {
    const startedAt = Date.now();
    for (let tries = 0; ; tries++) {
      const caller = callers[tries % callers.length]!;
      const sentAt = Date.now();
      const answer = await caller.call({
        name: 'demo.append',
        arguments: { key: call.key, value: call.value },
        meta: {
          'io.callboard/ordering_key': call.key,
          'io.callboard/idempotency_key': call.idempotencyKey,
          'io.callboard/deadline_ms': DEADLINE_MS,
        },
      });
      const attempt: Attempt = { client, url: caller.url, sentAt, answeredAt: Date.now(), answer };
      call.attempts.push(attempt);
      const over = answer.kind === 'succeeded' || answer.kind === 'refused';
      if (over || attempt.answeredAt - startedAt > GIVE_UP_AFTER_MS) return answer;
      this.retries += 1;
      const backOff = Math.min(MAX_BACK_OFF_MS, BACK_OFF_MS * 2 ** Math.min(tries, 10)) * random.between(0.5, 1);
      const asked = answer.kind === 'later' ? (answer.retryAfterMs ?? 0) : 0;
      await sleep(Math.max(backOff, asked));
    }
  }
}
