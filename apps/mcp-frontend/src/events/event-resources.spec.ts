/** Events as resources, as clients of both eras meet them. */
import { createHash } from 'node:crypto';
import type { JsonObject } from '@callboard/envelope';
import { STREAM } from '@callboard/jetstream';
import {
  RedactedEvents,
  startTestNats,
  waitFor,
  type SpecEvent,
  type TestNats,
  testPrincipal,
} from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { RawClient, startReplica, type Answer, type SpecReplica } from '../sessions/spec-sessions.js';
import { modernRequest, raw, startSpecFront, type SpecFront } from '../spec-front.js';
import { Listening } from '../spec-listening.js';
import type { EventsAnswer } from './event-json.js';
import { startEvents, type SpecEvents } from './spec-events.js';

const TENANTS = ['default', 'acme', 'other'] as const;
type Tenant = (typeof TENANTS)[number];

let nats: TestNats;
let sre: JetStreamManager;
let stored: RedactedEvents;
let events: SpecEvents;
let front: SpecFront;
let a: SpecReplica;
let b: SpecReplica;
beforeAll(async () => {
  nats = await startTestNats();
  sre = await jetstreamManager(await nats.connect('sre'));
  stored = new RedactedEvents(await nats.connect('pii-filter'));
  events = await startEvents(await nats.connect('mcp-frontend'));
  const tokens = TENANTS.map((tenantId) => ({
    digest: createHash('sha256').update(tenantId).digest(),
    principal: testPrincipal(tenantId, 'jane'),
  }));
  front = await startSpecFront({ events: events.resources, tokens, maxListens: 8 });
  [a, b] = [await startReplica(nats, 'a'), await startReplica(nats, 'b')];
});
afterAll(async () => {
  await front.stop();
  events.stop();
  await Promise.all([a.stop(), b.stop()]);
  await nats.dispose();
});

const as = (tenant: Tenant) => ({ authorization: `Bearer ${tenant}` });
const store = (tenantId: Tenant, event: SpecEvent = {}) => stored.store({ tenantId, ...event });

/** A replica that has not heard of an event yet may have to tell of it once more. */
async function heardOfAll(heard: () => number): Promise<void> {
  const { state } = await sre.streams.info(STREAM.events);
  await waitFor(() => heard() >= state.last_seq, { what: 'all events heard of' });
}

let sources = 0;
/** Every test has a source of its own. */
const newSource = () => `source-${++sources}`;

/** A request of either era, and its result or error. */
const ASK = {
  modern: async (tenant: Tenant, method: string, params: JsonObject) =>
    (await raw(front.port, modernRequest(method, params, { headers: as(tenant) }))).json as JsonObject,
  legacy: async (tenant: Tenant, method: string, params: JsonObject) => {
    const client = await RawClient.connect(a.url, { headers: { 'x-spec-tenant': tenant } });
    const answer = await client.request(a.url, method, params);
    if (method !== 'resources/read') return answer.json();
    return (await answer.messages()).at(-1)!.message;
  },
};
const ERAS = ['modern', 'legacy'] as const;

describe.each(ERAS)('a client of the %s era', (era) => {
  const ask = async (tenant: Tenant, method: string, params: JsonObject = {}) =>
    (await ASK[era](tenant, method, params)).result as JsonObject;
  const read = async (tenant: Tenant, uri: string) => {
    const { contents } = (await ask(tenant, 'resources/read', { uri })) as {
      contents: { uri: string; mimeType: string; text: string }[];
    };
    expect(contents).toEqual([{ uri, mimeType: 'application/json', text: expect.any(String) }]);
    return JSON.parse(contents[0]!.text) as EventsAnswer;
  };
  const ids = (answer: EventsAnswer) => answer.events.map(({ event }) => (event as JsonObject).id);

  it('finds the topics of its tenant, and no others, among the resources, and the template that names them all', async () => {
    const source = newSource();
    await store('acme', { source, topic: 'a/b' });
    await store('other', { source, topic: 'foreign' });
    const uris = async (tenant: Tenant) =>
      ((await ask(tenant, 'resources/list')).resources as { uri: string; name: string }[])
        .filter(({ uri }) => uri.startsWith(`event://${source}/`))
        .map(({ uri, name }) => [uri, name]);
    await waitFor(async () => (await uris('acme')).length > 0, { what: 'the topic' });
    expect(await uris('acme')).toEqual([[`event://${source}/a%2Fb`, `${source}/a/b`]]);
    await waitFor(async () => (await uris('other')).length > 0, { what: 'the other topic' });
    expect(await uris('other')).toEqual([[`event://${source}/foreign`, `${source}/foreign`]]);
    const { resourceTemplates } = await ask('acme', 'resources/templates/list');
    expect(resourceTemplates).toContainEqual(
      expect.objectContaining({ uriTemplate: 'event://{source}/{topic}{?after,limit}' }),
    );
  });

  it('reads the latest events of a topic, a source or everything, and on from a cursor', async () => {
    const source = newSource();
    for (const id of ['1', '2', '3']) await store('acme', { source, id });
    await store('acme', { source, topic: 'issue', id: '4' });
    await store('other', { source, id: 'foreign' });
    const latest = await read('acme', `event://${source}/push?limit=2`);
    expect([ids(latest), latest.has_more, latest.truncated]).toEqual([['2', '3'], false, false]);
    expect(ids(await read('acme', `event://${source}`))).toEqual(['1', '2', '3', '4']);
    expect(ids(await read('acme', 'event://?limit=2'))).toEqual(['3', '4']);
    expect(ids(await read('acme', `event://${source}/none`))).toEqual([]);
    await store('acme', { source, id: '5' });
    expect(ids(await read('acme', `event://${source}/push?after=${latest.next_cursor}`))).toEqual(['5']);
  });

  it('is told that a URI which cannot be is none', async () => {
    const { error } = await ASK[era]('acme', 'resources/read', { uri: 'event://No Such/Thing' });
    const unknown = (await ASK[era]('acme', 'resources/read', { uri: 'none://at.all' })).error as JsonObject;
    expect(error).toMatchObject({
      code: unknown.code,
      message: unknown.message,
      data: { uri: 'event://No Such/Thing' },
    });
  });
});

describe('a client that listens (2026)', () => {
  const opened: Listening[] = [];
  const listen = (tenant: Tenant, ...uris: string[]) => {
    const listening = new Listening(front.port, { resourceSubscriptions: uris }, { headers: as(tenant) });
    opened.push(listening);
    return listening;
  };
  afterEach(() => opened.splice(0).forEach((listening) => listening.close()));
  const updates = ({ frames }: Listening) => frames.slice(1).map(({ params }) => params!.uri);

  it('is told when something comes for what it subscribed to, in its tenant, under the URI that it named', async () => {
    const source = newSource();
    const [topic, whole] = [`event://${source}/push`, `event://${source}`];
    const listening = listen('acme', topic, whole, 'event://No Such', 'spec://note/1');
    const [acknowledged] = await listening.until(1);
    expect(acknowledged).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: { resourceSubscriptions: [topic, whole, 'spec://note/1'] } },
    });
    await store('other', { source });
    await store('acme', { source, topic: 'issue' });
    const [, first] = await listening.until(2);
    expect(first).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/resources/updated',
      params: { uri: whole, _meta: { 'io.modelcontextprotocol/subscriptionId': 0 } },
    });
    await store('acme', { source });
    await listening.until(4);
    expect(updates(listening).slice(1).sort()).toEqual([whole, topic]);
    // What other resources tell goes through as well, and cannot be mistaken for an event.
    front.bus.publish({ kind: 'resource_updated', uri: topic });
    front.bus.publish({ kind: 'resource_updated', uri: 'spec://note/1' });
    await listening.until(5);
    expect(updates(listening).at(-1)).toBe('spec://note/1');
  });

  it('is told at once when something came after the cursor that its URI names', async () => {
    const source = newSource();
    await store('acme', { source, id: '1' });
    const { next_cursor: cursor } = await events.calls.read(testPrincipal('acme', 'jane'), { sources: [source] });
    const uri = `event://${source}/push?after=${cursor}`;
    const early = listen('acme', uri);
    await early.until(1);
    await store('acme', { source, id: '2' });
    const late = listen('acme', uri);
    for (const listening of [early, late]) expect((await listening.until(2))[1]!.params).toMatchObject({ uri });
  });

  it('that does not read is told once when it does, not once for every event', async () => {
    const source = newSource();
    const uris = Array.from({ length: 6 }, (_, n) => `event://${source}/topic-${n}`);
    const listening = listen('acme', 'spec://note/1', ...uris);
    await listening.until(1);
    listening.pause();
    // Until the way to the client is full, and the front end has to keep what it tells.
    const params = { _meta: { filling: 'x'.repeat(256 * 1024) } };
    const isFull = () => {
      front.bus.publish({ kind: 'resource_updated', uri: 'spec://note/1', params });
      return front.unsent() > 1024 * 1024;
    };
    await waitFor(isFull, { what: 'a client that does not read' });
    for (let round = 0; round < 20; round++) {
      await Promise.all(uris.map((_, n) => store('acme', { source, topic: `topic-${n}` })));
    }
    await heardOfAll(() => events.resources.position);
    listening.resume();
    const told = () => updates(listening).filter((uri) => uri !== 'spec://note/1');
    await waitFor(() => told().length >= uris.length, { what: 'an update of each' });
    expect(told().sort()).toEqual(uris);
  });

  it('takes a place for each URI of events, and is refused when there are none left', async () => {
    await waitFor(() => front.listens.taken === 0, { what: 'the end of the others' });
    const uris = Array.from({ length: 8 }, (_, n) => `event://github/t${n}`);
    const notifications = { resourceSubscriptions: uris };
    const answer = await raw(front.port, modernRequest('subscriptions/listen', { notifications }));
    expect([answer.status, answer.json.error?.data]).toMatchObject([503, { code: 'overloaded' }]);
    expect(front.listens.taken).toBe(0);
  });

  it('is told after a crash of nats-server of what came meanwhile', async () => {
    const source = newSource();
    const listening = listen('acme', `event://${source}/push`);
    await listening.until(1);
    await nats.crash();
    await store('acme', { source });
    await listening.until(2);
    expect(updates(listening)[0]).toBe(`event://${source}/push`);
  });
});

describe('a client with a session (2025)', () => {
  const connect = (url: string, tenant: Tenant) => RawClient.connect(url, { headers: { 'x-spec-tenant': tenant } });
  const subscribe = async (client: RawClient, url: string, uri: string) =>
    (await client.request(url, 'resources/subscribe', { uri })).json();

  /** The next update; lists may change at any time. */
  async function nextUpdate(stream: Answer): Promise<{ id: string | undefined; uri: string }> {
    for (;;) {
      const { id, message } = (await stream.nextMessage())!;
      if (message.method === 'notifications/resources/updated')
        return { id, uri: String((message.params as JsonObject).uri) };
    }
  }

  async function reopen(client: RawClient, url: string, id?: string): Promise<Answer> {
    return waitFor(
      async () => {
        const answer = await client.get(url, id);
        return answer.status === 200 && answer;
      },
      { what: 'the stream' },
    );
  }

  it('is told over its stream, whichever replica has that and whichever took the subscription', async () => {
    const source = newSource();
    const uri = `event://${source}/push`;
    const client = await connect(a.url, 'acme');
    const stream = await client.get(a.url);
    expect(await subscribe(client, b.url, uri)).toMatchObject({ result: {} });
    // At once: the replica with the stream may not know of the subscription yet.
    await store('acme', { source });
    expect((await nextUpdate(stream)).uri).toBe(uri);
    await store('other', { source });
    await store('acme', { source, topic: 'issue' });
    await store('acme', { source });
    expect((await nextUpdate(stream)).uri).toBe(uri);
    await (await client.request(b.url, 'resources/unsubscribe', { uri })).json();
    stream.cut();
    expect(await subscribe(client, a.url, 'event://No Such')).toMatchObject({ error: { code: -32602 } });
  });

  it('misses nothing that came while it was away, and is told of nothing when nothing came', async () => {
    const source = newSource();
    const [quiet, busy] = [`event://${source}/quiet`, `event://${source}/busy`];
    const client = await connect(a.url, 'acme');
    await subscribe(client, a.url, quiet);
    await subscribe(client, a.url, busy);
    await store('acme', { source, topic: 'busy' });
    // Before there was a stream at all.
    const first = await client.get(a.url);
    const told = await nextUpdate(first);
    expect(told.uri).toBe(busy);
    first.cut();
    await heardOfAll(b.heard);
    const again = await reopen(client, b.url, told.id);
    await store('acme', { source, topic: 'quiet' });
    // Not told again of what it had, for the next thing that it hears is this.
    const second = await nextUpdate(again);
    expect(second.uri).toBe(quiet);
    again.cut();
    await store('acme', { source, topic: 'busy' });
    await heardOfAll(a.heard);
    const third = await reopen(client, a.url, second.id);
    expect((await nextUpdate(third)).uri).toBe(busy);
    third.cut();
  });

  it('goes on at another replica when its own is gone, and is told of what came meanwhile', async () => {
    const dying = await startReplica(nats, 'dying');
    const source = newSource();
    const uri = `event://${source}`;
    const client = await connect(dying.url, 'acme');
    await subscribe(client, dying.url, uri);
    const stream = await client.get(dying.url);
    await store('acme', { source });
    const { id } = await nextUpdate(stream);
    await dying.vanish();
    await store('acme', { source });
    const back = await reopen(client, b.url, id);
    expect((await nextUpdate(back)).uri).toBe(uri);
    await store('acme', { source });
    expect((await nextUpdate(back)).uri).toBe(uri);
    back.cut();
  });
});
