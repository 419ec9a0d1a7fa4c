/**
 * Senders of events: one for each way and key, which sends the key's next value when the one before was answered, and sends again what was
 * not. Over the bus nothing is sent again, because there nobody could tell the second from another event.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadyFile } from '@callboard/testing';
import { Random } from '../random.js';
import type { Post, Way } from './history.js';

export interface EventLoadOptions {
  ready: ReadyFile;
  /** Of each way. */
  keys: number;
  values: number;
  thinkMs: number;
  seed: number;
}

const WAYS: readonly Way[] = ['plug-in', 'ingestor', 'bus'];
/** Longer than a publisher waits while nats-server is replaced. */
const ANSWER_MS = 20_000;
const AGAIN_MS = 250;
/** Part of the events that are sent once more although they were taken. */
const REPEATED = 0.1;
/** A sender that has no answer for so long is stuck, and the run with it. */
const GIVE_UP_MS = 120_000;

export class EventLoad {
  readonly posts: Post[] = [];
  readonly total: number;
  done = 0;

  constructor(private readonly options: EventLoadOptions) {
    this.total = WAYS.length * options.keys * options.values;
  }

  /** Resolves when everything was sent. */
  async run(): Promise<void> {
    const senders = WAYS.flatMap((way, w) =>
      Array.from({ length: this.options.keys }, (_, k) =>
        this.#sendKey(way, k, new Random(this.options.seed + 7919 * w + k)),
      ),
    );
    await Promise.all(senders);
  }

  async #sendKey(way: Way, index: number, random: Random): Promise<void> {
    const key = `theatre/${way}-${index}`;
    for (let value = 0; value < this.options.values; value++) {
      await sleep(random.between(0, 2 * this.options.thinkMs));
      const secret = `${randomUUID().slice(0, 8)}.${index}.${value}@private.example`;
      const post: Post = { way, key, value, secret, sentAt: Date.now(), attempts: 0 };
      this.posts.push(post);
      await this.#send(post);
      // As senders do that have lost an answer, or are told to.
      if (way !== 'bus' && random.next() < REPEATED) await this.#send(post);
      this.done += 1;
    }
  }

  async #send(post: Post): Promise<void> {
    const until = post.sentAt + GIVE_UP_MS;
    do {
      post.attempts += 1;
      if (await this.#isTaken(post)) {
        post.answeredAt = Date.now();
        return;
      }
      await sleep(AGAIN_MS);
      if (post.way === 'bus') return this.#backstageIsBack(until);
    } while (Date.now() < until);
  }

  /** What is not sent again would all be spent on a Backstage that is away. */
  async #backstageIsBack(until: number): Promise<void> {
    const isBack = () =>
      fetch(`${this.options.ready.backstage_url}/.backstage/health/v1/readiness`).then(
        (answer) => answer.ok,
        () => false,
      );
    while (!(await isBack()) && Date.now() < until) await sleep(AGAIN_MS);
  }

  async #isTaken({ way, key, value, secret }: Post): Promise<boolean> {
    const { ready } = this.options;
    const id = `${key}:${value}`;
    const data = { repository: { full_name: key }, n: value, pusher: { email: secret } };
    switch (way) {
      case 'plug-in':
        return post(`${ready.backstage_url}/api/events/http/github`, data, {
          'x-github-delivery': id,
          'x-github-event': 'push',
        });
      case 'bus':
        return post(`${ready.backstage_url}/api/events/http/scenery`, data);
      case 'ingestor': {
        const event = { specversion: '1.0', id, source: '/faults', type: 'faults.act', partitionkey: key, data };
        return post(`${ready.ingest_url}/events/local`, event, {
          'content-type': 'application/cloudevents+json',
          authorization: `Bearer ${ready.token}`,
        });
      }
    }
  }
}

async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<boolean> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await answer.arrayBuffer();
    return answer.status === 202;
  } catch {
    return false;
  }
}
