import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore } from './key-value-store.js';
import { LEASE_TTL_MS, PartitionLeases, type Lease } from './partition-leases.js';
import { BUCKET } from './topology.js';

const PARTITIONS = 6;

/** A runner that does no work: it gives surplus back at once, and stops at once what it has lost. */
class Holder {
  readonly held = new Map<number, Lease>();
  readonly history: Lease[] = [];
  readonly lost: number[] = [];
  readonly errors: unknown[] = [];
  readonly loads = new Map<number, number>();
  leases!: PartitionLeases;
  /** How a lease is given back; the test may delay it. */
  giveBack = (partition: number): Promise<void> => this.leases.giveBack(partition, true);
  stopUse = (partition: number): void => this.leases.stopped(partition);
  nc!: NatsConnection;
  store!: KeyValueStore;

  static async start(nats: TestNats, instance: string): Promise<Holder> {
    const holder = new Holder();
    holder.nc = await nats.connect('action-runner');
    holder.store = await KeyValueStore.open(holder.nc, BUCKET.leases);
    holder.leases = new PartitionLeases(holder.store, instance, PARTITIONS, {
      acquired: (lease) => {
        holder.held.set(lease.partition, lease);
        holder.history.push(lease);
      },
      surplus: (partition) => {
        holder.held.delete(partition);
        void holder.giveBack(partition);
      },
      lost: (partition) => {
        holder.held.delete(partition);
        holder.lost.push(partition);
        holder.stopUse(partition);
      },
      error: (error) => holder.errors.push(error),
      load: (partition) => holder.loads.get(partition) ?? 0,
    });
    await holder.leases.start();
    return holder;
  }

  async leave(): Promise<void> {
    await this.leases.leave();
    await waitFor(() => this.leases.held.length === 0, { what: 'everything given back' });
    this.leases.stop();
  }

  /** As if the process had been killed: no more renewals, nothing given back. */
  async die(): Promise<void> {
    this.leases.stop();
    await this.nc.close();
  }
}

let nats: TestNats;
let holders: Holder[];

beforeEach(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  holders = [];
});
afterEach(async () => {
  for (const { leases } of holders) leases.stop();
  await nats.dispose();
});

async function start(instance: string): Promise<Holder> {
  const holder = await Holder.start(nats, instance);
  holders.push(holder);
  return holder;
}

function shares(...of: Holder[]): number[] {
  return of.map(({ held }) => held.size);
}

const settled = (of: Holder[], expected: number[], timeoutMs = 60_000) =>
  waitFor(
    () => {
      const all = of.flatMap(({ held }) => [...held.keys()]);
      expect(new Set(all).size).toBe(all.length);
      return all.length === PARTITIONS && shares(...of).every((share, i) => share === expected[i]);
    },
    { what: `shares of ${expected.join(', ')}, not ${shares(...of).join(', ')}`, timeoutMs },
  );

describe('partition leases', () => {
  it('are shared fairly as runners come and go, each partition held by one at a time, with a fence that grows', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    const b = await start('runner-b');
    await settled([a, b], [3, 3]);
    const c = await start('runner.c of host.example.com');
    await settled([a, b, c], [2, 2, 2]);
    await b.leave();
    await settled([a, c], [3, 3]);

    const all = [a, b, c].flatMap(({ history }) => history);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const fences = all.filter((lease) => lease.partition === partition).map(({ fence }) => fence);
      expect(new Set(fences).size).toBe(fences.length);
    }
    // Only the very first owner of a partition cannot know what was before.
    expect(all.filter(({ clean }) => !clean)).toEqual(a.history.slice(0, PARTITIONS));
    expect([a, b, c].flatMap(({ lost, errors }) => [...lost, ...errors])).toEqual([]);
  });

  it('that are idle are given back first', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    for (const busy of [0, 3, 4]) a.loads.set(busy, 1);
    const b = await start('runner-b');
    await settled([a, b], [3, 3]);
    expect([...a.held.keys()].sort()).toEqual([0, 3, 4]);
  });

  it('of a runner that dies are taken over when they have run out, and not before, and are not clean', async () => {
    const a = await start('runner-a');
    const b = await start('runner-b');
    await settled([a, b], [3, 3]);
    const before = b.history.length;
    const died = Date.now();
    await a.die();
    a.held.clear();
    await settled([b], [6]);
    expect(Date.now() - died).toBeGreaterThan(LEASE_TTL_MS - 1_100);
    expect(b.history.slice(before).map(({ clean }) => clean)).toEqual([false, false, false]);
  });

  it('are taken back at once by a runner that restarts under its name, and are not clean', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    const died = Date.now();
    await a.die();
    const again = await start('runner-a');
    expect(again.history).toHaveLength(0);
    await settled([again], [6]);
    // Sooner than any of them can have run out.
    expect(Date.now() - died).toBeLessThan(LEASE_TTL_MS - 1_100);
    expect(again.history.map(({ clean }) => clean)).toEqual(Array(6).fill(false));
    const fences = (of: Holder) => of.history.map(({ fence }) => fence);
    expect(Math.min(...fences(again))).toBeGreaterThan(Math.max(...fences(a)));
  });

  it('survive a crash of the server without being lost', async () => {
    const a = await start('runner-a');
    const b = await start('runner-b');
    await settled([a, b], [3, 3]);
    await nats.crash();
    const renewed = async () => (await a.store.entry(`partition.${[...a.held.keys()][0]}`))?.revision;
    const first = (await renewed())!;
    await waitFor(async () => (await renewed())! > first, { what: 'a renewal' });
    expect(shares(a, b)).toEqual([3, 3]);
    expect([...a.lost, ...b.lost]).toEqual([]);
  });

  it('are given back cleanly also when a renewal is under way', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    // The record moves on behind the back of the holder, as it does while the ack of a renewal is on its way.
    for (const partition of a.held.keys()) {
      const { value } = (await a.store.entry(`partition.${partition}`))!;
      await a.store.put(`partition.${partition}`, value, { ttlMs: LEASE_TTL_MS });
    }
    await Promise.all([...a.held.keys()].map((partition) => a.leases.giveBack(partition, true)));
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const record = JSON.parse(Buffer.from((await a.store.get(`partition.${partition}`))!).toString()) as object;
      expect(record).toMatchObject({ owner: 'runner-a' });
    }
    await waitFor(() => a.history.length === 12, { what: 'the partitions, which nobody else wants, taken again' });
    expect(a.history.slice(6).every(({ clean }) => clean)).toBe(true);
  });

  it('that somebody else has taken are lost at the next renewal', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    const thief = Buffer.from(JSON.stringify({ owner: 'thief', state: 'held', clean: false }));
    await a.store.put('partition.2', thief, { ttlMs: 60_000 });
    await waitFor(() => a.lost.includes(2), { what: 'the loss' });
    expect(a.held.has(2)).toBe(false);
  });

  it('that were lost are not taken again by the same process before its work on them has stopped', async () => {
    const a = await start('runner-a');
    await settled([a], [6]);
    a.stopUse = () => undefined;
    const gone = [...a.held.keys()][0]!;
    const other = { owner: 'other', state: 'held', clean: false };
    await a.store.put(`partition.${gone}`, Buffer.from(JSON.stringify(other)), { ttlMs: 60_000 });
    await waitFor(() => a.lost.includes(gone), { what: 'the loss' });
    await a.store.put(`partition.${gone}`, Buffer.from(JSON.stringify({ ...other, state: 'free', clean: true })));
    // Whatever else is free is taken meanwhile.
    await a.leases.giveBack([...a.held.keys()][0]!, true);
    await waitFor(() => a.history.length === 7, { what: 'the other one' });
    expect(a.history.at(-1)?.partition).not.toBe(gone);
    a.leases.stopped(gone);
    await waitFor(() => a.held.has(gone), { what: 'the lost one' });
  });

  it('under a record that nobody can read are free', async () => {
    const store = await KeyValueStore.open(await nats.connect('action-runner'), BUCKET.leases);
    await store.put('partition.0', Buffer.from('{'));
    await store.put('partition.x', Buffer.from('{}'));
    await store.put('partition.99', Buffer.from('{}'));
    const a = await start('runner-a');
    await settled([a], [6]);
  });
});
