import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Principal } from '@callboard/access';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import { Limit } from '@callboard/http';
import { STREAM } from '@callboard/jetstream';
import { RedactedEvents, startTestNats, waitFor, type TestNats, testPrincipal } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Invocation } from '../call.js';
import type { Departure } from '../waiting.js';
import { quotas } from '../spec-quotas.js';
import type { EventsAnswer } from './event-json.js';
import { EVENT_TOOLS } from './event-tools.js';
import { startEvents, type SpecEvents } from './spec-events.js';

let nats: TestNats;
let stored: RedactedEvents;
let here: SpecEvents;
let there: SpecEvents;
beforeAll(async () => {
  nats = await startTestNats();
  stored = new RedactedEvents(await nats.connect('pii-filter'));
  [here, there] = [await replica(), await replica()];
});
afterAll(async () => {
  here.stop();
  there.stop();
  await nats.dispose();
});

const replica = async (options: Parameters<typeof startEvents>[1] = {}) =>
  startEvents(await nats.connect('mcp-frontend'), options);

let principals = 0;
/** Of a tenant of its own. */
const newPrincipal = (): Principal => testPrincipal(`tenant-${++principals}`, 'user:default/jane');

type Tool = keyof typeof EVENT_TOOLS;

/** Calls a tool as an authenticated client does. */
async function call(
  events: SpecEvents,
  principal: Principal,
  tool: Tool,
  args: JsonObject = {},
  onGone?: Invocation['onGone'],
): Promise<JsonObject> {
  const invocation = { principal, action: EVENT_TOOLS[tool], args, ...(onGone && { onGone }) };
  const { structuredContent, content } = await events.calls.serve(invocation as Invocation);
  expect(JSON.parse((content as { text: string }[])[0]!.text)).toEqual(structuredContent);
  return structuredContent as JsonObject;
}

async function poll(events: SpecEvents, principal: Principal, args: JsonObject = {}, onGone?: Invocation['onGone']) {
  return (await call(events, principal, 'poll', { name: 'mine', ...args }, onGone)) as EventsAnswer;
}

const subscribe = (events: SpecEvents, principal: Principal, args: JsonObject = {}) =>
  call(events, principal, 'subscribe', { name: 'mine', ...args });
const store = ({ tenantId }: Principal, ...ids: string[]) =>
  ids.reduce<Promise<unknown>>((before, id) => before.then(() => stored.store({ tenantId, id })), Promise.resolve());
const ids = ({ events }: JsonObject) => (events as { event: { id: string } }[]).map(({ event }) => event.id);

async function codeOf(refused: Promise<unknown>): Promise<string> {
  const error = await refused.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CallboardError)) throw error ?? new Error('was not refused');
  return `${error.code}: ${error.message}`;
}

describe('a named subscription', () => {
  it('gives events from its beginning on, again until a cursor confirms them, on any replica', async () => {
    const jane = newPrincipal();
    await store(jane, 'before');
    const subscribed = await subscribe(here, jane);
    expect(subscribed).toMatchObject({ name: 'mine', subscribed: 'created', cursor: expect.stringMatching(/^c1_/) });
    expect(ids(await poll(there, jane))).toEqual([]);
    await store(jane, '1', '2', '3');

    const first = await poll(there, jane, { max: 2 });
    expect([ids(first), first.has_more, first.truncated]).toEqual([['1', '2'], true, false]);
    // The answer was lost.
    expect(ids(await poll(here, jane, { max: 2 }))).toEqual(['1', '2']);
    const second = await poll(here, jane, { cursor: first.next_cursor });
    expect([ids(second), second.has_more]).toEqual([['3'], false]);
    expect(ids(await poll(there, jane, { cursor: first.next_cursor }))).toEqual(['3']);
    // What was confirmed is not given again to who forgot its cursor.
    expect(ids(await poll(there, jane))).toEqual(['3']);
    expect(ids(await poll(there, jane, { cursor: second.next_cursor }))).toEqual([]);
    expect(ids(await poll(here, jane))).toEqual([]);
    // An old cursor gives again what came after it, and takes nothing back.
    expect(ids(await poll(here, jane, { cursor: subscribed.cursor }))).toEqual(['1', '2', '3']);
    expect(ids(await poll(here, jane))).toEqual([]);
  });

  it('begins where it is told, and keeps its position when it is made again', async () => {
    const jane = newPrincipal();
    await store(jane, '1', '2');
    await subscribe(here, jane, { from: 'earliest' });
    const first = await poll(here, jane, { max: 1 });
    expect(ids(first)).toEqual(['1']);
    await call(here, jane, 'subscribe', { name: 'other', from: first.next_cursor });
    expect(ids(await poll(there, jane, { name: 'other' }))).toEqual(['2']);

    await poll(here, jane, { cursor: first.next_cursor });
    expect(await subscribe(there, jane, { from: 'earliest' })).toMatchObject({ subscribed: 'unchanged' });
    expect(ids(await poll(here, jane))).toEqual(['2']);
    const filters = [{ not: { exact: { id: '2' } } }];
    expect(await subscribe(there, jane, { filters })).toMatchObject({ subscribed: 'changed', filters });
    await store(jane, '3');
    expect(ids(await poll(here, jane))).toEqual(['3']);
    expect(await subscribe(there, jane, { filters })).toMatchObject({ subscribed: 'unchanged' });
  });

  it("is its principal's alone", async () => {
    const jane = newPrincipal();
    const joe = { ...jane, userId: 'user:default/joe' };
    const stranger = { ...newPrincipal(), userId: jane.userId };
    await subscribe(here, jane, { from: 'earliest' });
    await store(jane, '1');
    for (const other of [joe, stranger]) {
      expect(await codeOf(poll(here, other))).toMatch(/^not_found: You have no subscription of that name/);
      expect(await call(here, other, 'list')).toMatchObject({ subscriptions: [] });
      expect(await call(here, other, 'unsubscribe', { name: 'mine' })).toEqual({ name: 'mine', removed: false });
    }
    // With a cursor of another tenant somebody sees what is its own.
    const { next_cursor: cursor } = await poll(here, jane);
    await subscribe(here, stranger, { from: 'earliest' });
    await store(stranger, 'mine');
    expect(ids(await poll(here, stranger, { cursor }))).toEqual(['mine']);
    expect(ids(await call(here, stranger, 'read', { cursor: 'earliest' }))).toEqual(['mine']);
    expect(ids(await call(here, joe, 'read', { cursor: 'earliest' }))).toEqual(['1']);
  });

  it('ends when it is told, and can be made anew', async () => {
    const jane = newPrincipal();
    await subscribe(here, jane, { from: 'earliest' });
    expect(await call(there, jane, 'unsubscribe', { name: 'mine' })).toEqual({ name: 'mine', removed: true });
    expect(await codeOf(poll(here, jane))).toMatch(/^not_found/);
    expect(await subscribe(here, jane)).toMatchObject({ subscribed: 'created' });
  });

  it('is one of few', async () => {
    const jane = newPrincipal();
    const few = await replica({ quotas: quotas({ eventSubscriptionsPerPrincipal: 2, eventSubscriptions: 3 }) });
    const named = (principal: Principal, name: string) => call(few, principal, 'subscribe', { name });
    await named(jane, 'a');
    await named(jane, 'b');
    expect(await codeOf(named(jane, 'c'))).toMatch(/^overloaded: Too many subscriptions of this principal/);
    expect(await named(jane, 'b')).toMatchObject({ subscribed: 'unchanged' });
    const joe = { ...jane, userId: 'joe' };
    await named(joe, 'a');
    expect(await codeOf(named(joe, 'b'))).toMatch(/^overloaded: Too many subscriptions of this tenant/);
    few.stop();
  });

  it('is forgotten when nobody polls it for so long', async () => {
    const jane = newPrincipal();
    const own = await replica({ ttlMs: 2_000 });
    expect(await subscribe(own, jane)).toMatchObject({ subscribed: 'created' });
    await waitFor(async () => (await own.subscriptions.list(jane)).length === 0, {
      what: 'the end',
    });
    expect(await codeOf(poll(own, jane))).toMatch(/^not_found/);
    expect(await subscribe(own, jane)).toMatchObject({ subscribed: 'created' });
    own.stop();
  });

  it('is told when retention was faster, and goes on', async () => {
    const jane = newPrincipal();
    await subscribe(here, jane);
    await store(jane, '1', '2');
    const filter = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
    const { state } = await filter.streams.info(STREAM.events);
    for (let sequence = state.first_seq; sequence < state.last_seq; sequence++) {
      await filter.streams.deleteMessage(STREAM.events, sequence);
    }
    const answer = await poll(here, jane, { wait_ms: 10_000 });
    expect([ids(answer), answer.truncated]).toEqual([['2'], true]);
    const next = await poll(here, jane, { cursor: answer.next_cursor });
    expect([ids(next), next.truncated]).toEqual([[], false]);
  });
});

describe('a poll that waits', () => {
  it('is answered as soon as there is an event that fits, whichever replica it waits at', async () => {
    const jane = newPrincipal();
    const other = newPrincipal();
    await subscribe(here, jane, { topics: ['push'], filters: [{ prefix: { key: 'acme/' } }] });
    let answered = false;
    const waiting = poll(there, jane, { wait_ms: 20_000 }).finally(() => (answered = true));
    await stored.store({ tenantId: jane.tenantId, topic: 'issue' });
    await stored.store({ tenantId: jane.tenantId, key: 'other/web' });
    await stored.store({ tenantId: other.tenantId });
    // All that does not fit was heard of by then.
    await waitFor(() => there.resources.list(other).length > 0, { what: 'the events' });
    await delay(50);
    expect(answered).toBe(false);
    await store(jane, 'fits');
    expect(ids(await waiting)).toEqual(['fits']);
  });

  it('is answered with nothing when there was nothing, with a cursor that goes on', async () => {
    const jane = newPrincipal();
    await subscribe(here, jane);
    const { next_cursor: cursor, ...nothing } = await poll(here, jane, { wait_ms: 30 });
    expect(nothing).toEqual({ name: 'mine', events: [], has_more: false, truncated: false });
    await store(jane, '1');
    expect(ids(await poll(here, jane, { cursor }))).toEqual(['1']);
  });

  it('ends when its client goes, and when the replica stops', async () => {
    const limit = new Limit('waiting polls', 2, 1_000);
    const own = await replica({ waits: limit });
    const jane = newPrincipal();
    await subscribe(own, jane);
    let leave: ((how: Departure) => void) | undefined;
    const gone = poll(own, jane, { wait_ms: 50_000 }, (left) => (leave = left));
    const stays = poll(own, jane, { wait_ms: 50_000 });
    await waitFor(() => limit.taken === 2, { what: 'both polls' });
    expect(await codeOf(poll(own, jane, { wait_ms: 1 }))).toBe('overloaded: Too many waiting polls; try again later');
    leave!('cancelled');
    expect(await codeOf(gone)).toMatch(/^cancelled/);
    expect(limit.taken).toBe(1);
    own.calls.close();
    expect(ids(await stays)).toEqual([]);
    expect(limit.taken).toBe(0);
    own.stop();
  });

  it('survives a crash of nats-server, and is answered with what came then', async () => {
    const jane = newPrincipal();
    await subscribe(here, jane);
    const waiting = poll(here, jane, { wait_ms: 50_000 });
    await waitFor(async () => (await poll(there, jane)).events.length === 0, { what: 'the subscription' });
    await nats.crash();
    await store(jane, 'after');
    expect(ids(await waiting)).toEqual(['after']);
  });
});

describe('events.read', () => {
  it('gives the latest events, the earliest, or those after a cursor, as they are asked for', async () => {
    const jane = newPrincipal();
    expect(await call(here, jane, 'read')).toMatchObject({ events: [], has_more: false, truncated: false });
    await store(jane, '1', '2', '3', '4');
    expect(ids(await call(here, jane, 'read', { max: 2 }))).toEqual(['3', '4']);
    const first = await call(here, jane, 'read', { cursor: 'earliest', max: 3 });
    expect([ids(first), first.has_more]).toEqual([['1', '2', '3'], true]);
    expect(ids(await call(there, jane, 'read', { cursor: first.next_cursor }))).toEqual(['4']);
    const filters = [{ any: [{ exact: { id: '1' } }, { exact: { id: '2' } }] }];
    expect(ids(await call(here, jane, 'read', { filters, max: 1 }))).toEqual(['2']);
    expect(ids(await call(here, jane, 'read', { sources: ['gitlab'] }))).toEqual([]);
  });

  it('gives events as CloudEvents, with where they come from', async () => {
    const jane = newPrincipal();
    const { tenantId } = jane;
    await stored.store({ tenantId, id: '1', key: 'acme/web', subject: 's', extensions: { x: 'y' }, data: { a: [1] } });
    const { events } = await call(here, jane, 'read');
    expect(events).toEqual([
      {
        source: 'github',
        topic: 'push',
        key: 'acme/web',
        name: expect.stringMatching(/^e_/),
        stored_at: expect.stringMatching(/Z$/),
        event: {
          specversion: '1.0',
          id: '1',
          source: 'https://github.example',
          type: 'push',
          subject: 's',
          time: expect.any(String),
          datacontenttype: 'application/json',
          x: 'y',
          data: { a: [1] },
        },
      },
    ]);
  });

  it('fits what it gives into one answer, and leaves out data that no answer can hold', async () => {
    const jane = newPrincipal();
    const { tenantId } = jane;
    for (const id of ['1', '2', '3']) await stored.store({ tenantId, id, data: 'x'.repeat(100_000) });
    await stored.store({ tenantId, id: 'large', data: 'x'.repeat(300_000) });
    const first = await call(here, jane, 'read', { cursor: 'earliest' });
    expect([ids(first), first.has_more]).toEqual([['1', '2'], true]);
    const second = await call(here, jane, 'read', { cursor: first.next_cursor });
    expect(ids(second)).toEqual(['3']);
    const third = await call(here, jane, 'read', { cursor: second.next_cursor });
    expect(third).toMatchObject({ events: [{ event: { id: 'large' }, omitted_data_bytes: 300_002 }], has_more: false });
    expect((third.events as { event: object }[])[0]!.event).not.toHaveProperty('data');
  });

  it.each([
    [{ cursor: 'nonsense' }, 'invalid_cursor: The cursor is none that was given out here'],
    [{ cursor: `c1_a_${'9'.repeat(20)}` }, 'invalid_cursor: The cursor is none that was given out here'],
    [{ max: 201 }, 'invalid_arguments: arguments/max must be <= 200'],
    [{ sources: ['a.b'] }, 'invalid_arguments: arguments/sources/0 must match pattern'],
    [{ filters: [{ exact: { type: 1 } }] }, 'invalid_arguments: filters[0].exact.type must be text of 1 to 512'],
    [{ filters: [{ sql: 'true' }] }, 'invalid_arguments: filters[0] uses the dialect sql, which is not offered'],
    [{ tenant: 'other' }, 'invalid_arguments: arguments must NOT have additional properties'],
  ])('refuses %j', async (args, message) => {
    expect(await codeOf(call(here, newPrincipal(), 'read', args))).toContain(message);
  });

  it('takes a forged cursor for one of another stream: nothing of others is given, and that it began anew is said', async () => {
    const jane = newPrincipal();
    await store(jane, '1');
    for (const cursor of ['c1_0_0', 'c1_zzzz_1', 'c1_a_zzzzzzzzzz']) {
      const answer = await call(here, jane, 'read', { cursor });
      expect([ids(answer), answer.truncated]).toEqual([['1'], true]);
    }
  });
});

describe('events.list', () => {
  it("names the sources and topics of its tenant, also those from before the replica started, and the caller's subscriptions", async () => {
    const jane = newPrincipal();
    const { tenantId } = jane;
    await stored.store({ tenantId, source: 'github', topic: 'push' });
    await stored.store({ tenantId, source: 'github', topic: 'a/b' });
    await stored.store({ tenantId, source: 'backstage', topic: 'catalog' });
    await subscribe(here, jane, { sources: ['github'] });
    const late = await replica();
    for (const events of [here, late]) {
      const listed = await waitFor(
        async () => {
          const answer = await call(events, jane, 'list');
          return (answer.sources as unknown[]).length === 2 && answer;
        },
        { what: 'the topics' },
      );
      const at = expect.stringMatching(/Z$/);
      expect(listed).toEqual({
        sources: [
          { source: 'backstage', topics: [{ topic: 'catalog', last_event_at: at, uri: 'event://backstage/catalog' }] },
          {
            source: 'github',
            topics: [
              { topic: 'a/b', last_event_at: at, uri: 'event://github/a%2Fb' },
              { topic: 'push', last_event_at: at, uri: 'event://github/push' },
            ],
          },
        ],
        more_topics: false,
        subscriptions: [
          {
            name: 'mine',
            sources: ['github'],
            cursor: expect.stringMatching(/^c1_/),
            created_at: at,
            used_at: at,
          },
        ],
      });
    }
    late.stop();
    expect(await call(here, newPrincipal(), 'list')).toEqual({ sources: [], more_topics: false, subscriptions: [] });
  });
});

describe('topics that policies do not allow', () => {
  let own: SpecEvents;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-topics-'));
    const policies = `
      @id("pushes")
      permit (principal, action in [Callboard::Action::"read_events", Callboard::Action::"subscribe"], resource)
      when { resource.topic == "push" };
      @id("issues-are-read") permit (principal, action == Callboard::Action::"read_events", resource)
      when { resource.topic == "issues" };`;
    await writeFile(join(folder, 'topics.cedar'), policies);
    own = await replica({ policies: folder });
  });
  afterAll(async () => {
    own.stop();
    await rm(folder, { recursive: true });
  });

  const three = async ({ tenantId }: Principal) => {
    for (const topic of ['push', 'issues', 'secrets']) await stored.store({ tenantId, topic, id: topic });
  };

  it('are not listed, and what is read has nothing of them', async () => {
    const jane = newPrincipal();
    await three(jane);
    expect(ids(await call(own, jane, 'read'))).toEqual(['push', 'issues']);
    expect(ids(await call(own, jane, 'read', { topics: ['push', 'secrets'] }))).toEqual(['push']);
    const listed = await waitFor(
      async () => {
        const { sources } = await call(own, jane, 'list');
        return (
          (sources as { topics: { topic: string }[] }[])[0]?.topics.map(({ topic }) => topic).length === 2 && sources
        );
      },
      { what: 'the topics' },
    );
    expect(JSON.stringify(listed)).not.toContain('secrets');
    expect(own.resources.list(jane).map(({ name }) => name)).toEqual(['github/issues', 'github/push']);
  });

  it('are refused where they are asked for by name', async () => {
    const jane = newPrincipal();
    const named = { sources: ['github'], topics: ['secrets'] };
    const forbidden = 'forbidden: Policy does not allow this';
    expect(await codeOf(call(own, jane, 'read', named))).toBe(forbidden);
    expect(await codeOf(subscribe(own, jane, named))).toBe(forbidden);
    expect(await codeOf(subscribe(own, jane, { ...named, topics: ['issues'] }))).toBe(forbidden);
    expect(await codeOf(own.resources.read(jane, 'event://github/secrets'))).toBe(forbidden);
    expect(() => own.resources.checkSubscribe(jane, 'event://github/issues')).toThrow(CallboardError);
    expect([
      own.resources.maySubscribe(jane, 'event://github/issues'),
      own.resources.maySubscribe(jane, 'event://github/push'),
    ]).toEqual([false, true]);
  });

  it('never reach a subscription to everything, nor wake who waits for it', async () => {
    const jane = newPrincipal();
    await subscribe(own, jane);
    const woken: string[] = [];
    own.resources.watch(jane, 'event://', () => woken.push('all'));
    await three(jane);
    const got = await poll(own, jane, { wait_ms: 5_000 });
    expect(ids(got)).toEqual(['push']);
    await stored.store({ tenantId: jane.tenantId, topic: 'secrets' });
    await stored.store({ tenantId: jane.tenantId, topic: 'push', id: 'again' });
    expect(ids(await poll(own, jane, { cursor: got.next_cursor, wait_ms: 5_000 }))).toEqual(['again']);
    await waitFor(() => woken.length >= 2, { what: 'both pushes' });
    expect(woken).toHaveLength(2);
  });
});
