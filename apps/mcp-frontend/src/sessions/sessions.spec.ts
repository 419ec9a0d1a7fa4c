import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ActionSet, defineAction, inputRequired } from '@callboard/actions';
import { BUCKET, KeyValueStore, STREAM } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { Client as SdkClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { z } from 'zod';
import {
  PARTITIONS,
  RawClient,
  startFrontProcess,
  startReplica,
  startSpecRunner,
  type Answer,
  type SpecReplica,
  type SpecReplicaOptions,
} from './spec-sessions.js';

const RECONNECT = { initialReconnectionDelay: 100, maxReconnectionDelay: 100, reconnectionDelayGrowFactor: 1 };

/** Running calls of `spec.held`, by name: they go on when the test says so. */
const held = new Map<
  string,
  { correlationId: string; progress(value: number): void; log(line: string): void; finish(result: string): void }
>();
const effects: string[] = [];

const actions = new ActionSet([
  defineAction({
    id: 'spec.held',
    description: 'Does what the test says',
    input: z.object({ name: z.string() }),
    ordering: 'none',
    run: ({ name }, context) =>
      new Promise<string>((finish) => {
        effects.push(name);
        held.set(name, {
          correlationId: context.correlationId,
          progress: (value) => context.progress(value, 100),
          log: (line) => context.log('info', line),
          finish,
        });
      }),
  }),
  defineAction({
    id: 'spec.echo',
    description: 'Returns the text',
    input: z.object({ text: z.string() }),
    attributes: { read_only: true },
    run: ({ text }) => text,
  }),
  defineAction({
    id: 'spec.long',
    description: 'Takes long, and says so',
    input: z.object({}),
    attributes: { read_only: true },
    longRunning: true,
    run: () => 'took long',
  }),
  defineAction({
    id: 'spec.asks',
    description: 'Asks for a name',
    input: z.object({}),
    requiresInput: ['elicitation'],
    run: (_, { inputResponses }) => {
      const answer = inputResponses['who'] as { content?: { name?: string } } | undefined;
      if (answer) return `Hello, ${answer.content?.name}`;
      const requestedSchema = { type: 'object', properties: { name: { type: 'string' } } };
      return inputRequired({
        inputRequests: { who: { method: 'elicitation/create', params: { message: 'Who?', requestedSchema } } },
      });
    },
  }),
]);

let nats: TestNats;
let jsm: JetStreamManager;
let records: KeyValueStore;
let runner: { stop(): Promise<void> };
const replicas: SpecReplica[] = [];

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: PARTITIONS }, syncInterval: '1m' });
  jsm = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
  records = await KeyValueStore.open(await nats.connect('mcp-frontend'), BUCKET.sessions);
  runner = await startSpecRunner(nats, actions);
});
afterEach(async () => {
  await Promise.all(replicas.splice(0).map((replica) => replica.stop()));
});
afterAll(async () => {
  await runner.stop();
  await nats.dispose();
});

async function replica(...[instance, options]: [string, SpecReplicaOptions?]): Promise<SpecReplica> {
  const started = await startReplica(nats, instance, options);
  replicas.push(started);
  return started;
}

const twoReplicas = () => Promise.all([replica('front-a'), replica('front-b')]);

/** The action's side of a call of `spec.held`. */
const running = (name: string) => waitFor(() => held.get(name), { what: `${name} runs` });

const progressOf = (messages: { message: object }[]) =>
  messages
    .map(({ message }) => (message as { params?: { progress?: number } }).params?.progress)
    .filter((progress) => progress !== undefined);

const textOf = (message: unknown) =>
  (message as { result?: { content?: { text: string }[] } } | undefined)?.result?.content?.[0]?.text;

/** The next notification of a resource; what other tests change may be told before. */
async function nextUpdate(stream: Answer): Promise<{ id: string | undefined; message: object } | undefined> {
  let next = await stream.nextMessage();
  while (next && next.message['method'] !== 'notifications/resources/updated') next = await stream.nextMessage();
  return next;
}

async function expectError(answer: Answer, status: number, code?: number): Promise<void> {
  const { error } = await answer.json();
  expect([answer.status, error?.code]).toEqual([status, code ?? expect.any(Number)]);
}

/** Messages stored in SESSIONS for a session. */
async function stored(sessionId: string): Promise<string[]> {
  const { state } = await jsm.streams.info(STREAM.sessions, { subjects_filter: `mcp.session.${sessionId}.>` });
  return Object.keys(state.subjects ?? {}).map((subject) => subject.split('.').at(-1)!);
}

describe('a session', () => {
  it('is begun by initialize, with an id of visible ASCII, and serves lists and calls', async () => {
    const { url } = await replica('front-a');
    const client = new RawClient();
    const answer = await client.initialize(url);
    expect(answer.response.headers.get('mcp-session-id')).toMatch(/^[\x21-\x7e]{20,}$/);
    expect((await answer.json()).result).toMatchObject({
      protocolVersion: '2025-11-25',
      serverInfo: { name: 'callboard' },
    });
    client.sessionId = answer.response.headers.get('mcp-session-id')!;
    expect((await client.send(url, { jsonrpc: '2.0', method: 'notifications/initialized' })).status).toBe(202);
    const { tools } = (await (await client.request(url, 'tools/list')).json()).result as { tools: { name: string }[] };
    expect(tools.map(({ name }) => name)).toContain('spec.echo');
    expect((await (await client.request(url, 'ping')).json()).result).toEqual({});
    const call = await client.call(url, 'spec.echo', { text: 'hello' });
    expect(textOf((await call.messages()).at(-1)?.message)).toBe('hello');
  });

  it.each([
    ['2025-06-18', '2025-06-18'],
    ['1999-01-01', '2025-11-25'],
    ['2026-07-28', '2025-11-25'],
  ])('that asks for revision %s gets %s', async (asked, given) => {
    const { url } = await replica('front-a');
    const { result } = await (await new RawClient(asked).initialize(url)).json();
    expect(result).toMatchObject({ protocolVersion: given });
  });

  it('is served by every replica', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(b.url, 'spec.echo', { text: 'over there' });
    expect(textOf((await call.messages()).at(-1)?.message)).toBe('over there');
  });

  it('does not exist for another principal, and neither do ids that nobody gave out', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const stranger = new RawClient(undefined, { 'x-spec-user': 'user:default/mallory' });
    for (const id of [client.sessionId, 's_unknown', '*', '>', 'a.b', 's_*', 'x'.repeat(8_000)]) {
      stranger.sessionId = id;
      await expectError(await stranger.request(url, 'ping'), 404, -32001);
      await expectError(await stranger.get(url), 404, -32001);
      await expectError(await stranger.delete(url), 404, -32001);
    }
    expect((await client.request(url, 'ping')).status).toBe(200);
  });

  it('must be named, in a revision that is known, by a client that takes both kinds of answer', async () => {
    const { url } = await replica('front-a');
    const nameless = new RawClient();
    await expectError(await nameless.request(url, 'tools/list'), 400, -32000);
    await expectError(await nameless.get(url), 400, -32000);
    await expectError(await nameless.delete(url), 400, -32000);
    const client = await RawClient.connect(url);
    await expectError(await client.request(url, 'ping', {}, { 'mcp-protocol-version': '1999-01-01' }), 400, -32000);
    await expectError(await client.request(url, 'ping', {}, { accept: 'application/json' }), 406, -32000);
    await expectError(await client.get(url, undefined, { accept: 'application/json' }), 406, -32000);
  });

  it('refuses what is no message, and a second initialize', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    await expectError(await client.initialize(url), 400, -32600);
    const batch = [{ jsonrpc: '2.0', id: 1, method: 'ping' }];
    for (const wrong of [batch, [], { id: 1, method: 'ping' }, { jsonrpc: '2.0', id: null, method: 'ping' }]) {
      await expectError(await client.send(url, wrong), 400, -32600);
    }
    await expectError(await new RawClient().request(url, 'initialize', { protocolVersion: 7 }), 400, -32602);
  });

  it('answers unknown methods and tools within JSON-RPC, and takes answers to questions that nobody asked', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    for (const method of ['no/such', '__proto__', 'constructor', 'server/discover', 'tasks/list']) {
      const answer = await client.request(url, method);
      expect([answer.status, (await answer.json()).error?.code]).toEqual([200, -32601]);
    }
    const [last] = (await (await client.call(url, '__proto__')).messages()).slice(-1);
    expect(last?.message).toMatchObject({ error: { code: -32602 } });
    for (const id of [7, 'x.y.1', `${'a'.repeat(16)}.r_${'b'.repeat(16)}.1`]) {
      expect((await client.send(url, { jsonrpc: '2.0', id, result: {} })).status).toBe(202);
    }
  });

  it('that is ended anywhere is ended everywhere, with its streams', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const stream = await client.get(a.url);
    await stream.next();
    expect((await client.delete(b.url)).status).toBe(200);
    for (const { url } of [a, b]) {
      await expectError(await client.request(url, 'ping'), 404, -32001);
      await expectError(await client.get(url), 404, -32001);
      await expectError(await client.delete(url), 404, -32001);
    }
    expect(await stream.next()).toBeUndefined();
  });

  it('is gone when it was not used for its time to live, and lives on while a stream is open', async () => {
    const { url } = await replica('front-a', { ttlMs: 2_000, keepAliveMs: 200 });
    const idle = await RawClient.connect(url);
    const listening = await RawClient.connect(url);
    const stream = await listening.get(url);
    await waitFor(async () => (await records.get(`sessions.${idle.sessionId}`)) === undefined, { what: 'it is gone' });
    await expectError(await idle.request(url, 'ping'), 404, -32001);
    expect((await listening.request(url, 'ping')).status).toBe(200);
    stream.cut();
  });
});

describe('the answer to a request', () => {
  it('that runs as a command is a stream that begins with an id to come back with', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const call = await client.call(url, 'spec.held', { name: 'primed' });
    expect(await call.next()).toEqual({ id: expect.stringMatching(/^\d+\.r_/), data: '', retry: 100 });
    (await running('primed')).finish('done');
    expect(textOf((await call.nextMessage())?.message)).toBe('done');
    expect(await call.next()).toBeUndefined();
  });

  it('costs two stored messages beyond the command', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    await (await client.call(url, 'spec.echo', { text: 'x' })).messages();
    expect((await stored(client.sessionId)).sort()).toEqual(['open', 'response']);
    await (await client.request(url, 'tools/list')).json();
    expect(await stored(client.sessionId)).toHaveLength(2);
  });

  it('holds no empty event for a client of 2025-06-18, which could not read it', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url, { revision: '2025-06-18' });
    const call = await client.call(url, 'spec.echo', { text: 'x' });
    const first = await call.next();
    expect(textOf(JSON.parse(first!.data))).toBe('x');
    expect(first!.id).toMatch(/^\d+\.r_/);
  });

  it('that needs no command is one body, or one event for a client that names events first', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const json = await client.request(url, 'tools/list');
    expect(json.response.headers.get('content-type')).toBe('application/json');
    const events = await client.request(url, 'tools/list', {}, { accept: 'text/event-stream, application/json' });
    expect(events.response.headers.get('content-type')).toBe('text/event-stream');
    expect((await events.messages())[0]?.message).toMatchObject({ result: { tools: expect.any(Array) } });
  });

  it('tells progress and log lines in order, each once, before the result', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const call = await client.call(url, 'spec.held', { name: 'talks' });
    const action = await running('talks');
    action.progress(10);
    action.log('first');
    action.progress(20);
    // Does not grow, so MCP does not want it told.
    action.progress(15);
    action.log('second');
    action.finish('done');
    const messages = (await call.messages()).map(({ message }) => message as { method?: string; params?: object });
    expect(messages.map(({ method }) => method)).toEqual([
      'notifications/progress',
      'notifications/message',
      'notifications/progress',
      'notifications/message',
      undefined,
    ]);
    expect(JSON.stringify(messages)).not.toContain('io.callboard/sequence');
  });

  it('tells no log lines below the level of the session, wherever that was set', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    expect((await (await client.request(b.url, 'logging/setLevel', { level: 'error' })).json()).result).toEqual({});
    const call = await client.call(a.url, 'spec.held', { name: 'quiet' });
    const action = await running('quiet');
    action.log('not said');
    action.finish('done');
    expect(await call.messages()).toHaveLength(1);
  });

  it('is let go of early for a long running action, and fetched later', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.long');
    const primed = await call.next();
    expect(primed).toMatchObject({ data: '', retry: 100 });
    expect(await call.nextMessage()).toBeUndefined();
    const resumed = await client.get(b.url, primed!.id);
    expect(textOf((await resumed.messages()).at(-1)?.message)).toBe('took long');
  });
});

describe('a stream that was cut', () => {
  it.each(['the same replica', 'another replica'])('goes on at %s, no message lost or doubled', async (where) => {
    const [a, b] = await twoReplicas();
    const name = `cut, ${where}`;
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name });
    const action = await running(name);
    for (const value of [1, 2, 3]) action.progress(value);
    const before = [await call.nextMessage(), await call.nextMessage(), await call.nextMessage()];
    call.cut();
    action.progress(4);
    const resumed = await client.get(where === 'the same replica' ? a.url : b.url, before[2]!.id);
    action.progress(5);
    const fourth = await resumed.nextMessage();
    const fifth = await resumed.nextMessage();
    action.finish('done');
    const rest = await resumed.messages();
    expect(progressOf([...(before as never[]), fourth!, fifth!, ...rest])).toEqual([1, 2, 3, 4, 5]);
    expect(textOf(rest.at(-1)?.message)).toBe('done');
    expect(effects.filter((effect) => effect === name)).toHaveLength(1);
  });

  it('is replayed from any of its events, and is closed after its response', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const call = await client.call(url, 'spec.held', { name: 'replayed' });
    const primed = await call.next();
    const action = await running('replayed');
    for (const value of [1, 2, 3]) action.progress(value);
    action.finish('done');
    const first = await call.messages();
    expect(first).toHaveLength(4);
    expect(await (await client.get(url, primed!.id)).messages()).toEqual(first);
    expect(await (await client.get(url, first[1]!.id)).messages()).toEqual(first.slice(2));
    expect((await client.get(url, first[3]!.id)).status).toBe(405);
  });

  it('is not replayed to who names an event of another session or stream, or none', async () => {
    const { url } = await replica('front-a');
    const [client, other] = [await RawClient.connect(url), await RawClient.connect(url)];
    const idOf = async (of: RawClient) => (await (await of.call(url, 'spec.echo', { text: 'x' })).next())!.id!;
    const [own, otherOwn, foreign] = [await idOf(client), await idOf(client), await idOf(other)];
    const foreignGet = (await (await other.get(url)).next())!.id!;
    const mixed = `${foreign.split('.')[0]}.${own.split('.')[1]}`;
    const mixedOwn = `${otherOwn.split('.')[0]}.${own.split('.')[1]}`;
    for (const id of [foreign, foreignGet, mixed, mixedOwn, `9${own}`, 'rubbish', '1.*', `1.r_${'>'.repeat(16)}`]) {
      await expectError(await client.get(url, id), 400, -32000);
    }
  });

  it('is closed when the client has come back for it on another connection', async () => {
    const { url } = await replica('front-a');
    const client = await RawClient.connect(url);
    const call = await client.call(url, 'spec.held', { name: 'twice' });
    const { id } = (await call.next())!;
    const second = await client.get(url, id);
    expect(await call.next()).toBeUndefined();
    await second.next();
    const third = await client.get(url, id);
    await third.next();
    expect(await second.next()).toBeUndefined();
    (await running('twice')).finish('done');
    expect(textOf((await third.messages()).at(-1)?.message)).toBe('done');
  });
});

describe('a request whose replica is gone', () => {
  it('is taken over by the one that its client comes back to, and runs once', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'orphan' });
    const action = await running('orphan');
    for (const value of [1, 2]) action.progress(value);
    action.log('two');
    const before = [await call.nextMessage(), await call.nextMessage(), await call.nextMessage()];
    replicas.splice(replicas.indexOf(a), 1);
    await a.vanish();
    // Nobody hears these, and they are told all the same.
    action.progress(3);
    action.log('three');
    const resumed = await client.get(b.url, before[2]!.id);
    const third = await resumed.nextMessage();
    action.progress(4);
    action.finish('done');
    const after = [third!, ...(await resumed.messages())];
    expect(progressOf([...(before as never[]), ...after])).toEqual([1, 2, 3, 4]);
    expect(JSON.stringify([...before, ...after]).match(/"data":"(two|three)"/g)).toEqual([
      '"data":"two"',
      '"data":"three"',
    ]);
    expect(textOf(after.at(-1)?.message)).toBe('done');
    expect(after.at(-1)?.message).not.toHaveProperty(['result', '_meta', 'io.callboard/replayed']);
    expect(effects.filter((effect) => effect === 'orphan')).toHaveLength(1);
  });

  it('is answered once when its replica was only thought to be gone', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'undead' });
    const { id } = (await call.next())!;
    const action = await running('undead');
    // What the others see when a replica is cut off for too long; it goes on all the same.
    const forget = setInterval(() => void records.delete('replicas.front-a'), 100);
    const resumed = await client.get(b.url, id);
    await waitFor(async () => (await stored(client.sessionId)).includes('claim'), { what: 'the other takes over' });
    clearInterval(forget);
    for (const value of [1, 2, 3]) action.progress(value);
    action.finish('done');
    expect(progressOf(await resumed.messages())).toEqual([1, 2, 3]);
    expect(progressOf(await (await client.get(b.url, id)).messages())).toEqual([1, 2, 3]);
    expect(await stored(client.sessionId)).toHaveLength(6);
  });

  it('goes on elsewhere when its replica stops in order', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'drained' });
    const { id } = (await call.next())!;
    const action = await running('drained');
    replicas.splice(replicas.indexOf(a), 1);
    await a.stop();
    expect(await call.next()).toBeUndefined();
    const resumed = await client.get(b.url, id);
    action.finish('done');
    expect(textOf((await resumed.messages()).at(-1)?.message)).toBe('done');
    expect(effects.filter((effect) => effect === 'drained')).toHaveLength(1);
  });

  it('waits for nats-server when that is killed too', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'outage' });
    const action = await running('outage');
    action.progress(1);
    const first = await call.nextMessage();
    const resumed = await client.get(b.url, first!.id);
    await nats.crash();
    action.progress(2);
    action.finish('done');
    const rest = await resumed.messages();
    expect(progressOf(rest)).toEqual([2]);
    expect(textOf(rest.at(-1)?.message)).toBe('done');
  });
});

describe('the standalone stream', () => {
  const added = (id: string) => defineAction({ id, description: 'New', input: z.object({}), run: () => 'x' });

  it('tells of a changed list, once, however many replicas see the change', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const stream = await client.get(b.url);
    expect(await stream.next()).toMatchObject({ id: expect.stringMatching(/^\d+\.g_/), data: '' });
    actions.add(added('spec.once'));
    expect((await stream.nextMessage())?.message).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/tools/list_changed',
    });
    const { tools } = (await (await client.request(a.url, 'tools/list')).json()).result as {
      tools: { name: string }[];
    };
    expect(tools.map(({ name }) => name)).toContain('spec.once');
    // The next thing that it is told is the next change.
    await a.router.resourceChanged('spec://not-subscribed');
    actions.remove('spec.once');
    expect((await stream.nextMessage())?.message).toMatchObject({ method: 'notifications/tools/list_changed' });
    stream.cut();
  });

  it.each([
    ['the event that it had last', true],
    ['nothing', false],
  ])('misses no change while it is cut, also on another replica, when it comes back with %s', async (_, remembers) => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const stream = await client.get(a.url);
    const { id } = (await stream.next())!;
    stream.cut();
    actions.add(added('spec.missed'));
    const back = await waitFor(
      async () => {
        const answer = await client.get(b.url, remembers ? id : undefined);
        return answer.status === 200 && answer;
      },
      { what: 'the old connection is noticed' },
    );
    expect((await back.nextMessage())?.message).toMatchObject({ method: 'notifications/tools/list_changed' });
    back.cut();
    actions.remove('spec.missed');
  });

  it('tells of the resources that the session subscribed to, on whichever replica, and of no others', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const stream = await client.get(a.url);
    await stream.next();
    await (await client.request(b.url, 'resources/subscribe', { uri: 'spec://watched' })).json();
    await (await client.request(b.url, 'resources/subscribe', { uri: 'spec://other' })).json();
    await (await client.request(a.url, 'resources/unsubscribe', { uri: 'spec://other' })).json();
    await b.router.resourceChanged('spec://other');
    await b.router.resourceChanged('spec://watched');
    const told = await nextUpdate(stream);
    expect(told?.message).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/resources/updated',
      params: { uri: 'spec://watched' },
    });
    stream.cut();
    await a.router.resourceChanged('spec://watched');
    const back = await client.get(b.url, told!.id);
    expect((await nextUpdate(back))?.message).toMatchObject({ params: { uri: 'spec://watched' } });
    back.cut();
  });

  it('is one at a time: a second is refused on every replica, a returning client takes it over', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const stream = await client.get(a.url);
    const { id } = (await stream.next())!;
    await expectError(await client.get(a.url), 409);
    await expectError(await client.get(b.url), 409);
    const taken = await client.get(b.url, id);
    expect(taken.status).toBe(200);
    expect(await stream.next()).toBeUndefined();
    await expectError(await client.get(a.url), 409);
    taken.cut();
    await waitFor(async () => (await client.get(a.url)).status === 200, { what: 'the stream is free again' });
  });

  it('that a dead replica held is free', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    await (await client.get(a.url)).next();
    replicas.splice(replicas.indexOf(a), 1);
    await a.vanish();
    const again = await waitFor(
      async () => {
        const answer = await client.get(b.url);
        return answer.status === 200 && answer;
      },
      { what: 'the dead replica is noticed' },
    );
    again.cut();
  });
});

describe('a question to the client', () => {
  const ELICITATION = { elicitation: {} };
  const answerTo = (id: unknown, name: string) => ({
    jsonrpc: '2.0',
    id,
    result: { action: 'accept', content: { name } },
  });

  it('can be answered through another replica than the one that asked', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url, { capabilities: ELICITATION });
    const call = await client.call(a.url, 'spec.asks');
    const question = (await call.nextMessage())!.message;
    expect(question).toMatchObject({ method: 'elicitation/create', params: { message: 'Who?' } });
    const stranger = await RawClient.connect(b.url, { capabilities: ELICITATION });
    expect((await stranger.send(b.url, answerTo(question['id'], 'Mallory'))).status).toBe(202);
    expect((await client.send(b.url, answerTo(question['id'], 'Ada'))).status).toBe(202);
    expect(textOf((await call.messages()).at(-1)?.message)).toBe('Hello, Ada');
  });

  it('whose answer is larger than a message between replicas is refused where it arrives', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url, { capabilities: ELICITATION });
    const call = await client.call(a.url, 'spec.asks');
    const { id } = (await call.nextMessage())!.message;
    expect((await client.send(b.url, answerTo(id, 'x'.repeat(1024 * 1024)))).status).toBe(413);
    expect((await client.send(b.url, answerTo(id, 'Ada'))).status).toBe(202);
    expect(textOf((await call.messages()).at(-1)?.message)).toBe('Hello, Ada');
  });

  it('is asked again by the replica that takes the request over, and the answer to the old one changes nothing', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url, { capabilities: ELICITATION });
    const call = await client.call(a.url, 'spec.asks');
    const { id } = (await call.next())!;
    const old = (await call.nextMessage())!.message;
    replicas.splice(replicas.indexOf(a), 1);
    await a.vanish();
    await waitFor(async () => (await records.get('replicas.front-a')) === undefined, {
      what: 'it is known to be gone',
    });
    // A client that had not seen the old question is not asked it either.
    const resumed = await client.get(b.url, id);
    const question = (await resumed.nextMessage())!.message;
    expect(question['id']).not.toEqual(old['id']);
    await client.send(b.url, answerTo(old['id'], 'Late'));
    await client.send(b.url, answerTo(question['id'], 'Grace'));
    expect(textOf((await resumed.messages()).at(-1)?.message)).toBe('Hello, Grace');
  });
});

describe('a request that its client cancels', () => {
  it('through another replica gets no response, now or later, and its command is cancelled', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'cancelled' });
    const { id } = (await call.next())!;
    const action = await running('cancelled');
    const params = { requestId: client.lastId, reason: 'no longer needed' };
    expect((await client.send(b.url, { jsonrpc: '2.0', method: 'notifications/cancelled', params })).status).toBe(202);
    expect(await call.next()).toBeUndefined();
    const subject = `out.default.${action.correlationId}`;
    const outcome = await waitFor(() => jsm.direct.getMessage(STREAM.outcomes, { last_by_subj: subject }), {
      what: 'the end of the command',
    });
    expect(outcome.json()).toMatchObject({ status: 'cancelled' });
    action.finish('too late');
    expect(await (await client.get(b.url, id)).messages()).toEqual([]);
  });

  it('under an idempotency key leaves its command alone', async () => {
    const [a] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const key = { 'idempotency-key': 'kept' };
    const call = await client.call(a.url, 'spec.held', { name: 'kept' }, key);
    await call.next();
    const action = await running('kept');
    const params = { requestId: client.lastId };
    await client.send(a.url, { jsonrpc: '2.0', method: 'notifications/cancelled', params });
    expect(await call.next()).toBeUndefined();
    action.finish('done all the same');
    const again = await client.call(a.url, 'spec.held', { name: 'kept' }, key);
    expect(textOf((await again.messages()).at(-1)?.message)).toBe('done all the same');
  });

  it('by going away has not: its command goes on', async () => {
    const [a, b] = await twoReplicas();
    const client = await RawClient.connect(a.url);
    const call = await client.call(a.url, 'spec.held', { name: 'left alone' });
    const { id } = (await call.next())!;
    const action = await running('left alone');
    call.cut();
    action.finish('done');
    expect(textOf((await (await client.get(b.url, id)).messages()).at(-1)?.message)).toBe('done');
  });
});

describe('what there may be of everything', () => {
  it.each([
    ['sessions', { maxSessions: 0 }, (_: RawClient, url: string) => new RawClient().initialize(url)],
    ['running requests', { maxRequests: 0 }, (client: RawClient, url: string) => client.call(url, 'spec.echo')],
    [
      'requests of a session',
      { maxRunningPerSession: 0 },
      (client: RawClient, url: string) => client.call(url, 'spec.echo'),
    ],
    ['open streams', { maxStreams: 0 }, (client: RawClient, url: string) => client.get(url)],
  ])('has a limit: %s', async (_, limit, tooMuch) => {
    const [roomy, full] = [await replica('front-a'), await replica('front-b', limit)];
    const client = await RawClient.connect(roomy.url);
    const answer = await tooMuch(client, full.url);
    expect(answer.status).toBe(503);
    expect(Number(answer.response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await answer.json()).error?.data).toMatchObject({ code: 'overloaded', retryable: true });
  });

  it('gives back what was taken', async () => {
    const { url } = await replica('front-a', { maxRequests: 1, maxStreams: 1 });
    const client = await RawClient.connect(url);
    for (let round = 0; round < 3; round++) {
      await (await client.call(url, 'spec.echo', { text: 'x' })).messages();
      const stream = await waitFor(
        async () => {
          const answer = await client.get(url);
          return answer.status === 200 && answer;
        },
        { what: 'a stream is free' },
      );
      stream.cut();
    }
  });

  it('has a limit: subscriptions of a session', async () => {
    const { url } = await replica('front-a', { maxSubscriptions: 1 });
    const client = await RawClient.connect(url);
    const subscribe = async (uri: string) => (await client.request(url, 'resources/subscribe', { uri })).json();
    expect((await subscribe('spec://1')).result).toEqual({});
    expect((await subscribe('spec://1')).result).toEqual({});
    expect((await subscribe('spec://2')).error?.data).toMatchObject({ code: 'overloaded' });
    expect((await subscribe(`spec://${'x'.repeat(3_000)}`)).error?.code).toBe(-32602);
  });

  it('disconnects a client that reads too slowly, which can come back for the rest', async () => {
    const { url } = await replica('front-a', { maxBacklog: 64 * 1024 });
    const client = await RawClient.connect(url);
    const call = await client.call(url, 'spec.held', { name: 'slow reader' });
    const { id } = (await call.next())!;
    call.pause();
    const action = await running('slow reader');
    const line = 'x'.repeat(100_000);
    for (let n = 0; n < 100; n++) action.log(`${n} ${line}`);
    action.finish('done');
    await waitFor(async () => (await stored(client.sessionId)).includes('response'), { what: 'all is stored' });
    call.resume();
    expect((await call.messages()).length).toBeLessThan(101);
    const messages = await (await client.get(url, id)).messages();
    expect(messages).toHaveLength(101);
  });
});

describe('the app in processes of its own', () => {
  it('is killed while it serves a stream, which goes on at another, no message lost or doubled', async () => {
    const [a, b] = await Promise.all([startFrontProcess(nats, 'front-1'), startFrontProcess(nats, 'front-2')]);
    const sdk = new SdkClient({ name: 'spec', version: '1' });
    let url = a.url;
    const transport = new StreamableHTTPClientTransport(new URL(url), {
      fetch: (_, init) => fetch(url, init),
      // Its default gives up after two attempts, which a slow machine can need to notice that a process is dead.
      reconnectionOptions: { ...RECONNECT, maxRetries: 100 },
    });
    try {
      const raw = await RawClient.connect(a.url);
      const call = await raw.call(a.url, 'spec.held', { name: 'killed' });
      await sdk.connect(transport);
      const told: number[] = [];
      let tellTwo!: () => void;
      const two = new Promise<void>((resolve) => (tellTwo = resolve));
      const onprogress = ({ progress }: { progress: number }) => void (told.push(progress) === 2 && tellTwo());
      const sdkCall = sdk.callTool({ name: 'spec.held', arguments: { name: 'killed too' } }, undefined, { onprogress });
      const both = await Promise.all([running('killed'), running('killed too')]);
      for (const action of both) for (const value of [1, 2]) action.progress(value);
      const before = [await call.nextMessage(), await call.nextMessage()];
      await two;

      url = b.url;
      await a.kill('SIGKILL');
      for (const action of both) action.progress(3);
      const resumed = await raw.get(b.url, before[0]!.id);
      const after = [await resumed.nextMessage(), await resumed.nextMessage()];
      for (const action of both) {
        action.progress(4);
        action.finish('done');
      }
      const rest = await resumed.messages();
      expect(progressOf([before[0]!, ...(after as never[]), ...rest])).toEqual([1, 2, 3, 4]);
      expect(textOf(rest.at(-1)?.message)).toBe('done');
      expect(textOf({ result: await sdkCall })).toBe('done');
      expect(told).toEqual([1, 2, 3, 4]);
      expect(effects.filter((effect) => effect.startsWith('killed'))).toHaveLength(2);
    } finally {
      await sdk.close();
      await Promise.all([a.kill('SIGKILL'), b.kill('SIGTERM')]);
    }
  });
});
