import { parseFilters } from '@callboard/events';
import { RedactedEvents, startTestNats, type SpecEvent, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { encodeCursor, parseCursor, type EventPosition } from './event-cursor.js';
import { EventReader, type EventPage, type EventSelection, type PageBounds } from './event-reader.js';
import { STREAM } from './topology.js';

const BOUNDS: PageBounds = { events: 100, bytes: 1024 * 1024 };

let nats: TestNats;
let events: RedactedEvents;
let reader: EventReader;
let operator: JetStreamManager;
beforeAll(async () => {
  nats = await startTestNats();
  events = new RedactedEvents(await nats.connect('pii-filter'));
  reader = await EventReader.open(await nats.connect('mcp-frontend'));
  operator = await jetstreamManager(await nats.connect('provisioner'), { checkAPI: false });
});
afterAll(() => nats.dispose());

let tenants = 0;
/** Every test has tenants of its own. */
const newTenant = () => `tenant ${++tenants}`;
const latest = async () => (await reader.range()).latest;

async function storeAll(tenantId: string, ...all: SpecEvent[]): Promise<void> {
  for (const event of all) await events.store({ tenantId, ...event });
}

const numbered = (count: number, event: SpecEvent = {}) =>
  Array.from({ length: count }, (_, i) => ({ ...event, id: String(i) }));
const ids = ({ events: read }: EventPage) => read.map(({ attributes }) => attributes.id);

/** Reads page after page until there is no more. */
async function readAll(tenantId: string, selection: EventSelection, after: EventPosition, bounds = BOUNDS) {
  const pages: EventPage[] = [];
  for (let position = after; ; position = pages.at(-1)!.next) {
    pages.push(await reader.read({ tenantId }, selection, position, bounds));
    if (!pages.at(-1)!.hasMore) return pages;
  }
}

describe('reading events by position', () => {
  it('gives each event once and in order, page by page, and then what came since', async () => {
    const tenantId = newTenant();
    const start = await latest();
    await storeAll(tenantId, ...numbered(7));
    const pages = await readAll(tenantId, {}, start, { ...BOUNDS, events: 3 });
    expect(pages.map(ids)).toEqual([['0', '1', '2'], ['3', '4', '5'], ['6']]);
    expect(pages.map(({ hasMore }) => hasMore)).toEqual([true, true, false]);
    const { next } = pages.at(-1)!;
    expect(ids(await reader.read({ tenantId }, {}, next, BOUNDS))).toEqual([]);
    await storeAll(tenantId, { id: 'later' });
    expect(ids(await reader.read({ tenantId }, {}, next, BOUNDS))).toEqual(['later']);
    expect(ids(await reader.read({ tenantId }, {}, start, BOUNDS))).toHaveLength(8);
  });

  it('gives everything that is told of an event', async () => {
    const tenantId = newTenant();
    const start = await latest();
    const event = {
      topic: 'a/b:c',
      key: 'component:default/web',
      subject: 's',
      data: { a: 'ü' },
      extensions: { x: 'y' },
    };
    await storeAll(tenantId, { ...event, id: '4711' });
    const { events: read } = await reader.read({ tenantId }, {}, start, BOUNDS);
    expect(read).toEqual([
      {
        sequence: start.sequence + 1,
        storedAt: expect.stringMatching(/^\d{4}-/),
        address: { tenantId, source: 'github', topic: 'a/b:c', key: event.key, event: expect.stringMatching(/^e_/) },
        attributes: {
          id: '4711',
          source: 'https://github.example',
          type: 'a/b:c',
          subject: 's',
          time: expect.any(String),
          datacontenttype: 'application/json',
          extensions: { x: 'y' },
        },
        data: Buffer.from('{"a":"ü"}'),
        // No trace was on when it was stored.
        trace: {},
      },
    ]);
  });

  it.each([
    ['a source', { sources: ['gitlab'] }, ['3', '4']],
    ['a topic', { topics: ['push'] }, ['1', '3']],
    ['a source and a topic', { sources: ['github'], topics: ['issue'] }, ['2']],
    ['several of each', { sources: ['github', 'gitlab'], topics: ['push', 'tag'] }, ['1', '3', '4']],
    [
      'filters',
      { filters: parseFilters([{ exact: { subject: 'main' } }, { not: { exact: { topic: 'tag' } } }]) },
      ['1'],
    ],
    ['a key', { filters: parseFilters([{ prefix: { key: 'acme/' } }]) }, ['1', '2', '3', '4']],
  ])('narrowed to %s gives what fits', async (_, selection, expected) => {
    const tenantId = newTenant();
    const start = await latest();
    await storeAll(
      tenantId,
      { id: '1', subject: 'main' },
      { id: '2', topic: 'issue' },
      { id: '3', source: 'gitlab', subject: 'dev' },
      { id: '4', source: 'gitlab', topic: 'tag', subject: 'main' },
      { id: '5', source: 'jira', topic: 'ticket', key: 'other' },
    );
    const page = await reader.read({ tenantId }, selection, start, BOUNDS);
    expect(ids(page)).toEqual(expected);
    expect(page.next).toEqual(await latest());
  });

  it('moves on over what does not fit, and over the events of others, which it never gives', async () => {
    const [tenantId, other] = [newTenant(), newTenant()];
    const start = await latest();
    await storeAll(other, ...numbered(3));
    const page = await reader.read({ tenantId }, {}, start, BOUNDS);
    expect(page).toEqual({
      events: [],
      next: { ...start, sequence: start.sequence + 3 },
      hasMore: false,
      truncated: false,
      restarted: false,
    });
    await storeAll(tenantId, { id: 'mine' });
    expect(ids(await reader.read({ tenantId }, {}, start, BOUNDS))).toEqual(['mine']);
    expect(ids(await reader.read('every tenant', {}, start, BOUNDS))).toHaveLength(4);
  });

  it('ends a page at its bytes, and gives a larger event alone', async () => {
    const tenantId = newTenant();
    const start = await latest();
    const data = 'x'.repeat(1_000);
    await storeAll(tenantId, ...numbered(4, { data }), { id: 'large', data: 'x'.repeat(5_000) });
    const pages = await readAll(tenantId, {}, start, { events: 100, bytes: 2_500 });
    expect(pages.map(ids)).toEqual([['0', '1'], ['2', '3'], ['large']]);
  });

  it('passes over what is stored as an event and is none', async () => {
    const tenantId = newTenant();
    const start = await latest();
    const nc = await nats.connect('pii-filter');
    await nc.request(`evt.${tenantId.replace(' ', '%20')}.github.push.k.e_none`, 'no headers');
    await storeAll(tenantId, { id: 'next' });
    expect(ids(await reader.read({ tenantId }, {}, start, BOUNDS))).toEqual(['next']);
  });

  it('finds the last events of a tenant, of a source or of a topic, and says where a time begins', async () => {
    const [tenantId, other] = [newTenant(), newTenant()];
    const lastOf = async (count: number, selection: EventSelection) => {
      const position = await reader.beforeLast({ tenantId }, selection, count);
      return ids(await reader.read({ tenantId }, selection, position, BOUNDS));
    };
    expect(await lastOf(3, {})).toEqual([]);
    for (const event of numbered(10)) {
      await storeAll(tenantId, event);
      await storeAll(other, ...numbered(3, { key: event.id }).map(({ id, key }) => ({ id: `${key}.${id}` })));
    }
    await storeAll(tenantId, ...numbered(2, { source: 'gitlab' }));
    await storeAll(other, ...numbered(9, { topic: 'more' }).map(({ id, topic }) => ({ topic, id: `more ${id}` })));
    expect(await lastOf(1, {})).toEqual(['1']);
    expect(await lastOf(4, {})).toEqual(['8', '9', '0', '1']);
    expect(await lastOf(3, { sources: ['github'] })).toEqual(['7', '8', '9']);
    expect(await lastOf(100, { sources: ['github'], topics: ['push'] })).toHaveLength(10);

    const few = async (selection: EventSelection, bounds = BOUNDS) =>
      ids(await reader.latest({ tenantId }, selection, bounds));
    expect(await few({ sources: ['github'] }, { ...BOUNDS, events: 2 })).toEqual(['8', '9']);
    const even = ['0', '4', '8'].map((id) => ({ exact: { id } }));
    const filters = parseFilters([{ any: even }, { exact: { source: 'https://github.example' } }]);
    expect(await few({ filters }, { ...BOUNDS, events: 2 })).toEqual(['4', '8']);
    expect(await few({ filters })).toEqual(['0', '4', '8']);
    expect(await few({}, { events: 5, bytes: 20 })).toEqual(['0', '1']);

    const since = new Date();
    await storeAll(tenantId, { id: 'since then' });
    expect(ids(await reader.read({ tenantId }, {}, await reader.beforeTime(since), BOUNDS))).toEqual(['since then']);
    expect(await reader.beforeTime(new Date(Date.now() + 60_000))).toEqual(await latest());
  });
});

describe('a position', () => {
  it('is the same as a cursor, and nothing else is one', () => {
    const position = { stream: 'mhq2k3z8', sequence: 4711 };
    expect(parseCursor(encodeCursor(position))).toEqual(position);
    for (const text of [
      '',
      'c1',
      'c1__',
      'c1_a_',
      'c1_a_-1',
      'c1_A_1',
      'c2_a_1',
      'c1_a_1 ',
      'c1_a_zzzzzzzzzzzz',
      'x',
    ]) {
      expect(parseCursor(text)).toBeUndefined();
    }
  });

  it('that retention has overtaken is told so, and goes on with what is there', async () => {
    const tenantId = newTenant();
    const start = await latest();
    await storeAll(tenantId, ...numbered(4));
    const filter = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
    for (let { sequence } = (await reader.range()).earliest; sequence < start.sequence + 2; sequence++) {
      await filter.streams.deleteMessage(STREAM.events, sequence + 1);
    }
    const page = await reader.read({ tenantId }, {}, start, BOUNDS);
    expect(ids(page)).toEqual(['2', '3']);
    expect(page.truncated).toBe(true);
    expect((await reader.read({ tenantId }, {}, page.next, BOUNDS)).truncated).toBe(false);
    const early = await reader.read({ tenantId }, {}, 'earliest', BOUNDS);
    expect([ids(early), early.truncated]).toEqual([['2', '3'], false]);
  });

  it('of another stream, or beyond its end, begins anew and says so', async () => {
    const tenantId = newTenant();
    await storeAll(tenantId, ...numbered(2));
    const end = await latest();
    for (const position of [
      { ...end, stream: 'other' },
      { ...end, sequence: end.sequence + 1 },
    ]) {
      const page = await reader.read({ tenantId }, {}, position, BOUNDS);
      expect([ids(page), page.truncated, page.next]).toEqual([['0', '1'], true, end]);
    }
  });

  it('survives a crash of nats-server', async () => {
    const tenantId = newTenant();
    const start = await latest();
    await storeAll(tenantId, ...numbered(3));
    const first = await reader.read({ tenantId }, {}, start, { ...BOUNDS, events: 2 });
    await nats.crash();
    await storeAll(tenantId, { id: 'after' });
    expect(ids(await reader.read({ tenantId }, {}, first.next, BOUNDS))).toEqual(['2', 'after']);
    expect((await operator.streams.info(STREAM.events)).state.consumer_count).toBe(0);
  });
});

describe('a page that finds nothing', () => {
  it('ends after so many messages, and the next goes on from there', async () => {
    const tenantId = newTenant();
    const start = await latest();
    await Promise.all(Array.from({ length: 5_100 }, (_, i) => events.store({ tenantId, id: String(i), key: `k${i}` })));
    await storeAll(tenantId, { id: 'found', subject: 'wanted' });
    const filters = parseFilters([{ exact: { subject: 'wanted' } }]);
    const pages = await readAll(tenantId, { filters }, start);
    expect(pages.map(ids)).toEqual([...pages.slice(1).map(() => []), ['found']]);
    expect(pages.length).toBeGreaterThan(1);
  });
});
