/**
 * What is done while processes are killed: calls with and without an idempotency key, events, and requests that must be refused. Each client knows
 * what it was answered; what it was not answered it asks again, or leaves, and then does not know.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadyFile } from '@callboard/testing';
import { HttpCaller } from '../http-caller.js';
import { Random } from '../random.js';
import type { AskedInVain } from './checker.js';

export interface AuditLoadOptions {
  ready: ReadyFile;
  seed: number;
  clients: number;
  operations: number;
  thinkMs: number;
}

const TIMEOUT_MS = 20_000;
const AGAIN_MS = 250;
/** What cannot be done for so long is left; the stack has long been repaired then. */
const GIVE_UP_MS = 120_000;
const VAIN_ATTEMPTS = 3;

/** Part of the operations that are each of these; the rest are calls. */
const SHARES = { event: 0.25, stranger: 0.08, forbidden: 0.06, malformed: 0.06 };
/** Part of the calls. */
const KEYED = 0.4;

export class AuditLoad {
  readonly keyed = new Set<string>();
  readonly refused = new Map<string, number>();
  /** Names of the events that were answered as taken. */
  readonly taken = new Set<string>();
  done = 0;
  /** Calls and events that were answered as done. */
  succeeded = 0;
  readonly #caller: HttpCaller;

  constructor(private readonly options: AuditLoadOptions) {
    const { ready, clients } = options;
    this.#caller = new HttpCaller(ready.mcp_url, ready.token, TIMEOUT_MS, clients);
  }

  /** Resolves when everything was asked, and answered or left. */
  async run(): Promise<void> {
    const { clients, operations, seed, thinkMs } = this.options;
    let next = 0;
    const client = async (index: number) => {
      const random = new Random(seed + 7919 * (index + 1));
      while (next < operations) {
        const n = next++;
        await this.#operate(n, random);
        this.done += 1;
        await sleep(random.between(0, 2 * thinkMs));
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  }

  /** Asks for what cannot be recorded now, and does not ask again. `until` is for whoever gives the stream back. */
  async askInVain(name: string): Promise<AskedInVain[]> {
    const calls = Array.from({ length: VAIN_ATTEMPTS }, async (_, i) => {
      const key = `away-${name}-${i}`;
      const { kind } = await this.#append(key, i);
      return { key, until: Infinity, answeredAsDone: kind === 'succeeded' };
    });
    const events = Array.from({ length: VAIN_ATTEMPTS }, async (_, i) => {
      const key = `away-${name}-event-${i}`;
      return { key, until: Infinity, answeredAsDone: (await this.#send(key)) === 202 };
    });
    return Promise.all([...calls, ...events]);
  }

  close(): Promise<void> {
    return this.#caller.close();
  }

  async #operate(n: number, random: Random): Promise<void> {
    let share = random.next();
    const is = (kind: keyof typeof SHARES) => (share -= SHARES[kind]) < 0;
    if (is('event')) return this.#insist(async () => (await this.#send(`event-${n}`)) === 202);
    if (is('stranger')) return this.#refuse('authentication unauthorized', () => this.#asStranger());
    if (is('forbidden'))
      return this.#refuse('denial forbidden', () => this.#send(`forbidden-${n}`, 'io.callboard.gap'));
    if (is('malformed')) return this.#refuse('malformed invalid_request', () => this.#malformed());
    const key = `call-${n}`;
    if (random.next() >= KEYED) {
      if ((await this.#append(key, n)).kind === 'succeeded') this.succeeded += 1;
      return;
    }
    this.keyed.add(key);
    const meta = { 'io.callboard/idempotency_key': key };
    await this.#insist(async () => (await this.#append(key, n, meta)).kind === 'succeeded');
  }

  #append(key: string, value: number, meta: { [name: string]: unknown } = {}) {
    return this.#caller.call({ name: 'demo.append', arguments: { key, value }, meta });
  }

  async #insist(isDone: () => Promise<boolean>): Promise<void> {
    for (const until = Date.now() + GIVE_UP_MS; Date.now() < until; await sleep(AGAIN_MS)) {
      if (!(await isDone())) continue;
      this.succeeded += 1;
      return;
    }
  }

  /** Counts what was refused as it must be; a request that was answered otherwise, or not at all, is no refusal. */
  async #refuse(name: string, ask: () => Promise<number>): Promise<void> {
    const status = await ask();
    if (status >= 400 && status < 500) this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
  }

  async #send(id: string, type = 'faults.audit'): Promise<number> {
    const { ready } = this.options;
    const event = { specversion: '1.0', id, source: '/faults', type, data: { id } };
    const { status, text } = await post(`${ready.ingest_url}/events/local`, JSON.stringify(event), {
      'content-type': 'application/cloudevents+json',
      authorization: `Bearer ${ready.token}`,
    });
    if (status === 202) for (const name of (JSON.parse(text) as { events: string[] }).events) this.taken.add(name);
    return status;
  }

  async #asStranger(): Promise<number> {
    const { status } = await post(this.options.ready.mcp_url, '{}', {
      'content-type': 'application/json',
      authorization: 'Bearer nobody',
    });
    return status;
  }

  async #malformed(): Promise<number> {
    const { mcp_url: url, token } = this.options.ready;
    const { status } = await post(url, '{', { 'content-type': 'application/json', authorization: `Bearer ${token}` });
    return status;
  }
}

/** The status, 0 without an answer, and the body. */
async function post(
  url: string,
  body: string,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  try {
    const answer = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: answer.status, text: await answer.text() };
  } catch {
    return { status: 0, text: '' };
  }
}
