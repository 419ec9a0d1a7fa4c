/** What becomes of the owners of partitions when a tenant's commands, and then its outcomes, are taken out of the streams beside those of others. */
import { startTestNats, testCommand as command, waitFor, type TestNats } from '@callboard/testing';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { KeyValueStore } from './key-value-store.js';
import { floorKey } from './partition-floor.js';
import { isQuiet, partitionStates } from './partition-states.js';
import { Recorder, briefly, byKey, store, type Run } from './spec/commands.js';
import { tenantPlaces } from './tenant-places.js';
import { BUCKET, STREAM } from './topology.js';

let nats: TestNats;
let frontend: NatsConnection;
let runs: Run[];
let recorders: Recorder[];

beforeEach(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  frontend = await nats.connect('mcp-frontend');
  runs = [];
  recorders = [];
});
afterEach(async () => {
  await Promise.all(recorders.map(({ consumer }) => consumer.drain(0)));
  await nats.dispose();
});

async function start(instance: string, from: TestNats = nats): Promise<Recorder> {
  const recorder = await Recorder.start(from, instance, runs, briefly);
  recorders.push(recorder);
  return recorder;
}

const handed = (count: number) =>
  waitFor(() => runs.length >= count, { what: `${count} commands handed over, not ${runs.length}` });

/** `count` commands of a tenant, of ten keys. */
const some = (tenant: string, count: number, from = 0) =>
  Array.from({ length: count }, (_, i) =>
    command(`${tenant}${i % 10}`, { n: from + Math.floor(i / 10) }, { tenant_id: tenant }),
  );

/** In the order in which a tenant is erased. */
async function erase(tenant: string): Promise<number> {
  const jsm = await jetstreamManager(await nats.connect('eraser'), { checkAPI: false });
  let purged = 0;
  for (const { kind, stream, subjects } of tenantPlaces(tenant)) {
    if (kind !== 'subjects' || (stream !== STREAM.commands && stream !== STREAM.outcomes)) continue;
    for (const filter of subjects) purged += (await jsm.streams.purge(stream, { filter })).purged;
  }
  return purged;
}

it('those of others run once and in order, over a change of owners, and every floor comes to its end', async () => {
  const a = await start('a');
  await store(frontend, [...some('gone', 200), ...some('stays', 200)]);
  await handed(400);
  // Its last outcomes may be on their way.
  await a.consumer.drain(5_000);
  runs.length = 0;

  const b = await start('b');
  const coming = store(frontend, some('stays', 400, 20));
  expect(await erase('gone')).toBe(400);
  await coming;
  await start('c');
  await store(frontend, some('stays', 400, 60));
  await handed(800);
  const sre = await nats.connect('sre');
  await waitFor(async () => (await partitionStates(sre)).every(isQuiet), { what: 'every floor at its end' });
  const numbers = Array.from({ length: 80 }, (_, n) => 20 + n);
  expect(byKey(runs)).toEqual(Object.fromEntries(Array.from({ length: 10 }, (_, k) => [`stays${k}`, numbers])));
  expect([b.stuck, b.errors]).toEqual([[], []]);
});

it('one that was on its way to a new owner when it went, and its outcome with it, does not begin again', async () => {
  const a = await start('a');
  await store(frontend, [...some('gone', 20), ...some('stays', 20)]);
  await handed(40);
  await a.consumer.drain(5_000);
  // As if no floor had been kept: everything comes by again.
  const leases = await KeyValueStore.open(await nats.connect('action-runner'), BUCKET.leases);
  for (const partition of [0, 1]) await leases.delete(floorKey(partition));
  runs.length = 0;

  let erased: Promise<number> | undefined;
  const connect = async (user: string) => {
    const nc = await nats.connect(user);
    const lookUp = nc.requestMany.bind(nc);
    // What was received is looked up only when it is gone.
    nc.requestMany = async (...asked: Parameters<typeof lookUp>) => {
      await (erased ??= erase('gone'));
      return lookUp(...asked);
    };
    return nc;
  };
  await start('b', { ...nats, connect });
  await store(frontend, some('stays', 10, 2));
  await handed(10);
  expect(await erased).toBe(40);
  const sre = await nats.connect('sre');
  await waitFor(async () => (await partitionStates(sre)).every(isQuiet), { what: 'every floor at its end' });
  expect(byKey(runs)).toEqual(Object.fromEntries(Array.from({ length: 10 }, (_, k) => [`stays${k}`, [2]])));
});
