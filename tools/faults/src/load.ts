/**
 * The clients: each takes a key, calls its values in groups, a group at once and strictly after the answers to the one before, and takes
 * the next key.
 *
 * A client retries as the specification tells it: a lost connection, a 5xx, `overloaded` and `unavailable` are tried again with the same
 * idempotency key, after what the server asked for or an exponential back-off with jitter, on the other front end when there
 * is one. It gives a call up when that took too long, and its key with it: order means nothing after a hole. From then on no key is
 * begun: the run is broken, and making it longer tells nothing more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { idempotencyKeyOf, type Attempt, type Call } from './history.js';
import { HttpCaller, type Caller } from './http-caller.js';
import { planKey, type Plan } from './plan.js';
import { Random } from './random.js';
import { SdkCaller } from './sdk-caller.js';

export interface LoadOptions {
  urls: readonly string[];
  token: string | undefined;
  keys: readonly string[];
  valuesPerKey: number;
  clients: number;
  /** How long a client thinks before its next calls, on average. */
  thinkMs: number;
  seed: number;
  /** Hears of every call whose plan is to be cancelled, when it was sent. */
  onCancel(call: Call): void;
}

/** One client in this many is the SDK's in either era; the others are plain HTTP, cheaper on the machine that also runs the stack. */
const SHARE = 12;
const KINDS = new Map<number, 'modern' | 'legacy'>([
  [0, 'modern'],
  [1, 'legacy'],
]);
/** Longer than any repair takes: an attempt that is cut short by its client is a cancellation. */
const ATTEMPT_TIMEOUT_MS = 60_000;
const GIVE_UP_AFTER_MS = 90_000;
const BACK_OFF_MS = 50;
const MAX_BACK_OFF_MS = 2_000;
/** As many as a group has. */
const CALLS_AT_ONCE = 3;

export class Load {
  readonly calls: Call[] = [];
  /** Calls that have their answer, whatever it is. */
  answered = 0;
  retries = 0;
  gaveUp = 0;
  #queue: number[];

  constructor(private readonly options: LoadOptions) {
    this.#queue = options.keys.map((_, index) => index).reverse();
  }

  get total(): number {
    return this.options.keys.length * this.options.valuesPerKey;
  }

  /** Resolves when every key that was begun is done or given up. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.options.clients }, (_, index) => this.#client(index)));
  }

  /** Begins no more keys: `run` ends with those that were begun. */
  finish(): void {
    this.#queue = [];
  }

  async #client(index: number): Promise<void> {
    const { urls, token, seed } = this.options;
    const kind = KINDS.get(index % SHARE) ?? 'http';
    const callers: Caller[] = urls.map((_, offset) => {
      const url = urls[(index + offset) % urls.length]!;
      return kind === 'http'
        ? new HttpCaller(url, token, ATTEMPT_TIMEOUT_MS, CALLS_AT_ONCE)
        : new SdkCaller(url, token, ATTEMPT_TIMEOUT_MS, kind);
    });
    const random = new Random(seed + index);
    try {
      for (let key = this.#next(); key !== undefined; key = this.#next()) {
        await this.#playKey(key, `${kind}-${index}`, callers, random);
      }
    } finally {
      await Promise.all(callers.map((caller) => caller.close()));
    }
  }

  #next(): number | undefined {
    return this.gaveUp > 0 ? undefined : this.#queue.pop();
  }

  async #playKey(index: number, client: string, callers: readonly Caller[], random: Random): Promise<void> {
    const { keys, valuesPerKey, seed, thinkMs } = this.options;
    const key = keys[index]!;
    // The plan of a key does not depend on who plays it.
    const groups = planKey(new Random(seed + 1_000_003 * (index + 1)), valuesPerKey);
    let value = 0;
    for (const group of groups) {
      const calls = group.map((plan) => this.#begin(key, value++, plan));
      const ended = await Promise.all(calls.map((call) => this.#persist(call, client, callers, random)));
      if (ended.includes(false)) {
        this.gaveUp += 1;
        return;
      }
      if (thinkMs > 0) await sleep(thinkMs * random.between(0.5, 1.5));
    }
  }

  #begin(key: string, value: number, plan: Plan): Call {
    const call: Call = { key, value, idempotencyKey: idempotencyKeyOf(key, value), plan, attempts: [] };
    this.calls.push(call);
    if (plan.cancelAfterMs !== undefined) this.options.onCancel(call);
    return call;
  }

  /** Returns whether the call has its answer. */
  async #persist(call: Call, client: string, callers: readonly Caller[], random: Random): Promise<boolean> {
    const { key, value, plan } = call;
    const startedAt = Date.now();
    for (let tries = 0; ; tries++) {
      const caller = callers[tries % callers.length]!;
      const sentAt = Date.now();
      const answer = await caller.call({
        name: `faults.${plan.action}`,
        arguments: { key, value, ...plan.work },
        meta: {
          'io.callboard/ordering_key': key,
          'io.callboard/idempotency_key': call.idempotencyKey,
          'io.callboard/deadline_ms': plan.deadlineMs,
          'io.callboard/priority': plan.priority,
        },
      });
      const attempt: Attempt = { client, url: caller.url, sentAt, answeredAt: Date.now(), answer };
      call.attempts.push(attempt);
      if (answer.kind === 'succeeded' || answer.kind === 'refused') {
        this.answered += 1;
        return true;
      }
      if (attempt.answeredAt - startedAt > GIVE_UP_AFTER_MS) return false;
      this.retries += 1;
      const backOff = Math.min(MAX_BACK_OFF_MS, BACK_OFF_MS * 2 ** Math.min(tries, 10)) * random.between(0.5, 1);
      const asked = answer.kind === 'later' ? (answer.retryAfterMs ?? 0) : 0;
      await sleep(Math.max(backOff, asked));
    }
  }
}
