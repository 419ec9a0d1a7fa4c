/** What the users of two tenants do, in a mix: their own, under names that both use, and now and then something that is the other's. */
import type { ReadyFile } from '@callboard/testing';
import { HttpCaller, type HttpAnswer } from '../http-caller.js';
import { Random } from '../random.js';
import type { Answered, Asked } from './judge.js';
import { markOf, otherOf, type Tenant, type TwoTenants, type User } from './two-tenants.js';

const TIMEOUT_MS = 60_000;
/** Names that both tenants use at the same time. */
const SHARED_NAMES = 40;
const SUBSCRIPTION = 'shared';
const KEPT_HANDLES = 500;
const TASKS = { 'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } } };

export interface Operation {
  asked: Asked;
  ask(): Promise<Answered>;
}

/** What a tenant has given out, for the other to try. */
class Handles {
  readonly #kept: Record<Tenant, string[]> = { acme: [], globex: [] };

  add(tenant: Tenant, handle: string): void {
    const kept = this.#kept[tenant];
    kept.push(handle);
    if (kept.length > KEPT_HANDLES) kept.shift();
  }

  pick(tenant: Tenant, random: Random): string | undefined {
    const kept = this.#kept[tenant];
    return kept.length === 0 ? undefined : random.pick(kept);
  }
}

type Weighted = [weight: number, make: (client: UserClient, n: number, random: Random) => Operation | undefined];

export class Operations {
  readonly commands = new Handles();
  readonly sessions = new Handles();
  readonly clients: UserClient[];

  constructor({ users, ingestTokens }: TwoTenants, ready: ReadyFile) {
    this.clients = users.map(
      (user, n) =>
        new UserClient(
          user,
          ready.mcp_urls[n % ready.mcp_urls.length]!,
          ready.ingest_url,
          ingestTokens[user.tenant],
          this,
        ),
    );
  }

  /** Everybody subscribes, and opens a session. */
  async begin(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.begin()));
  }

  next(client: UserClient, n: number, random: Random): Operation {
    const total = MIX.reduce((sum, [weight]) => sum + weight, 0);
    let at = random.between(0, total);
    for (const [weight, make] of MIX) {
      at -= weight;
      if (at < 0) return make(client, n, random) ?? client.echo(n);
    }
    return client.echo(n);
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }
}

const MIX: Weighted[] = [
  [30, (client, n) => client.echo(n)],
  [12, (client, _, random) => client.echoOnce(Math.floor(random.between(0, SHARED_NAMES)))],
  [6, (client, n, random) => client.append(n, Math.floor(random.between(0, SHARED_NAMES)))],
  [8, (client, n) => client.accept(n)],
  [7, (client, _, random) => client.fetch(random)],
  [7, (client, _, random) => client.fetchForeign(random)],
  [4, (client, _, random) => client.task('tasks/get', random)],
  [3, (client, _, random) => client.task('tasks/cancel', random)],
  [4, (client, n) => client.send(n)],
  [6, (client) => client.readEvents()],
  [4, (client) => client.poll()],
  [3, (client) => client.readResource(client.tenant)],
  [2, (client) => client.readResource(otherOf(client.tenant))],
  [2, (client) => client.ping()],
  [2, (client, _, random) => client.pingForeign(random)],
];

export class UserClient {
  readonly tenant: Tenant;
  readonly #mark: string;
  readonly #caller: HttpCaller;
  #session = '';

  constructor(
    private readonly user: User,
    private readonly url: string,
    private readonly ingestUrl: string,
    private readonly ingestToken: string,
    private readonly all: Operations,
  ) {
    this.tenant = user.tenant;
    this.#mark = markOf(user.tenant);
    this.#caller = new HttpCaller(url, user.token, TIMEOUT_MS, 64);
  }

  async begin(): Promise<void> {
    await this.#call('events.subscribe', { name: SUBSCRIPTION, from: 'earliest' });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'faults', version: '1' } };
    const begun = await this.#legacy({ jsonrpc: '2.0', id: 0, method: 'initialize', params });
    await begun.text();
    this.#session = begun.headers.get('mcp-session-id')!;
    this.all.sessions.add(this.tenant, this.#session);
  }

  echo(n: number): Operation {
    const text = `${this.#mark} ${n}`;
    return this.#own('echo', text, () => this.#call('demo.echo', { text }));
  }

  /** Under an idempotency key that the other tenant uses too, with other arguments. */
  echoOnce(name: number): Operation {
    const text = `${this.#mark} once ${name}`;
    const meta = { 'io.callboard/idempotency_key': `shared-${name}` };
    return this.#own('echo once', text, () => this.#call('demo.echo', { text }, meta));
  }

  /** Under an ordering key that the other tenant uses too. */
  append(n: number, name: number): Operation {
    const value = `${this.#mark} ${n}`;
    return this.#own('append', value, () => this.#call('demo.append', { key: `shared-${name}`, value }));
  }

  accept(n: number): Operation {
    const value = `${this.#mark} later ${n}`;
    return this.#own('accept', '', async () => {
      const meta = { 'io.callboard/accept_async': true, 'io.callboard/ordering_key': `later-${n}` };
      const answer = await this.#call('demo.append', { key: 'later', value }, meta);
      const id = /"(?:io\.callboard\/)?correlation_id":"([^"]+)"/.exec(answer.text)?.[1];
      if (id) this.all.commands.add(this.tenant, `${this.user.userId} ${id}`);
      return answer;
    });
  }

  fetch(random: Random): Operation | undefined {
    const handle = this.all.commands.pick(this.tenant, random);
    if (handle === undefined) return undefined;
    const [userId, id] = handle.split(' ');
    const ask = () => this.#call('callboard.result', { correlation_id: id, wait_ms: 0 });
    return userId === this.user.userId
      ? this.#own('own result', '', ask)
      : this.#refused("a colleague's result", 'not_found', ask);
  }

  fetchForeign(random: Random): Operation | undefined {
    const id = this.#foreignCommand(random);
    return id === undefined
      ? undefined
      : this.#refused('foreign result', 'not_found', () =>
          this.#call('callboard.result', { correlation_id: id, wait_ms: 0 }),
        );
  }

  task(method: 'tasks/get' | 'tasks/cancel', random: Random): Operation | undefined {
    const taskId = this.#foreignCommand(random);
    return taskId === undefined
      ? undefined
      : this.#refused(`foreign ${method}`, -32602, () => this.#ask(method, { taskId }, TASKS, taskId));
  }

  send(n: number): Operation {
    return this.#own('event', '', async () => {
      const answer = await fetch(`${this.ingestUrl}/events/${this.tenant}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/cloudevents+json',
          authorization: `Bearer ${this.ingestToken}`,
        },
        // The same ids at the same source of the sender, for both.
        body: JSON.stringify({
          specversion: '1.0',
          id: `event-${n}`,
          source: '/faults',
          type: 'faults.act',
          partitionkey: 'shared',
          data: { text: `${this.#mark} ${n}` },
        }),
      });
      return { status: answer.status, text: await answer.text() };
    });
  }

  readEvents(): Operation {
    return this.#own('events.read', '', () => this.#call('events.read', {}));
  }

  poll(): Operation {
    return this.#own('events.poll', '', () => this.#call('events.poll', { name: SUBSCRIPTION, wait_ms: 0 }));
  }

  readResource(source: Tenant): Operation {
    const uri = `event://${source}/faults.act`;
    return this.#own(`resource of ${source === this.tenant ? 'its own' : 'the other'}`, '', () =>
      this.#ask('resources/read', { uri }, {}, uri),
    );
  }

  ping(): Operation {
    return this.#own('ping', '', () => this.#ping(this.#session));
  }

  pingForeign(random: Random): Operation | undefined {
    const session = this.all.sessions.pick(otherOf(this.tenant), random);
    return session === undefined ? undefined : this.#refused('foreign session', 404, () => this.#ping(session));
  }

  close(): Promise<void> {
    return this.#caller.close();
  }

  #foreignCommand(random: Random): string | undefined {
    return this.all.commands.pick(otherOf(this.tenant), random)?.split(' ')[1];
  }

  /** @param text that the answer must hold; empty: any that is no error */
  #own(kind: string, text: string, ask: () => Promise<Answered>): Operation {
    return { asked: { tenant: this.tenant, kind, expected: text === '' ? 'anything' : { text } }, ask };
  }

  #refused(kind: string, refusal: number | string, ask: () => Promise<Answered>): Operation {
    return { asked: { tenant: this.tenant, kind, expected: { refusal } }, ask };
  }

  #call(name: string, args: Record<string, unknown>, meta: Record<string, unknown> = {}): Promise<Answered> {
    return this.#ask('tools/call', { name, arguments: args }, meta, name);
  }

  async #ask(
    method: string,
    params: Record<string, unknown>,
    meta: Record<string, unknown>,
    name: string,
  ): Promise<Answered> {
    return answeredBy(await this.#caller.request(method, params, meta, { 'mcp-name': name }));
  }

  async #ping(session: string): Promise<Answered> {
    const answer = await this.#legacy({ jsonrpc: '2.0', id: 1, method: 'ping' }, session);
    return { status: answer.status, text: await answer.text() };
  }

  #legacy(message: object, session?: string): Promise<Response> {
    return fetch(this.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${this.user.token}`,
        ...(session !== undefined && { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }),
      },
      body: JSON.stringify(message),
    });
  }
}

function answeredBy({ status, messages }: HttpAnswer): Answered {
  const last = messages.at(-1);
  const { structuredContent } = (last?.result ?? {}) as { structuredContent?: { error?: { code: string } } };
  const code =
    (last?.error?.data?.['code'] as string | undefined) ?? last?.error?.code ?? structuredContent?.error?.code;
  return { status, text: JSON.stringify(messages), ...(code !== undefined && { code }) };
}
