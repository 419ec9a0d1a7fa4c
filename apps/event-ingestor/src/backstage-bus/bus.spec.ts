import { GAP_TYPE } from '@callboard/events';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import {
  BACKSTAGE,
  describeWith,
  readRawEvents,
  startBackstage,
  startTestNats,
  waitFor,
  type TestBackstage,
  type TestNats,
} from '@callboard/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { SpecIngestors, type SpecIngestor } from '../spec-ingestor.js';
import type { BusState } from './bus-record.js';
import { startBusProxy, type BusProxy } from './spec-bus-proxy.js';

const WAIT = { timeoutMs: 60_000 };

describeWith([BACKSTAGE], 'the events bus of a real Backstage', () => {
  let nats: TestNats;
  let backstage: TestBackstage;
  let proxy: BusProxy;
  let filter: NatsConnection;
  let bucket: KeyValueStore;
  let opened: SpecIngestors[];
  /** A subscription, and a source, for each test. */
  let test = 0;

  beforeAll(async () => {
    backstage = await startBackstage();
  });
  afterAll(() => backstage?.dispose());
  beforeEach(async () => {
    test += 1;
    nats = await startTestNats();
    filter = await nats.connect('pii-filter');
    bucket = await KeyValueStore.open(await nats.connect('event-ingestor'), BUCKET.ingest);
    proxy = await startBusProxy(backstage.url);
    opened = [];
  });
  afterEach(async () => {
    await Promise.all(opened.map((ingestors) => ingestors.dispose()));
    await proxy.close();
    await nats.dispose();
  });

  async function ingestor(instance = 'event-ingestor-1', topics = ['scenery', 'deployments']): Promise<SpecIngestor> {
    const source = {
      type: 'backstage_bus',
      name: 'bus',
      base_url: proxy.eventsUrl,
      token: { env: 'SPEC_TOKEN' },
      topics,
      subscription_id: `spec-${test}`,
    };
    const ingestors = await SpecIngestors.open(nats, JSON.stringify({ sources: [source] }));
    opened.push(ingestors);
    return ingestors.start({ CALLBOARD_INSTANCE: instance, SPEC_TOKEN: backstage.tokens.events });
  }

  const record = async () => {
    const value = await bucket.get('bus.bus');
    return value && (JSON.parse(Buffer.from(value).toString()) as BusState);
  };
  const isWaiting = () =>
    waitFor(async () => (await record())?.state === 'idle', { what: 'a waiting reader', ...WAIT });
  const publish = async (...numbers: number[]) => {
    for (const n of numbers)
      expect(await backstage.publish('scenery', { n, entityRef: 'component:default/set' })).toBe(201);
  };
  const stored = async () => {
    const events = await readRawEvents(filter);
    const numbers = events.filter(({ topic }) => topic !== GAP_TYPE).map(({ data }) => (json(data) as { n: number }).n);
    const gaps = events.filter(({ topic }) => topic === GAP_TYPE).map(({ data }) => json(data) as Gap);
    return { numbers, gaps, events };
  };
  interface Gap {
    reason: string;
    since: string;
    until: string;
    at_most?: number;
    topics: string[];
  }
  const holds = (...numbers: number[]) =>
    waitFor(
      async () => {
        const all = await stored();
        return numbers.every((n) => all.numbers.includes(n)) && all;
      },
      { what: `the events ${numbers.join()}`, ...WAIT },
    );
  const toldGap = () =>
    waitFor(
      async () => {
        const all = await stored();
        return all.gaps.length > 0 && all;
      },
      { what: 'a gap', ...WAIT },
    );

  it('is taken in: topic, source, ordering key and order', async () => {
    await ingestor();
    await isWaiting();
    expect(await backstage.post('deployments', { n: 1, repository: { full_name: 'theatre/set' } })).toBe(202);
    await publish(2, 3, 4);
    const { events, numbers, gaps } = await holds(1, 2, 3, 4);
    expect([numbers, gaps]).toEqual([[1, 2, 3, 4], []]);
    expect(events[0]).toMatchObject({
      source: 'bus',
      topic: 'deployments',
      key: 'theatre/set',
      attributes: { type: 'deployments', source: `${proxy.eventsUrl}/deployments` },
    });
    expect(events[1]).toMatchObject({ topic: 'scenery', key: 'component:default/set' });
  });

  it('is gone on with after an orderly stop, and after a kill while nothing is there, without a gap', async () => {
    const first = await ingestor();
    await isWaiting();
    await publish(1);
    await holds(1);
    expect(await first.end('SIGTERM')).toBe(0);
    await publish(2, 3);
    const second = await ingestor();
    await holds(2, 3);
    await isWaiting();
    await second.end('SIGKILL');
    await publish(4);
    await ingestor();
    const { numbers, gaps } = await holds(4);
    expect([numbers, gaps]).toEqual([[1, 2, 3, 4], []]);
  });

  it('is gone on with by another replica when the one that reads is killed', async () => {
    const [first] = [await ingestor('event-ingestor-1'), await ingestor('event-ingestor-2')];
    await isWaiting();
    await publish(1);
    await holds(1);
    await isWaiting();
    await first!.end('SIGKILL');
    await publish(2, 3);
    const { numbers, gaps } = await holds(2, 3);
    expect([numbers, gaps]).toEqual([[1, 2, 3], []]);
  });

  it('leaves a gap that is told when the process that reads is killed before it has stored', async () => {
    const first = await ingestor();
    await isWaiting();
    proxy.handling = 'hold';
    await publish(1, 2, 3);
    await waitFor(() => proxy.kept > 0, { what: 'a held answer', ...WAIT });
    const killedAt = Date.now();
    await first.end('SIGKILL');
    proxy.handling = 'pass';
    await ingestor();
    await toldGap();
    await publish(4);
    const { numbers, gaps } = await holds(4);
    expect(numbers).not.toContain(1);
    expect(gaps).toEqual([
      {
        reason: 'interrupted',
        since: expect.any(String),
        until: expect.any(String),
        at_most: 10,
        topics: ['scenery', 'deployments'],
      },
    ]);
    expect(Date.parse(gaps[0]!.since)).toBeLessThanOrEqual(killedAt);
    expect(Date.parse(gaps[0]!.until)).toBeGreaterThanOrEqual(killedAt);
  });

  it.each(['break', 'garble'] as const)(
    'leaves a gap that is told when an answer does not arrive whole (%s)',
    async (how) => {
      await ingestor();
      await isWaiting();
      proxy.handling = how;
      await publish(1);
      await waitFor(() => proxy.kept > 0, { what: 'a spoilt answer', ...WAIT });
      proxy.handling = 'pass';
      await toldGap();
      await publish(2);
      const { numbers, gaps } = await holds(2);
      expect(numbers).toEqual([2]);
      expect(gaps).toMatchObject([{ reason: 'answer_lost', at_most: 10 * proxy.kept }]);
    },
  );

  it('leaves a gap that is told when Backstage has forgotten the subscription', async () => {
    await ingestor();
    await isWaiting();
    await publish(1);
    await holds(1);
    await backstage.kill();
    await backstage.start();
    await toldGap();
    await publish(2);
    const { numbers, gaps } = await holds(2);
    expect(numbers).toEqual([1, 2]);
    expect(gaps).toMatchObject([{ reason: 'subscription_lost' }]);
    expect(gaps[0]!.at_most).toBeUndefined();
  });

  it('leaves a gap that begins before what was not read yet, however long the reader lags behind', async () => {
    await ingestor();
    await isWaiting();
    proxy.handling = 'hold';
    const publishedAt = Date.now();
    await publish(...Array.from({ length: 30 }, (_, i) => i + 1));
    await waitFor(() => proxy.kept > 0, { what: 'a held answer', ...WAIT });
    await backstage.kill();
    proxy.handling = 'pass';
    proxy.release();
    await holds(1);
    await backstage.start();
    const { numbers, gaps } = await toldGap();
    // What the held answer had, however many events that were; nothing of what came after it.
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(numbers.length).toBeLessThan(30);
    expect(gaps).toMatchObject([{ reason: 'subscription_lost' }]);
    expect(Date.parse(gaps[0]!.since)).toBeLessThanOrEqual(publishedAt);
  });

  it('leaves no gap when it only cannot be reached for a while', async () => {
    await ingestor();
    await isWaiting();
    const { port } = new URL(proxy.eventsUrl);
    await proxy.close();
    await publish(1, 2);
    proxy = await startBusProxy(backstage.url, Number(port));
    const { numbers, gaps } = await holds(1, 2);
    expect([numbers, gaps]).toEqual([[1, 2], []]);
  });

  it('loses nothing while nats-server is killed, or away for longer than a lease lasts', async () => {
    await ingestor();
    await isWaiting();
    let n = 0;
    const act = async (work: () => Promise<void> | void) => {
      const before = n;
      while (n < before + 25) await publish(++n);
      await work();
      while (n < before + 50) await publish(++n);
    };
    await act(() => nats.crash());
    await act(() => nats.crash());
    await act(async () => {
      nats.freeze();
      await new Promise((resolve) => setTimeout(resolve, 7_000));
      nats.thaw();
    });
    const { numbers, gaps } = await holds(...Array.from({ length: n }, (_, i) => i + 1));
    expect(numbers).toEqual(Array.from({ length: n }, (_, i) => i + 1));
    expect(gaps).toEqual([]);
  });

  it('is asked for no more before what it gave is stored', async () => {
    await ingestor();
    await isWaiting();
    proxy.handling = 'hold';
    await publish(1);
    await waitFor(() => proxy.kept > 0, { what: 'a held answer', ...WAIT });
    nats.freeze();
    proxy.handling = 'pass';
    const { reads } = proxy;
    proxy.release();
    await publish(2);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(proxy.reads).toBe(reads);
    nats.thaw();
    expect((await holds(1, 2)).numbers).toEqual([1, 2]);
  });

  it('gives the events of a topic that is added, and none of one that is taken away, without a gap', async () => {
    const first = await ingestor('event-ingestor-1', ['scenery']);
    await isWaiting();
    await first.end('SIGTERM');
    await ingestor('event-ingestor-1', ['deployments']);
    await waitFor(async () => (await record())?.topics[0] === 'deployments', { what: 'the new topics', ...WAIT });
    expect(await backstage.publish('deployments', { n: 1 })).toBe(201);
    await backstage.publish('scenery', { n: 2 });
    expect(await backstage.publish('deployments', { n: 3 })).toBe(201);
    const { numbers, gaps } = await holds(1, 3);
    expect([numbers, gaps]).toEqual([[1, 3], []]);
  });

  it('is left alone by a replica that was frozen while another took over', async () => {
    const [first] = [await ingestor('event-ingestor-1'), await ingestor('event-ingestor-2')];
    await isWaiting();
    first!.process.kill('SIGSTOP');
    await waitFor(async () => owner(await bucket.get('partition.0')) === 'event-ingestor-2', {
      what: 'the other',
      ...WAIT,
    });
    await isWaiting();
    await publish(1);
    first!.process.kill('SIGCONT');
    await publish(2, 3);
    const { numbers, gaps } = await holds(1, 2, 3);
    expect([numbers, gaps]).toEqual([[1, 2, 3], []]);
  });
});

const json = (data: Uint8Array): unknown => JSON.parse(Buffer.from(data).toString());
const owner = (lease: Uint8Array | undefined) => lease && (json(lease) as { owner: string }).owner;
