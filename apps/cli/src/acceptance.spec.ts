/**
 * AI clients and a real Backstage, through the stack as `callboard up --backstage` starts it: what must hold between them, also when something
 * on the way fails. `docs/integration-points.md` says which test shows what.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { AuditRecord } from '@callboard/audit';
import { STREAM } from '@callboard/jetstream';
import {
  BACKSTAGE,
  describeWith,
  rawRequest,
  readAudit,
  requestBytes,
  startStack,
  waitFor,
  type TestStack,
} from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Client } from '@modelcontextprotocol/client';
import { callboard, connect } from './spec-callboard.js';

const WAIT = { timeoutMs: 60_000 };
const WAIT_MS = 20_000;
const ADA = 'user:default/ada';
const REVISION = '2026-07-28';

/** Nobody's. The token is put together so that no scanner takes it for one. */
const PRIVATE = {
  name: 'Quentin Thistlewood',
  email: 'q.thistlewood@example.org',
  phone: '+44 20 7946 0123',
  card: '4111 1111 1111 1111',
  token: ['ghp', 'Zz9Y8x7W6v5U4t3S2r1Q0p9O8n7M6l5K4j3I'].join('_'),
};

interface Poll {
  events: { topic: string; key: string; event: { id: string; data: { n?: number } } & Record<string, unknown> }[];
  next_cursor: string;
}

describeWith([BACKSTAGE], 'between Backstage and an AI client', () => {
  let stack: TestStack;
  let client: Client;
  beforeAll(async () => {
    stack = await startStack({
      args: ['--backstage'],
      replicas: { 'mcp-frontend': 2 },
      readyWithinMs: 240_000,
    });
    client = await connect(stack.ready.mcp_url, stack.ready.token);
  }, 300_000);
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
  });

  const post = async (topic: string, payload: object, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${stack.ready.backstage_url}/api/events/http/${topic}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(payload),
    });
    expect([answer.status, await answer.text()]).toEqual([202, expect.anything()]);
  };
  const subscribe = (name: string, selection: object = {}) =>
    client.callTool({ name: 'events.subscribe', arguments: { name, ...selection } });
  const poll = async (name: string, args: object = {}, as = client) => {
    const result = await as.callTool({ name: 'events.poll', arguments: { name, wait_ms: WAIT_MS, ...args } });
    return result.structuredContent as unknown as Poll;
  };
  /** All events of a subscription, until there are so many, and what came with them. */
  const pollUntil = async (name: string, count: number, as = client) => {
    const events: Poll['events'] = [];
    let cursor: string | undefined;
    while (events.length < count) {
      const page = await poll(name, { ...(cursor !== undefined && { cursor }) }, as);
      if (page.events.length === 0) break;
      events.push(...page.events);
      cursor = page.next_cursor;
    }
    return events;
  };
  const numbers = (events: Poll['events']) => events.map(({ event }) => event.data.n);
  const notificationsOf = async (user: string) => {
    const answer = await fetch(`${stack.ready.backstage_url}/api/notifications/notifications`, {
      headers: { authorization: `Bearer ${stack.ready.backstage_users![user]}` },
    });
    return ((await answer.json()) as { notifications: { payload: { title: string } }[] }).notifications;
  };

  it('a subscription with filters gives the events that fit, and no others', async () => {
    await subscribe('pushes', {
      sources: ['backstage'],
      topics: ['github'],
      filters: [{ exact: { eventkind: 'push' } }, { prefix: { key: 'theatre/' } }],
    });
    const sent = [
      ['push', 'theatre/ticket-desk'],
      ['pull_request', 'theatre/ticket-desk'],
      ['push', 'opera/ticket-desk'],
      ['push', 'theatre/light-board'],
    ];
    for (const [n, [kind, repository]] of sent.entries()) {
      await post('github', { n, repository: { full_name: repository } }, { 'x-github-event': kind! });
    }
    await post('deployments', { n: sent.length, repository: { full_name: 'theatre/ticket-desk' } });
    expect(numbers(await pollUntil('pushes', 2))).toEqual([0, 3]);
    // Once more what has not been acknowledged: what the last page had, or both where there was one.
    const again = (await poll('pushes', { wait_ms: 500 })).events.map(({ key }) => key);
    expect(again.length).toBeGreaterThan(0);
    expect(again).toEqual(['theatre/ticket-desk', 'theatre/light-board'].slice(-again.length));
  });

  it('nothing private passes, however it is wrapped, by any way that a client has and in any stream but those of the filter', async () => {
    const { name, email, phone, card, token } = PRIVATE;
    const data = {
      entityRef: 'component:default/ticket-desk',
      author: { name, email },
      text: `${name} (${phone}) paid with ${card} and pushed with ${token}.`,
      nested: JSON.stringify({ contact: { email }, password: token }),
      encoded: Buffer.from(JSON.stringify({ reply_to: email })).toString('base64'),
      [email]: 'a key is a value too',
    };
    await subscribe('private', { sources: ['backstage'], topics: ['deployments'] });
    await post('deployments', data);
    const { events } = await poll('private');
    expect(events).toHaveLength(1);
    expect(events[0]!.event.data).toMatchObject({ entityRef: data.entityRef });
    const read = await client.callTool({ name: 'events.read', arguments: { sources: ['backstage'] } });
    const { contents } = await client.readResource({ uri: 'event://backstage/deployments' });
    const nc = await stack.connect('sre');
    let kept = '';
    try {
      const jsm = await jetstreamManager(nc, { checkAPI: false });
      for (const stream of [STREAM.events, STREAM.deadLetters, STREAM.commands, STREAM.outcomes, STREAM.progress]) {
        const { state } = await jsm.streams.info(stream);
        for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
          const message = await jsm.streams.getMessage(stream, { seq });
          kept += message ? `${message.subject} ${[...message.header].join(' ')} ${message.string()}\n` : '';
        }
      }
    } finally {
      await nc.close();
    }
    expect(kept).toContain(data.entityRef);
    const seen = { polled: events, read, contents, kept };
    for (const [kind, value] of Object.entries({ ...PRIVATE, surname: 'Thistlewood' })) {
      for (const [where, what] of Object.entries(seen)) {
        const isThere = JSON.stringify(what).includes(value);
        expect({ kind, where, isThere }).toEqual({ kind, where, isThere: false });
      }
    }
    expect(JSON.stringify(events)).not.toContain(data.encoded);
  });

  it('an event that the filter cannot read is held for an operator, and those around it come', async () => {
    await subscribe('incidents', { sources: ['backstage'], topics: ['incidents'] });
    await post('incidents', { n: 1 });
    let deep: object = { email: PRIVATE.email };
    for (let level = 0; level < 100; level++) deep = { deep };
    await post('incidents', { n: 2, deep });
    await post('incidents', { n: 3 });
    expect(numbers(await pollUntil('incidents', 2))).toEqual([1, 3]);
    const letters = async () => {
      const { stdout } = await callboard('dlq', 'list', '--json', '--data-dir', stack.dataDir);
      return JSON.parse(stdout) as { reason: string; sequence: number }[];
    };
    const [letter, ...others] = await waitFor(async () => (await letters()).length > 0 && letters(), {
      what: 'the letter',
      ...WAIT,
    });
    expect(others).toEqual([]);
    expect(letter!.reason).toBe('too_deep');
    expect(JSON.stringify(letter)).not.toContain(PRIVATE.email);
  });

  it('while the filter hangs no event comes and none is refused to Backstage; when it is replaced all come, in order', async () => {
    await subscribe('hung', { sources: ['backstage'], topics: ['incidents'] });
    const [filter] = (await stack.readReady()).processes['pii-filter']!;
    process.kill(filter!, 'SIGSTOP');
    try {
      for (let n = 10; n < 15; n++) await post('incidents', { n, email: PRIVATE.email });
      expect((await poll('hung', { wait_ms: 1_000 })).events).toEqual([]);
    } finally {
      process.kill(filter!, 'SIGKILL');
    }
    const events = await pollUntil('hung', 5);
    expect(numbers(events)).toEqual([10, 11, 12, 13, 14]);
    expect(JSON.stringify(events)).not.toContain(PRIVATE.email);
  });

  it('a client that was lost with its front end finds at another what it missed, each event once', async () => {
    const [here, there] = stack.ready.mcp_urls;
    const lost = await connect(here!, stack.ready.token);
    await lost.callTool({
      name: 'events.subscribe',
      arguments: { name: 'lost', sources: ['backstage'], topics: ['incidents'] },
    });
    await post('incidents', { n: 20 });
    const first = await poll('lost', {}, lost);
    expect(numbers(first.events)).toEqual([20]);
    const waiting = poll('lost', { cursor: first.next_cursor }, lost).catch(() => undefined);
    const [frontEnd] = (await stack.readReady()).processes['mcp-frontend']!;
    process.kill(frontEnd!, 'SIGKILL');
    await lost.close();
    await waiting;
    for (let n = 21; n < 25; n++) await post('incidents', { n });
    const again = await connect(there!, stack.ready.token);
    try {
      const rest = await poll('lost', { cursor: first.next_cursor }, again);
      const more = await pollUntil('lost', 4, again);
      expect(numbers(rest.events)[0]).toBe(21);
      expect(numbers(more)).toEqual([21, 22, 23, 24]);
      const after = await poll('lost', { cursor: rest.next_cursor, wait_ms: 500 }, again);
      expect(numbers([...rest.events, ...after.events])).toEqual([21, 22, 23, 24]);
    } finally {
      await again.close();
    }
    await waitFor(async () => (await stack.readReady()).processes['mcp-frontend']![0] !== frontEnd, {
      what: 'another front end',
      ...WAIT,
    });
  });

  it("what a client does in Backstage is on record: asked for, begun, ended, or refused, without anybody's private words", async () => {
    const get = { name: 'backstage.catalog.get-catalog-entity', arguments: { kind: 'User', name: 'ada' } };
    await waitFor(async () => (await client.callTool(get)).isError !== true, { what: 'the catalog', ...WAIT });
    const recipients = { type: 'entity', entityRef: ADA };
    const note = { title: 'On record', description: `Ask ${PRIVATE.email}.`, recipients };
    const calls = await Promise.all(
      [get, { name: 'notifications.send', arguments: note }].map(async (call) => ({
        name: call.name,
        id: String((await client.callTool(call))._meta?.['io.callboard/correlation_id']),
      })),
    );
    await client.callTool({ name: 'notifications.send', arguments: { ...note, title: '' } });
    const nc = await stack.connect('sre');
    try {
      const jsm = await jetstreamManager(nc, { checkAPI: false });
      const whatOf = (records: AuditRecord[], id: string) =>
        records.filter(({ correlation_id: of }) => of === id).map(({ kind, what }) => `${kind} ${what}`);
      const refusedIn = (read: AuditRecord[]) =>
        read.filter(({ what, code }) => what === 'refused' && code === 'invalid_arguments');
      const records = await waitFor(
        async () => {
          const read = await readAudit(jsm);
          const areEnded = calls.every(({ id }) => whatOf(read, id).includes('attempt ended'));
          // What is refused is noted, and nobody waits for that.
          return areEnded && refusedIn(read).length > 0 && read;
        },
        { what: 'the records', ...WAIT },
      );
      for (const { name, id } of calls) {
        expect(whatOf(records, id)).toEqual(
          expect.arrayContaining(['call submitted', 'attempt begun', 'attempt ended']),
        );
        const submitted = records.find(({ correlation_id: of, what }) => of === id && what === 'submitted');
        expect(submitted).toMatchObject({ action: name, tenant_id: 'default', arguments_digest: expect.any(String) });
        expect(submitted!.personal.user_id).toBe('user:local/operator');
      }
      expect(refusedIn(records).map(({ action }) => action)).toContain('notifications.send');
      expect(JSON.stringify(records)).not.toContain(PRIVATE.email);
    } finally {
      await nc.close();
    }
  });

  const meta = {
    'io.modelcontextprotocol/protocolVersion': REVISION,
    'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const notify = (args: unknown, more: object = {}) =>
    JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'notifications.send', arguments: args, _meta: meta },
      ...more,
    });
  const good = { title: 'Malformed', recipients: { type: 'entity', entityRef: ADA } };

  it.each<[string, string | Buffer, Record<string, string>, number, string | number]>([
    ['is cut off in the middle', notify(good).slice(0, -20), {}, 400, -32700],
    ['is not UTF-8', Buffer.concat([Buffer.from(notify(good).slice(0, -1)), Buffer.from([0xff])]), {}, 400, -32700],
    ['is a batch', `[${notify(good)},${notify(good)}]`, {}, 400, -32600],
    ['is of another JSON-RPC', notify(good, { jsonrpc: '1.0' }), {}, 400, -32600],
    ['has an object as id', notify(good, { id: {} }), {}, 400, -32600],
    ['names another tool in its header', notify(good), { 'mcp-name': 'demo.echo' }, 400, -32020],
    [
      'is of another revision than its header says',
      notify(good),
      { 'mcp-protocol-version': '2031-01-01' },
      400,
      -32020,
    ],
    ['has arguments that are a list', notify([good]), {}, 200, -32602],
    [
      'is nested without end',
      notify({ ...good, metadata: '['.repeat(5_000) })
        .replace('"[', '[')
        .replace('["', '['),
      {},
      400,
      -32600,
    ],
    ['has a number as title', notify({ ...good, title: 7 }), {}, 200, 'invalid_arguments'],
    [
      'has a recipient that is no entity',
      notify({ ...good, recipients: { type: 'entity', entityRef: '../ada' } }),
      {},
      200,
      'invalid_arguments',
    ],
    ['is larger than can be', notify({ ...good, description: 'x'.repeat(2_000_000) }), {}, 413, -32600],
  ])(
    'a message that %s is answered with its error, and Backstage hears nothing of it',
    async (_, body, headers, status, code) => {
      const all = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${stack.ready.token}`,
        'mcp-protocol-version': REVISION,
        'mcp-method': 'tools/call',
        'mcp-name': 'notifications.send',
        ...headers,
      };
      const { port, pathname } = new URL(stack.ready.mcp_urls[1]!);
      const answer = await rawRequest<{
        error?: { code: number };
        result?: { structuredContent?: { error?: { code: string } } };
      }>(Number(port), requestBytes('POST', pathname, all, body));
      const { error, result } = answer.json;
      expect([answer.status, error?.code ?? result?.structuredContent?.error?.code]).toEqual([status, code]);
      expect(answer.text).not.toMatch(/node_modules|\.js:| {4}at /);
      expect((await notificationsOf(ADA)).filter(({ payload }) => payload.title === good.title)).toEqual([]);
    },
  );
});
