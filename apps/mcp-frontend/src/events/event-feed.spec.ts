import { parseFilters } from '@callboard/events';
import { STREAM, applyTopology, declareTopology, type EventSelection } from '@callboard/jetstream';
import { RedactedEvents, startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { EventFeed } from './event-feed.js';

const LONG_MS = 40_000;
const TENANT = 'default';

let nats: TestNats;
let anyone: NatsConnection;
let jsm: JetStreamManager;
let stored: RedactedEvents;
beforeAll(async () => {
  nats = await startTestNats({ auth: 'none' });
  anyone = await nats.connect('anyone');
  jsm = await jetstreamManager(anyone, { checkAPI: false });
  stored = new RedactedEvents(anyone);
});
afterAll(() => nats.dispose());

const feeds: EventFeed[] = [];
afterEach(() => feeds.splice(0).forEach((feed) => feed.stop()));

async function start(): Promise<EventFeed> {
  const feed = await EventFeed.start(await nats.connect('front'), () => undefined);
  feeds.push(feed);
  return feed;
}

/** The sequences that a watch is told. */
function watch(feed: EventFeed, selection: EventSelection = {}, tenantId = TENANT): number[] {
  const heard: number[] = [];
  feed.watch(tenantId, selection, (sequence) => heard.push(sequence));
  return heard;
}

const last = async () => (await jsm.streams.info(STREAM.events)).state.last_seq;
const hear = (heard: number[], sequence: number) => waitFor(() => heard.includes(sequence), { what: 'the event' });

describe('the feed of events', () => {
  it('tells each watch of the events of its tenant that it selects, and of no others', async () => {
    const feed = await start();
    const all = watch(feed);
    const narrow = watch(feed, { topics: ['issue'], filters: parseFilters([{ prefix: { key: 'acme/' } }]) });
    const foreign = watch(feed, {}, 'acme');
    await stored.store({ topic: 'push' });
    await stored.store({ topic: 'issue', key: 'other' });
    await stored.store({ topic: 'issue', key: 'acme/web' });
    const now = await last();
    await hear(all, now);
    expect(all).toEqual([now - 2, now - 1, now]);
    expect(narrow).toEqual([now]);
    expect(foreign).toEqual([]);
  });

  it('no longer tells a watch that was ended', async () => {
    const feed = await start();
    const ended: number[] = [];
    feed.watch(TENANT, {}, (sequence) => ended.push(sequence))();
    const other = watch(feed);
    await stored.store();
    await hear(other, await last());
    expect(ended).toEqual([]);
  });

  it('knows what there was before it started, and when it last came', async () => {
    await stored.store({ source: 'before', topic: 'a' });
    await stored.store({ source: 'before', topic: 'b' });
    const feed = await start();
    const seen = feed.topics.of(TENANT, new Date(0)).filter(({ source }) => source === 'before');
    expect(seen.map(({ topic }) => topic)).toEqual(['a', 'b']);
    const now = await last();
    expect(feed.position).toBe(now);
    expect(feed.mayHaveSince(now - 1, TENANT, 'before', 'b')).toBe(true);
    expect(feed.mayHaveSince(now - 1, TENANT, 'before', 'a')).toBe(false);
    expect(feed.mayHaveSince(now, TENANT)).toBe(false);
    expect(feed.mayHaveSince(now + 1, TENANT, 'before', 'a')).toBe(true);
  });

  it(
    'misses no event that was not told to it, in order',
    async () => {
      const feed = await start();
      const heard = watch(feed);
      const { config } = await jsm.streams.info(STREAM.events);
      const { republish, ...silent } = config;
      await jsm.streams.update(STREAM.events, silent);
      for (let i = 0; i < 5; i++) await stored.store();
      const missed = await last();
      await jsm.streams.update(STREAM.events, { ...silent, republish: republish! });
      await stored.store();
      await hear(heard, missed + 1);
      expect(heard).toEqual([4, 3, 2, 1, 0, -1].map((back) => missed - back));
    },
    LONG_MS,
  );

  it(
    'misses no event that is stored while nats-server is killed',
    async () => {
      const feed = await start();
      const heard = watch(feed);
      await Promise.all([nats.crash(), ...Array.from({ length: 20 }, (_, n) => stored.store({ key: `k${n}` }))]);
      await hear(heard, await last());
      expect(heard).toHaveLength(20);
    },
    LONG_MS,
  );

  it(
    'rings everybody when the stream was made anew, and goes on with that one',
    async () => {
      const feed = await start();
      const heard = watch(feed);
      await jsm.streams.delete(STREAM.events);
      await applyTopology(anyone, declareTopology({ maxBytes: 256 * 1024 ** 2 }));
      await waitFor(() => heard.length > 0, { what: 'a ring' });
      await stored.store();
      await hear(heard, 1);
      expect(feed.position).toBe(1);
    },
    LONG_MS,
  );
});
