import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestNats, testCommand as command, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Recorder, backlog, briefly, byKey, endless, inOrder, store, type Run } from './spec/commands.js';
import { abortSubject, type CommandEnvelope } from '@callboard/envelope';
import { AckedPublisher } from './acked-publisher.js';
import { applyTopology } from './apply.js';
import { onEnded } from './delivery.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { WINDOW_COMMANDS } from './owned-partition.js';
import { isQuiet, partitionStates } from './partition-states.js';
import { OWNER_GROUP, STREAM, partitionConsumerName } from './topology.js';

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
  nats.thaw();
  await Promise.all(recorders.map(({ consumer }) => consumer.drain(0)));
  await nats.dispose();
});

async function start(
  instance: string,
  act?: Parameters<typeof Recorder.start>[3],
  options?: Parameters<typeof Recorder.start>[4],
): Promise<Recorder> {
  const recorder = await Recorder.start(nats, instance, runs, act, options);
  recorders.push(recorder);
  return recorder;
}

const handed = (count: number, timeoutMs = 60_000) =>
  waitFor(() => runs.length >= count, { what: `${count} commands handed over, not ${runs.length}`, timeoutMs });

async function pinOf(jsm: JetStreamManager, consumer: string): Promise<string> {
  const info = await jsm.consumers.info(STREAM.commands, consumer);
  return (info as unknown as { priority_groups: { pinned_client_id: string }[] }).priority_groups[0]!.pinned_client_id;
}

describe('the ordered keyed consumer', () => {
  it('runs every command once and each key in order, while owners come and go in order', async () => {
    await store(frontend, backlog(30, 10));
    const a = await start('a', briefly);
    await handed(40);
    await start('b', briefly);
    await waitFor(() => runs.some(({ by }) => by === 'b'), { what: 'a share for the second runner' });
    await store(
      frontend,
      backlog(30, 10).map((envelope) => ({ ...envelope, args: { n: 10 + Number(envelope.args['n']) } })),
    );
    await a.consumer.drain(5_000);
    await handed(600);
    expect(byKey(runs)).toEqual(inOrder(30, 20));
    expect(runs.filter(({ mayHaveBegun }) => mayHaveBegun)).toEqual([]);
    expect(recorders.flatMap(({ stuck, errors }) => [...stuck, ...errors])).toEqual([]);
  });

  it('does not run again what has ended when its owner died before it could say so', async () => {
    await store(
      frontend,
      [0, 1, 2].map((n) => command('key', { n })),
    );
    const a = await start('a', async (delivery, { args }) => (args['n'] === 1 ? endless(delivery) : undefined));
    await handed(2);
    // The first has its outcome; nobody has heard so but the stream.
    await a.die();
    await start('a');
    await handed(4);
    expect(runs.map(({ n, mayHaveBegun }) => [n, mayHaveBegun])).toEqual([
      [0, false],
      [1, false],
      [1, true],
      [2, false],
    ]);
  });

  describe('after an owner that did not finish', () => {
    const some = () => [command('x', { n: 0 }), command('y', { n: 0 }), command('x', { n: 1 }), command('y', { n: 1 })];
    const flags = () => runs.map(({ key, n, mayHaveBegun }) => `${key}${String(n)}${mayHaveBegun ? '?' : ''}`).sort();

    it('hands the first unfinished command of each key over as one that may have begun, and no other', async () => {
      await store(frontend, some());
      const a = await start('a', endless);
      await handed(2);
      await a.die();
      runs.length = 0;
      await start('a');
      await store(frontend, [command('z', { n: 0 })]);
      await handed(5);
      expect(flags()).toEqual(['x0?', 'x1', 'y0?', 'y1', 'z0']);
    });

    it('remembers so when the next owner dies before it has begun anything', async () => {
      await store(frontend, some());
      const a = await start('a', endless);
      await handed(2);
      await a.die();
      const b = await start('a', endless, { concurrencyPerPartition: 0 });
      await waitFor(() => b.consumer.buffered === 4, { what: 'the commands read' });
      await b.die();
      runs.length = 0;
      await start('a');
      await handed(4);
      expect(flags()).toEqual(['x0?', 'x1', 'y0?', 'y1']);
    });

    it('remembers so when the server crashes as well', async () => {
      await store(frontend, some());
      const a = await start('a', endless);
      await handed(2);
      await a.die();
      await nats.crash();
      runs.length = 0;
      await start('a');
      await handed(4);
      expect(flags()).toEqual(['x0?', 'x1', 'y0?', 'y1']);
    });

    it('has forgotten it when an owner in between has finished everything', async () => {
      await store(frontend, some());
      const a = await start('a', endless);
      await handed(2);
      await a.die();
      runs.length = 0;
      const b = await start('a');
      await handed(4);
      await b.consumer.drain(5_000);
      await store(frontend, some());
      runs.length = 0;
      await start('c');
      await handed(4);
      expect(flags()).toEqual(['x0', 'x1', 'y0', 'y1']);
    });
  });

  it('reads no more ahead than it may, and loses nothing by pausing', async () => {
    await store(frontend, backlog(20, 15, 'x'.repeat(20_000)));
    const a = await start('a', briefly, { windowBytesPerPartition: 400_000 });
    let most = 0;
    await waitFor(
      () => {
        most = Math.max(most, a.consumer.buffered);
        return runs.length >= 300;
      },
      { what: 'all commands' },
    );
    expect(byKey(runs)).toEqual(inOrder(20, 15));
    // Two partitions, each with its limit and one command that crosses it.
    expect(most).toBeLessThanOrEqual(2 * (400_000 / 20_000 + 1));
  });

  it('holds a key back whose command was left, goes on with the others, and leaves the rest to the next owner', async () => {
    await store(frontend, backlog(4, 3));
    const a = await start('a', ({ key }) => Promise.resolve(key.endsWith('k1') ? 'left' : undefined));
    await handed(10);
    await a.consumer.drain(5_000);
    expect(byKey(runs)).toEqual({ ...inOrder(4, 3), k1: [0] });
    runs.length = 0;
    await start('b');
    await handed(3);
    expect(runs.map(({ n, mayHaveBegun }) => [n, mayHaveBegun])).toEqual([
      [0, true],
      [1, false],
      [2, false],
    ]);
  });

  it('aborts what runs when draining takes too long', async () => {
    await store(frontend, [command('key', { n: 0 }), command('key', { n: 1 })]);
    const a = await start('a', endless);
    await handed(1);
    await a.consumer.drain(50);
    expect(runs).toHaveLength(1);
    await start('b');
    await handed(3);
    expect(runs.slice(1).map(({ n, mayHaveBegun }) => [n, mayHaveBegun])).toEqual([
      [0, true],
      [1, false],
    ]);
  });

  it('runs every command once and in order over crashes of the server and cuts of its connection', async () => {
    const a = await start('a', briefly);
    const half = backlog(25, 10);
    const later = half.map((envelope) => ({
      ...command(envelope.ordering_key, { n: 10 + Number(envelope.args['n']) }),
    }));
    const stored = store(frontend, half);
    await handed(30);
    await nats.crash();
    await stored;
    const storedLater = store(frontend, later);
    await handed(200);
    await a.nc.reconnect();
    await storedLater;
    await handed(400);
    await a.nc.reconnect();
    await handed(500);
    expect(byKey(runs)).toEqual(inOrder(25, 20));
    expect(runs.filter(({ mayHaveBegun }) => mayHaveBegun)).toEqual([]);
    expect(a.stuck).toEqual([]);
  });

  it.each(['under the pin of the owner', 'in place of the owner'])(
    'notices when somebody else is given its deliveries %s, and keeps the order',
    async (how) => {
      await start('a', briefly);
      const sre = await nats.connect('sre');
      const jsm = await jetstreamManager(sre);
      const name = partitionConsumerName(0);
      const keys = Array.from({ length: 8 }, (_, k) => `k${k}`);
      const append = (n: number) =>
        store(
          frontend,
          keys.map((key) => command(key, { n })),
        );
      await append(0);
      await handed(8);

      const pull: { batch: number; expires: number; group: string; id?: string } = {
        batch: 2,
        expires: 5_000_000_000,
        group: OWNER_GROUP,
      };
      if (how === 'in place of the owner') await jsm.consumers.unpin(STREAM.commands, name, OWNER_GROUP);
      else pull.id = await pinOf(jsm, name);
      let stolen = 0;
      sre.subscribe('_INBOX_sre.thief', {
        callback: (_error, message) => {
          if (message.data.length > 0) stolen += 1;
        },
      });
      sre.publish(`$JS.API.CONSUMER.MSG.NEXT.${STREAM.commands}.${name}`, JSON.stringify(pull), {
        reply: '_INBOX_sre.thief',
      });
      await sre.flush();
      for (const n of [1, 2, 3]) await append(n);
      await handed(32);
      expect(stolen).toBeGreaterThan(0);
      expect(byKey(runs)).toEqual(inOrder(8, 4));
    },
  );

  it('does not start with another number of partitions than the stream has', async () => {
    await expect(start('a', undefined, { partitions: 3 })).rejects.toThrow(
      'COMMANDS has 2 partitions, this process is set to 3: set CALLBOARD_PARTITIONS to 2',
    );
  });

  it('begins anew with a stream that was made anew', async () => {
    const open = await startTestNats({ topology: { partitions: 2 }, auth: 'none' });
    try {
      const nc = await open.connect('anyone');
      await store(nc, backlog(4, 5));
      const a = await Recorder.start(open, 'a', runs);
      await handed(20);
      await a.consumer.drain(5_000);
      await (await jetstreamManager(nc)).streams.delete(STREAM.commands);
      await applyTopology(nc, open.topology);
      await store(nc, backlog(4, 2));
      runs.length = 0;
      const b = await Recorder.start(open, 'b', runs);
      await handed(8);
      expect(byKey(runs)).toEqual(inOrder(4, 2));
      await b.consumer.drain(5_000);
    } finally {
      await open.dispose();
    }
  });

  it('begins nothing under a lease that has run out, also before any timer could say so', async () => {
    await store(frontend, [command('blocking', { n: 0 }), ...backlog(6, 1)]);
    let blocked = false;
    await start('a', (_delivery, { ordering_key: key }) => {
      // An action that lets no other code of its process run, and the others are next in line.
      if (key === 'blocking' && !blocked) {
        blocked = true;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4_000);
      }
      return Promise.resolve();
    });
    await handed(7);
    const blocking = runs.find(({ key }) => key === 'blocking')!;
    const samePartition = runs.filter(({ by, fence }) => by === 'a' && fence === blocking.fence);
    expect(samePartition).toEqual([blocking]);
  });

  it('does not repeat what only waits for its outcome to be stored while the server hangs and the leases run out', async () => {
    const a = await start('a', (_delivery, { args }) => {
      if (args['n'] === 0) nats.freeze();
      return Promise.resolve();
    });
    const stored = store(frontend, [command('key', { n: 0 })]);
    await handed(1);
    await waitFor(() => a.consumer.partitions.length === 0, { what: 'the leases lost' });
    nats.thaw();
    await stored;
    await waitFor(() => a.consumer.partitions.length === 2, { what: 'the leases taken again' });
    await store(frontend, [command('key', { n: 1 })]);
    await waitFor(() => runs.some(({ n }) => n === 1), { what: 'the next of the key' });
    expect(runs.map(({ n }) => n)).toEqual([0, 1]);
    expect(a.stuck).toEqual([]);
  });

  it('calls for the end of the process when an action goes on although its lease is lost', async () => {
    let end!: () => void;
    const deaf = new Promise<void>((resolve) => (end = resolve));
    await store(frontend, [command('deaf', { n: 0 })]);
    const a = await start('a', () => deaf);
    await handed(1);
    await a.nc.close();
    await waitFor(() => a.stuck.length > 0, { what: 'the call for the end' });
    end();
  });

  it('is not held up by a key that stands still, however much of it is stored', async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    // Stored before: they come faster than they can be looked up.
    await store(
      frontend,
      Array.from({ length: 2_000 }, (_, n) => command('stuck', { n })),
    );
    const a = await start('a', async (_delivery, { ordering_key: key, args }) => {
      if (key === 'stuck' && args['n'] === 0) await released;
    });
    // Both partitions have more than their window behind the key that stands still.
    const others = Array.from({ length: WINDOW_COMMANDS + 2_000 }, (_, i) =>
      command(`k${i % 50}`, { n: Math.floor(i / 50) }),
    );
    for (let from = 0; from < others.length; from += 2_000) await store(frontend, others.slice(from, from + 2_000));
    await handed(others.length + 1, 60_000);
    expect(runs.filter(({ key }) => key === 'stuck')).toHaveLength(1);
    // What it keeps of the key in memory is a small part of it.
    await waitFor(() => a.consumer.buffered < 600, { what: 'no more than a few in memory' });
    release();
    await handed(others.length + 2_000, 60_000);
    const { stuck, ...rest } = byKey(runs);
    expect(stuck).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
    expect(rest).toEqual(byKey(others.map(({ ordering_key: key, args }) => ({ key, n: args['n'] }) as Run)));
    expect(a.errors).toEqual([]);
    const sre = await nats.connect('sre');
    await waitFor(async () => (await partitionStates(sre)).every(isQuiet), { what: 'every floor at its end' });
  });

  it('pulls the key of an urgent command forward from deep in the backlog, all of it in order', async () => {
    // One at a time, and slow: without being pulled forward it would take minutes.
    const slow = () => delay(20);
    const low = Array.from({ length: 3 * WINDOW_COMMANDS }, (_, i) =>
      command(`k${i % 4_000}`, { n: i }, { priority: 'low' }),
    );
    for (let from = 0; from < low.length; from += 4_096) await store(frontend, low.slice(from, from + 4_096));
    const last = low.at(-1)!;
    const urgent = command(last.ordering_key, { n: 'urgent' }, { priority: 'high' });
    await store(frontend, [urgent]);
    const a = await start('a', slow, { concurrencyPerPartition: 1 });
    await waitFor(() => runs.some(({ n }) => n === 'urgent'), { what: 'the urgent command' });
    expect(runs.length).toBeLessThan(low.length / 4);
    const before = low.filter(({ ordering_key: key }) => key === last.ordering_key).map(({ args }) => args['n']);
    expect(byKey(runs)[last.ordering_key]).toEqual([...before, 'urgent']);
    expect(a.errors).toEqual([]);
  });

  it('begins nothing that somebody else has ended, and says what it was doing', async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const told: string[] = [];
    await start('a', async (delivery, { args }) => {
      if (args['n'] !== 0) return;
      onEnded(delivery, () => told.push('told'));
      await released;
    });
    const [first, second, third] = [0, 1, 2].map((n) => command('key', { n }));
    await store(frontend, [first!, second!, third!]);
    await handed(1);
    const ask = async ({ tenant_id, correlation_id }: CommandEnvelope) =>
      (await frontend.request(abortSubject(tenant_id, correlation_id), '', { timeout: 5_000 })).json();
    await waitFor(async () => ask(second!).catch(() => undefined), { what: 'the second command in memory' });
    expect(await ask(second!)).toEqual({ state: 'waiting' });
    expect(await ask(first!)).toEqual({ state: 'running' });
    expect(told).toEqual(['told']);
    release();
    await handed(2);
    expect(runs.map(({ n }) => n)).toEqual([0, 2]);
    await expect(ask(command('other'))).rejects.toThrow();
  });

  it('does not begin what was ended while it was still on its way', async () => {
    await start('a');
    await store(frontend, [command('key', { n: 0 })]);
    await handed(1);
    const sre = await nats.connect('sre');
    const jsm = await jetstreamManager(sre, { checkAPI: false });
    const consumers = [0, 1].map(partitionConsumerName);
    for (const name of consumers) await jsm.consumers.pause(STREAM.commands, name, new Date(Date.now() + 60_000));
    const [late, next] = [1, 2].map((n) => command('key', { n }));
    await store(frontend, [late!, next!]);
    const ender = await nats.connect('operator');
    await new OutcomePublisher(new AckedPublisher(ender), 'operator').publish(late!, { status: 'cancelled' });
    ender.publish(abortSubject(late!.tenant_id, late!.correlation_id));
    await ender.flush();
    for (const name of consumers) await jsm.consumers.resume(STREAM.commands, name);
    await handed(2);
    expect(runs.map(({ n }) => n)).toEqual([0, 2]);
  });

  it('reads again what was lost on its way, also when nothing follows', async () => {
    const a = await start('a');
    await store(frontend, [command('key', { n: 0 })]);
    await handed(1);
    type Take = (message: { reply?: Uint8Array }, data: Uint8Array) => void;
    const { protocol } = a.nc as unknown as { protocol: { processMsg: Take } };
    const take = protocol.processMsg.bind(protocol);
    let lost = 0;
    protocol.processMsg = (message, data) => {
      const isDelivery = message.reply !== undefined && Buffer.from(message.reply).toString().startsWith('$JS.ACK.');
      if (isDelivery && lost === 0) lost += 1;
      else take(message, data);
    };
    await store(frontend, [command('key', { n: 1 })]);
    await handed(2);
    expect(lost).toBe(1);
    expect(runs.map(({ n }) => n)).toEqual([0, 1]);
  });
});
