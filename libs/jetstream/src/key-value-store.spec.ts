import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore } from './key-value-store.js';
import { BUCKET } from './topology.js';

const bytes = (text: string) => Buffer.from(text);

let nats: TestNats;
let nc: NatsConnection;
let store: KeyValueStore;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 }, auth: 'none' });
  nc = await nats.connect('action-runner');
  store = await KeyValueStore.open(nc, BUCKET.leases);
});
afterAll(() => nats.dispose());

async function follow(filter: string) {
  const seen: string[] = [];
  const watch = await store.watch(filter, (key, value) => {
    seen.push(`${key}=${value ? Buffer.from(value).toString() : '-'}`);
  });
  return { seen, watch };
}

describe('a key-value bucket', () => {
  it('gives back what was put, and nothing for a key that was deleted or never was', async () => {
    const revision = await store.put('plain.a', bytes('1'));
    expect(await store.entry('plain.a')).toMatchObject({ revision });
    expect(Buffer.from((await store.get('plain.a'))!).toString()).toBe('1');
    await store.delete('plain.a');
    expect(await store.get('plain.a')).toBeUndefined();
    expect(await store.get('plain.b')).toBeUndefined();
  });

  it('lets exactly one of many create a key, also after it was deleted', async () => {
    const race = () =>
      Promise.all(Array.from({ length: 10 }, (_, i) => store.create('cas.a', bytes(String(i)), { ttlMs: 60_000 })));
    expect((await race()).filter((revision) => revision !== undefined)).toHaveLength(1);
    expect(await store.create('cas.a', bytes('late'))).toBeUndefined();
    await store.delete('cas.a');
    expect((await race()).filter((revision) => revision !== undefined)).toHaveLength(1);
  });

  it('updates only the revision that the caller knows', async () => {
    const first = (await store.create('cas.b', bytes('1')))!;
    const second = (await store.update('cas.b', bytes('2'), first))!;
    expect(second).toBeGreaterThan(first);
    expect(await store.update('cas.b', bytes('3'), first)).toBeUndefined();
    expect(Buffer.from((await store.get('cas.b'))!).toString()).toBe('2');
    await store.delete('cas.b');
    expect(await store.update('cas.b', bytes('3'), second)).toBeUndefined();
  });

  it('tells who watches of every key that is there, and then of every change', async () => {
    await store.put('watch.a', bytes('1'));
    await store.put('watch.gone', bytes('1'));
    await store.delete('watch.gone');
    await store.put('other', bytes('1'));
    const { seen, watch } = await follow('watch.*');
    expect(seen).toContain('watch.a=1');
    expect(seen).not.toContain('watch.gone=1');
    seen.length = 0;
    // One after the other: of two changes that come before a look, a watch that begins anew shows the last.
    const changes = [
      { change: () => store.put('watch.a', bytes('2')), shows: 'watch.a=2' },
      { change: () => store.delete('watch.a'), shows: 'watch.a=-' },
      { change: () => store.put('watch.b', bytes('3')), shows: 'watch.b=3' },
    ];
    for (const { change, shows } of changes) {
      await change();
      await waitFor(() => seen.at(-1) === shows, { what: shows });
    }
    expect(seen).toEqual(changes.map(({ shows }) => shows));
    watch.stop();
  });

  it('starts a watch on nothing at once', async () => {
    const { seen, watch } = await follow('nothing.*');
    await store.put('nothing.yet', bytes('1'));
    await waitFor(() => seen.length === 1, { what: 'the first key' });
    watch.stop();
  });

  it('lets a key expire that is not put again in time, and tells who watches', async () => {
    const { seen, watch } = await follow('ttl.*');
    await store.put('ttl.short', bytes('1'), { ttlMs: 1_000 });
    await store.put('ttl.kept', bytes('1'), { ttlMs: 1_000 });
    await store.put('ttl.kept', bytes('2'), { ttlMs: 60_000 });
    await waitFor(() => seen.includes('ttl.short=-'), { what: 'the expiry' });
    expect(seen).not.toContain('ttl.kept=-');
    expect(await store.get('ttl.short')).toBeUndefined();
    expect(await store.create('ttl.short', bytes('2'))).toBeDefined();
    watch.stop();
  });

  it('tells who watches of a key that is gone without a trace after it was out of touch for long', async () => {
    await store.put('trace.a', bytes('1'));
    await store.put('trace.b', bytes('1'));
    const { seen, watch } = await follow('trace.*');
    const jsm = await jetstreamManager(nc);
    await jsm.streams.purge(`KV_${BUCKET.leases}`, { filter: `$KV.${BUCKET.leases}.trace.a` });
    await nc.reconnect();
    await waitFor(() => seen.includes('trace.a=-'), { what: 'the news' });
    expect(seen).toEqual(['trace.a=1', 'trace.b=1', 'trace.a=-']);
    watch.stop();
  });

  it('keeps its word over a crash of the server, and who watches misses no change', async () => {
    const revision = (await store.create('crash.a', bytes('1'), { ttlMs: 60_000 }))!;
    await store.put('crash.expires', bytes('1'), { ttlMs: 1_000 });
    const { seen, watch } = await follow('crash.*');
    await nats.crash();
    expect(await store.update('crash.a', bytes('2'), revision)).toBeDefined();
    await store.put('crash.b', bytes('3'));
    await waitFor(() => ['crash.a=2', 'crash.b=3', 'crash.expires=-'].every((change) => seen.includes(change)), {
      what: 'the changes of after the crash',
    });
    expect(seen.filter((change) => change === 'crash.b=3')).toHaveLength(1);
    watch.stop();
  });

  describe('of which a replica is behind', () => {
    /** A replica that lacks what was stored last, to whoever asks the leader: its last is that of another key. */
    let isBehind = false;
    const asked = new Proxy(Object.create(null) as NatsConnection, {
      get: (_, name) => {
        const value: unknown = Reflect.get(nc, name);
        if (name === 'request') {
          return (subject: string, payload: Uint8Array, options: { timeout: number }) => {
            const isAsked = isBehind && subject.includes('STREAM.MSG.GET');
            const query = isAsked ? Buffer.from(payload).toString().replace('behind.*', '>') : payload;
            return nc.request(subject, query, options);
          };
        }
        return typeof value === 'function' ? (value.bind(nc) as unknown) : value;
      },
    });

    it('takes nothing for all, for gone or for current before it has what the leader has', async () => {
      await store.put('behind.a', bytes('1'));
      await store.put('behind.b', bytes('1'));
      await store.put('lacking', bytes('1'));
      isBehind = true;
      const seen: string[] = [];
      const told = (start: string) => seen.filter((change) => change.startsWith(start));
      const opening = KeyValueStore.open(asked, BUCKET.leases).then((other) =>
        other.watch('behind.*', (key, value) => seen.push(`${key}=${value ? Buffer.from(value).toString() : '-'}`)),
      );
      let opened = false;
      void opening.then(() => (opened = true));
      await waitFor(() => seen.length === 2, { what: 'what the replica has' });
      // Longer than it takes to ask again.
      await delay(1_500);
      expect(opened).toBe(false);
      await store.put('behind.c', bytes('1'));
      const watch = await opening;
      expect(seen).toEqual(['behind.a=1', 'behind.b=1', 'behind.c=1']);

      await watch.current();
      await store.put('lacking', bytes('2'));
      let isCurrent = false;
      const current = watch.current().then(() => (isCurrent = true));
      await delay(1_500);
      expect(isCurrent).toBe(false);
      await store.put('behind.c', bytes('2'));
      await current;
      expect(told('behind.c')).toEqual(['behind.c=1', 'behind.c=2']);

      // A node that has come back without it.
      const jsm = await jetstreamManager(nc);
      await jsm.streams.purge(`KV_${BUCKET.leases}`, { filter: `$KV.${BUCKET.leases}.behind.a` });
      await store.put('lacking', bytes('3'));
      await nc.reconnect();
      await delay(2_000);
      expect(told('behind.a')).toEqual(['behind.a=1']);
      isBehind = false;
      await waitFor(() => seen.includes('behind.a=-'), { what: 'the news once the leader says so' });
      watch.stop();
    });
  });
});
