import type { JsonObject } from '@callboard/envelope';
import { RedactedEvents, startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { modernRequest, raw, startSpecFront, type SpecFront } from '../spec-front.js';
import { startEvents, type SpecEvents } from './spec-events.js';

let nats: TestNats;
let stored: RedactedEvents;
let events: SpecEvents;
let front: SpecFront;
let without: SpecFront;
beforeAll(async () => {
  nats = await startTestNats();
  stored = new RedactedEvents(await nats.connect('pii-filter'));
  events = await startEvents(await nats.connect('mcp-frontend'), { experimental: true });
  front = await startSpecFront({ events: events.resources, eventsExtension: events.extension });
  without = await startSpecFront();
});
afterAll(async () => {
  await Promise.all([front.stop(), without.stop()]);
  events.stop();
  await nats.dispose();
});

const ask = async (method: string, params: JsonObject = {}) =>
  (await raw(front.port, modernRequest(method, params))).json;
const poll = async (params: JsonObject) => {
  const { result } = await ask('events/poll', params);
  return result as { events: JsonObject[]; cursor: string; truncated: boolean; hasMore: boolean; nextPollMs: number };
};
const dataIds = ({ events: occurred }: { events: JsonObject[] }) => occurred.map(({ data }) => (data as JsonObject).id);

describe('the events extension', () => {
  it('is announced and served only where it is switched on', async () => {
    const extensions = async ({ port }: SpecFront) => {
      const { result } = (await raw(port, modernRequest('server/discover'))).json;
      return Object.keys((result!.capabilities as { extensions: JsonObject }).extensions);
    };
    expect(await extensions(front)).toContain('io.modelcontextprotocol/events');
    expect(await extensions(without)).not.toContain('io.modelcontextprotocol/events');
    for (const method of ['events/list', 'events/poll']) {
      const refused = await raw(without.port, modernRequest(method, { name: 'github/push' }));
      expect([refused.status, refused.json.error?.code]).toEqual([404, -32601]);
    }
  });

  it('lists the topics of the caller’s tenant as event types', async () => {
    await stored.store({ source: 'listed', topic: 'a/b' });
    await stored.store({ source: 'listed', topic: 'foreign', tenantId: 'acme' });
    const listed = await waitFor(
      async () => {
        const { result } = await ask('events/list');
        const types = (result!.events as JsonObject[]).filter(({ name }) => String(name).startsWith('listed/'));
        return types.length > 0 && { ...result, events: types };
      },
      { what: 'the event type' },
    );
    expect(listed).toMatchObject({
      resultType: 'complete',
      events: [
        {
          name: 'listed/a/b',
          description: expect.any(String),
          delivery: ['poll'],
          inputSchema: { type: 'object' },
          payloadSchema: { type: 'object' },
        },
      ],
    });
  });

  it('begins now without a cursor, and gives what came after one', async () => {
    const name = 'polled/push';
    await stored.store({ source: 'polled', id: 'before' });
    const first = await poll({ name, cursor: null });
    expect(first).toMatchObject({ events: [], truncated: false, hasMore: false, nextPollMs: 5_000 });
    await stored.store({ source: 'polled', id: '1', subject: 'main' });
    for (const id of ['2', '3']) await stored.store({ source: 'polled', id });
    await stored.store({ source: 'polled', id: '4', topic: 'other' });
    const second = await poll({ name, cursor: first.cursor, maxEvents: 2 });
    expect([dataIds(second), second.hasMore]).toEqual([['1', '2'], true]);
    expect(second.events[0]).toEqual({
      eventId: expect.stringMatching(/^e_/),
      name,
      timestamp: expect.stringMatching(/Z$/),
      data: expect.objectContaining({ specversion: '1.0', type: 'push', data: { n: 1 } }),
    });
    expect(dataIds(await poll({ name, cursor: second.cursor }))).toEqual(['3']);
    const filters = [{ exact: { subject: 'main' } }];
    expect(dataIds(await poll({ name, cursor: first.cursor, arguments: { filters } }))).toEqual(['1']);
  });

  it('says that it has skipped what is older than the client wants, or is not kept any more', async () => {
    const name = 'aged/push';
    const { cursor } = await poll({ name });
    await stored.store({ source: 'aged', id: 'old' });
    const young = await poll({ name, cursor, maxAgeMs: 60_000 });
    expect([dataIds(young), young.truncated]).toEqual([['old'], false]);
    const late = await poll({ name, cursor, maxAgeMs: 0 });
    expect([dataIds(late), late.truncated]).toEqual([[], true]);
    const other = await poll({ name, cursor: 'c1_0_1' });
    expect([dataIds(other), other.truncated]).toEqual([['old'], true]);
  });

  it.each([
    [{}, -32602, 'name is missing'],
    [{ name: 'push' }, -32023, 'no events of that name'],
    [{ name: 'github/*' }, -32023, 'no events of that name'],
    [{ name: 'github/push', cursor: 'nonsense' }, -32602, 'cursor is none'],
    [{ name: 'github/push', arguments: [] }, -32602, 'arguments must be an object'],
    [{ name: 'github/push', arguments: { from: 'x' } }, -32602, 'arguments may have filters'],
    [{ name: 'github/push', arguments: { filters: {} } }, -32602, 'filters must be a list'],
    [{ name: 'github/push', maxEvents: 0 }, -32602, 'maxEvents must be a whole number from 1 on'],
    [{ name: 'github/push', maxAgeMs: 'day' }, -32602, 'maxAgeMs must be a whole number'],
  ])('refuses %j', async (params, code, message) => {
    expect((await ask('events/poll', params)).error).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('has one page of event types', async () => {
    expect((await ask('events/list', { cursor: 'x' })).error).toMatchObject({ code: -32602 });
  });
});
