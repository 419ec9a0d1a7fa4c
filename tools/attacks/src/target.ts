/**
 * What is attacked: a stack with two tenants that takes nobody without a token, and what its victims have there. Mallory, of `acme`, attacks Jane of
 * his own tenant, and Vera of `globex`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseStoredCommandSubject } from '@callboard/envelope';
import { STREAM } from '@callboard/jetstream';
import { readAudit, startStack, waitFor, type TestStack } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { FarSide, type Handover } from './spec-far-side.js';
import { AUDIENCE, LIES, SpecIssuer, type Lie } from './spec-issuer.js';

export const TENANTS = { own: 'acme', other: 'globex' } as const;
/** The id of an event that only the other tenant may read. */
const EVENT_OF_OTHER = 'event-of-vera';
const REQUEST_TIMEOUT_MS = 1_000;
const DEADLINE_MS = 600_000;

/** All that keeps what somebody asked for; the rest are notes that apps make for themselves. */
const WATCHED = new Set<string>([
  STREAM.commands,
  STREAM.outcomes,
  STREAM.progress,
  STREAM.dispatch,
  STREAM.eventsRaw,
  STREAM.events,
  STREAM.eventsHeld,
  STREAM.deadLetters,
  STREAM.sessions,
  'KV_SUBSCRIPTIONS',
]);

/** What a victim has, which is worth nothing to anybody else. */
export interface Victim {
  token: string;
  taskId: string;
  acceptedId: string;
  idempotencyKey: string;
  subscription: string;
  cursor: string;
  sessionId: string;
  eventId: string;
  /** Sealed: what a question left with its client. */
  requestState: string;
}

export class Target {
  readonly mallory = newToken();
  /** Of Mallory's as well: for one action, of yesterday, and for another server. */
  readonly limited = newToken();
  readonly ended = newToken();
  readonly elsewhere = newToken();
  readonly ingestToken = newToken();
  readonly otherIngestToken = newToken();
  readonly githubSecret = newToken();
  readonly standardSecret = `whsec_${randomBytes(32).toString('base64')}`;
  jane!: Victim;
  vera!: Victim;
  /** Commands that were given to a far side: one that waits, one that is answered, one whose time is over. */
  callbacks!: { open: Handover; answered: Handover; late: Handover };
  farSide!: FarSide;
  issuer!: SpecIssuer;
  readonly liars = new Map<Lie, SpecIssuer>();
  stack!: TestStack;
  #nc!: NatsConnection;
  #jsm!: JetStreamManager;
  #folder!: string;

  static async start(): Promise<Target> {
    const target = new Target();
    await target.#start();
    return target;
  }

  get mcpPort(): number {
    return Number(new URL(this.stack.ready.mcp_url).port);
  }

  get ingestPort(): number {
    return Number(new URL(this.stack.ready.ingest_url).port);
  }

  async #start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'callboard-attacks-'));
    this.farSide = await FarSide.start();
    this.issuer = await SpecIssuer.start();
    for (const about of LIES) {
      this.liars.set(about, await SpecIssuer.start({ about, inside: `${this.farSide.url}/inside` }));
    }
    const mallory = 'user:default/mallory';
    const [jane, vera] = [newToken(), newToken()];
    const config = await this.#write('callboard.yaml', {
      adapters: await this.#write('adapters.yaml', { actions: this.#farActions() }),
      sources: await this.#write('sources.yaml', { sources: sources() }),
      access: await this.#write('access.yaml', {
        public_url: AUDIENCE.replace(/\/mcp$/, ''),
        issuers: [this.issuer, ...this.liars.values()].map(({ url }) => ({
          issuer: url,
          tenant: { claim: 'org', allow: Object.values(TENANTS) },
        })),
      }),
      policies: await this.#writePolicies(),
      servers: await this.#write('servers.yaml', { servers: [{ name: 'reader', include: [{ read_only: true }] }] }),
      env: {
        'mcp-frontend': {
          CALLBOARD_HTTP_HOST: '0.0.0.0',
          CALLBOARD_TOKENS_FILE: await this.#write('tokens.json', [
            tokenEntry(this.mallory, TENANTS.own, mallory),
            tokenEntry(this.limited, TENANTS.own, mallory, { actions: ['demo.echo'] }),
            tokenEntry(this.ended, TENANTS.own, mallory, { actions: ['*'], expires_at: '2026-01-01T00:00:00Z' }),
            tokenEntry(this.elsewhere, TENANTS.own, mallory, { servers: ['reader'] }),
            tokenEntry(jane, TENANTS.own, 'user:default/jane'),
            tokenEntry(vera, TENANTS.other, 'user:default/vera'),
          ]),
          CALLBOARD_REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
          // All of them come from one address.
          CALLBOARD_MAX_FAILED_AUTHENTICATIONS: '100000',
          CALLBOARD_SYNC_WINDOW_MS: '50',
          CALLBOARD_SCHEDULE_DEADLINES_AFTER_MS: '0',
        },
        'action-runner': { CALLBOARD_DRAIN_TIMEOUT_MS: '0' },
        'event-ingestor': {
          CALLBOARD_REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
          CALLBOARD_MAX_FAILED_AUTHENTICATIONS: '100000',
          ATTACKS_TOKEN: this.ingestToken,
          ATTACKS_OTHER_TOKEN: this.otherIngestToken,
          ATTACKS_GITHUB_SECRET: this.githubSecret,
          ATTACKS_STANDARD_SECRET: this.standardSecret,
        },
      },
    });
    this.stack = await startStack({ args: ['--config', config] });
    this.#nc = await this.stack.connect('sre');
    this.#jsm = await jetstreamManager(this.#nc, { checkAPI: false });
    this.jane = await this.#settle(jane, 'jane');
    this.vera = await this.#settle(vera, 'vera');
    await this.#handOver(vera);
    await this.settled();
  }

  async stop(): Promise<void> {
    await this.#nc?.close();
    await this.stack?.stop();
    await this.farSide?.stop();
    for (const issuer of [this.issuer, ...this.liars.values()]) await issuer?.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** What no answer to the attacker may hold. */
  get secrets(): string[] {
    const { jane, vera } = this;
    return [jane, vera].flatMap(({ token, requestState }) => [token, requestState]).concat(EVENT_OF_OTHER);
  }

  /** How much is in each stream. */
  async stored(): Promise<Map<string, number>> {
    const sequences = new Map<string, number>();
    for await (const { config, state } of this.#jsm.streams.list() as AsyncIterable<StreamInfo>) {
      if (WATCHED.has(config.name)) sequences.set(config.name, state.last_seq);
    }
    return sequences;
  }

  /** The tenants whose messages have come into the streams that `sre` may read, beyond what there was. */
  async tenantsSince(before: ReadonlyMap<string, number>): Promise<Set<string>> {
    const tenants = new Set<string>();
    for (const stream of [STREAM.commands, STREAM.outcomes, STREAM.progress, STREAM.events]) {
      const last = (await this.stored()).get(stream)!;
      for (let seq = before.get(stream)! + 1; seq <= last; seq++) {
        const message = await this.#jsm.streams.getMessage(stream, { seq });
        if (message) tenants.add(tenantIn(stream, message.subject));
      }
    }
    return tenants;
  }

  /** Ends the front end in order, which then says what it has only counted; another takes its place. */
  async endFrontEnd(): Promise<void> {
    const [pid] = (await this.stack.readReady()).processes['mcp-frontend']!;
    process.kill(pid!, 'SIGTERM');
    const isReplaced = async () => (await this.stack.readReady()).processes['mcp-frontend']![0] !== pid;
    await waitFor(isReplaced, { what: 'another front end', timeoutMs: 40_000 });
  }

  /** How often each code is on record as a refusal of the front end, what is only counted included. */
  async recordedRefusals(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const { app, what, code, details } of await readAudit(this.#jsm)) {
      if (app !== 'mcp-frontend' || what !== 'refused' || code === undefined) continue;
      const times = typeof details?.['more'] === 'number' ? details['more'] : 1;
      counts.set(code, (counts.get(code) ?? 0) + times);
    }
    return counts;
  }

  /** Forbids an action, and resolves when front end and runner have heard of it. */
  async forbid(action: string): Promise<void> {
    const heard = async () => {
      const records = await readAudit(this.#jsm);
      return records.filter(({ kind, what }) => kind === 'configuration' && what === 'reloaded').map(({ app }) => app);
    };
    const before = (await heard()).length;
    await this.#writePolicies(action);
    const isHeard = async () => {
      const apps = (await heard()).slice(before);
      return apps.includes('mcp-frontend') && apps.includes('action-runner');
    };
    await waitFor(isHeard, { what: 'policies that are in force', timeoutMs: 20_000 });
  }

  /** Resolves when nothing more comes into any stream. */
  async settled(): Promise<Map<string, number>> {
    let before = await this.stored();
    return waitFor(
      async () => {
        const now = await this.stored();
        const isStill = [...now].every(([stream, last]) => before.get(stream) === last);
        before = now;
        return isStill && now;
      },
      { what: 'streams that are still', timeoutMs: 20_000 },
    );
  }

  /** Whether a victim still has what it had. */
  async has(victim: Victim): Promise<object> {
    const { token } = victim;
    const task = await this.#ask(token, 'tasks/get', { taskId: victim.taskId });
    const fetch_ = { name: 'callboard.result', arguments: { correlation_id: victim.acceptedId, wait_ms: 0 } };
    const result = await this.#ask(token, 'tools/call', fetch_);
    const listed = await this.#ask(token, 'tools/call', { name: 'events.list', arguments: {} });
    const { subscriptions } = listed['structuredContent'] as { subscriptions: { name: string }[] };
    const ping = await fetch(this.stack.ready.mcp_url, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-session-id': victim.sessionId,
        'mcp-protocol-version': '2025-11-25',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'ping' }),
    });
    await ping.text();
    return {
      task: task['status'],
      result: (result['structuredContent'] as { status: string }).status,
      session: ping.status,
      subscriptions: subscriptions.map(({ name }) => name),
    };
  }

  /** What the command of a far side ended with, as the victim sees it. */
  async resultOf({ correlation_id: id }: Handover): Promise<string> {
    const args = { correlation_id: id, wait_ms: 1_000 };
    const result = await this.#ask(this.vera.token, 'tools/call', { name: 'callboard.result', arguments: args });
    return (result['content'] as { text: string }[])[0]!.text;
  }

  #farActions(): object[] {
    const action = (id: string, http: object, more: object = {}) => ({
      id,
      description: 'A far side',
      input: { type: 'object' },
      attributes: { idempotent: true },
      retry: { max_attempts: 1 },
      ...more,
      http,
    });
    return [
      action('far.take', { url: `${this.farSide.url}/take` }),
      action('far.redirect', { url: `${this.farSide.url}/redirect`, answer: 'response' }),
      action('far.redirect-later', { url: `${this.farSide.url}/redirect` }),
      action('far.closed', { url: `${this.farSide.url}/take` }),
      action('far.hold', { url: `${this.farSide.url}/take` }, { ordering: { argument: 'key' } }),
      action('far.late', { url: `${this.farSide.url}/take` }, { ordering: { argument: 'key' } }),
    ];
  }

  async #writePolicies(...closed: string[]): Promise<string> {
    const path = join(this.#folder, 'policies.cedar');
    const forbids = ['far.closed', ...closed].map(
      (id) =>
        `@id("no-${id}") forbid (principal, action in Callboard::Action::"run", resource == Callboard::Tool::"${id}");`,
    );
    await writeFile(path, ['@id("all") permit (principal, action, resource);', ...forbids].join('\n'));
    return path;
  }

  async #write(name: string, content: unknown): Promise<string> {
    const path = join(this.#folder, name);
    // JSON is YAML.
    await writeFile(path, JSON.stringify(content), { mode: 0o600 });
    return path;
  }

  /** Gives a victim one of everything that could be taken. */
  async #settle(token: string, name: string): Promise<Victim> {
    const subscription = `${name}-incidents`;
    const idempotencyKey = `${name}-key`;
    const tenant = name === 'vera' ? TENANTS.other : TENANTS.own;
    await this.#ask(token, 'tools/call', {
      name: 'events.subscribe',
      arguments: { name: subscription, from: 'earliest' },
    });
    const sent = await fetch(`${this.stack.ready.ingest_url}/events/${tenant}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${tenant === TENANTS.own ? this.ingestToken : this.otherIngestToken}`,
        'content-type': 'application/cloudevents+json',
      },
      body: JSON.stringify({
        specversion: '1.0',
        id: `event-of-${name}`,
        source: '/attacks',
        type: 'incident',
        data: { n: 1 },
      }),
    });
    if (sent.status !== 202) throw new Error(`the ingestor answered ${sent.status}`);
    const polled = await this.#ask(token, 'tools/call', {
      name: 'events.poll',
      arguments: { name: subscription, wait_ms: 20_000, max: 1 },
    });
    const { next_cursor: cursor } = polled['structuredContent'] as { next_cursor: string };
    const asTask = await this.#ask(token, 'tools/call', { name: 'demo.sleep', arguments: { ms: DEADLINE_MS } });
    const accepted = await this.#ask(
      token,
      'tools/call',
      { name: 'demo.sleep', arguments: { ms: DEADLINE_MS } },
      { 'io.callboard/accept_async': true, 'io.callboard/idempotency_key': idempotencyKey },
      {},
    );
    const asked = await this.#ask(
      token,
      'tools/call',
      { name: 'demo.approve', arguments: { key: name, value: 'mine' } },
      {},
      { elicitation: {} },
    );
    const { sessionId, eventId } = await this.#openSession(token);
    return {
      token,
      taskId: asTask['taskId'] as string,
      acceptedId: (accepted['structuredContent'] as { correlation_id: string }).correlation_id,
      idempotencyKey,
      subscription,
      cursor,
      sessionId,
      eventId,
      requestState: asked['requestState'] as string,
    };
  }

  async #openSession(token: string): Promise<{ sessionId: string; eventId: string }> {
    const send = (body: object, more: Record<string, string> = {}) =>
      fetch(this.stack.ready.mcp_url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...more,
        },
        body: JSON.stringify({ jsonrpc: '2.0', ...body }),
      });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'victim', version: '1' } };
    const begun = await send({ id: 0, method: 'initialize', params });
    await begun.text();
    const sessionId = begun.headers.get('mcp-session-id')!;
    const named = { 'mcp-session-id': sessionId, 'mcp-protocol-version': '2025-11-25' };
    const called = await send(
      { id: 1, method: 'tools/call', params: { name: 'demo.echo', arguments: { text: 'x' } } },
      named,
    );
    const eventId = /^id: (.+)$/m.exec(await called.text())?.[1];
    if (!eventId) throw new Error('a call of a session came without an event id');
    return { sessionId, eventId };
  }

  async #handOver(token: string): Promise<void> {
    const take = async (deadlineMs: number) => {
      const count = this.farSide.taken.length;
      await this.#ask(
        token,
        'tools/call',
        { name: 'far.take', arguments: {} },
        { 'io.callboard/deadline_ms': deadlineMs, 'io.callboard/ordering_key': `far-${count}` },
      );
      await waitFor(() => this.farSide.taken.length > count, {
        what: 'the command at the far side',
        timeoutMs: 20_000,
      });
      return this.farSide.taken[count]!;
    };
    const open = await take(DEADLINE_MS);
    const answered = await take(DEADLINE_MS);
    const late = await take(1_500);
    const { url, token: right } = answered.callback;
    const told = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${right}`, 'content-type': 'application/json' },
      body: JSON.stringify({ status: 'ok', result: 'first' }),
    });
    if (told.status !== 200) throw new Error(`the results endpoint answered ${told.status}`);
    const isOver = async () => {
      const shown = await this.#ask(token, 'tasks/get', { taskId: late.correlation_id });
      return shown['status'] === 'completed';
    };
    await waitFor(isOver, { what: 'a deadline that has passed', timeoutMs: 20_000 });
    this.callbacks = { open, answered, late };
  }

  async #ask(
    token: string,
    method: string,
    params: Record<string, unknown>,
    meta: object = {},
    capabilities: object = { extensions: { 'io.modelcontextprotocol/tasks': {} } },
  ): Promise<Record<string, unknown>> {
    const named = params['name'] ?? params['taskId'];
    const response = await fetch(this.stack.ready.mcp_url, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        'mcp-name': String(named),
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method,
        params: {
          ...params,
          _meta: {
            'io.modelcontextprotocol/protocolVersion': '2026-07-28',
            'io.modelcontextprotocol/clientInfo': { name: 'victim', version: '1' },
            'io.modelcontextprotocol/clientCapabilities': capabilities,
            ...meta,
          },
        },
      }),
    });
    const text = await response.text();
    const json = text.startsWith('{') ? text : text.slice(text.lastIndexOf('data: ') + 'data: '.length);
    const { result } = JSON.parse(json) as { result?: Record<string, unknown> };
    if (!result) throw new Error(`${method} of a victim was answered ${text}`);
    return result;
  }
}

function sources(): object[] {
  const secret = (env: string) => ({ env });
  return [
    {
      name: TENANTS.own,
      type: 'cloudevents',
      tenant: TENANTS.own,
      token: secret('ATTACKS_TOKEN'),
      access: {},
      topics: ['incident', 'build.*'],
    },
    {
      name: TENANTS.other,
      type: 'cloudevents',
      tenant: TENANTS.other,
      access: {},
      token: secret('ATTACKS_OTHER_TOKEN'),
    },
    { name: 'hub', type: 'webhook', scheme: 'github', tenant: TENANTS.own, secret: secret('ATTACKS_GITHUB_SECRET') },
    {
      name: 'standard',
      type: 'webhook',
      scheme: 'standard-webhooks',
      tenant: TENANTS.own,
      secret: secret('ATTACKS_STANDARD_SECRET'),
    },
  ];
}

function tokenEntry(token: string, tenantId: string, userId: string, limits?: object): object {
  const sha256 = createHash('sha256').update(token).digest('hex');
  return { sha256, tenant_id: tenantId, user_id: userId, ...(limits ?? { allow_unrestricted: true }) };
}

function newToken(): string {
  return randomBytes(24).toString('base64url');
}

function tenantIn(stream: string, subject: string): string {
  if (stream === STREAM.commands) return parseStoredCommandSubject(subject).tenantId;
  return subject.split('.')[1]!;
}
