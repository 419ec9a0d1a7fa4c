/** What the model of a failover is held against: runners that do nothing but hold their leases, on a real server, of which one dies. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BUCKET,
  KeyValueStore,
  PartitionLeases,
  applyTopology,
  connectNats,
  declareTopology,
} from '@callboard/jetstream';
import { startNatsServer } from '@callboard/nats-server';
import type { BenchContext } from '../bench.js';

const PARTITIONS = 16;
const RUNNERS = 3;
const POLL_MS = 20;
const LATE_MS = 30_000;

interface Holder {
  leases: PartitionLeases;
  die(): Promise<void>;
}

/** How long it took, each time, until the runners that were left had every partition. */
export async function measureTakeovers(
  context: Pick<BenchContext, 'directory' | 'natsServer'>,
  times: number,
): Promise<number[]> {
  const dataDir = await mkdtemp(join(context.directory, 'takeover-'));
  const topology = declareTopology({ partitions: PARTITIONS });
  const server = await startNatsServer({ binary: context.natsServer, dataDir, topology, auth: 'none' });
  const holders: Holder[] = [];
  let started = 0;
  const start = async () => {
    const instance = `runner-${++started}`;
    const nc = await connectNats({ servers: server.url, user: 'action-runner', name: instance });
    if (started === 1) await applyTopology(nc, topology);
    const store = await KeyValueStore.open(nc, BUCKET.leases);
    const leases: PartitionLeases = new PartitionLeases(store, instance, PARTITIONS, {
      acquired: () => undefined,
      surplus: (partition) => void leases.giveBack(partition, true),
      lost: (partition) => leases.stopped(partition),
      error: () => undefined,
      load: () => 0,
    });
    await leases.start();
    const die = async () => {
      leases.stop();
      await nc.close();
    };
    holders.push({ leases, die });
  };
  try {
    const took: number[] = [];
    for (let time = 0; time < times; time++) {
      while (holders.length < RUNNERS) await start();
      await allHeld(holders);
      // Deaths at other moments of the interval between two renewals.
      await delay((time * 1_000) / times);
      const dying = holders.shift()!;
      const diedAt = performance.now();
      await dying.die();
      await allHeld(holders);
      took.push(performance.now() - diedAt);
    }
    return took;
  } finally {
    for (const { die } of holders) await die();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** @throws Error when partitions stay without an owner, or have two. */
async function allHeld(holders: readonly Holder[]): Promise<void> {
  const late = performance.now() + LATE_MS;
  for (;;) {
    const held = holders.flatMap(({ leases }) => leases.held);
    if (new Set(held).size !== held.length) throw new Error('a partition has two owners');
    if (held.length === PARTITIONS && holders.every(({ leases }) => leases.held.length > 0)) return;
    if (performance.now() > late) throw new Error(`${PARTITIONS - held.length} partitions have no owner`);
    await delay(POLL_MS);
  }
}
