import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HEADER } from '@callboard/envelope';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { DiscardPolicy, jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher, PublishRefused, PublishTimeout, headerLine } from './acked-publisher.js';
import { StoreCosts } from './store-costs.js';

const ONCE = headerLine(HEADER.expectedLastSubjectSequence, '0');
const data = Buffer.from('{}');

let nats: TestNats;
let nc: NatsConnection;
let jsm: JetStreamManager;
let publisher: AckedPublisher;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 }, auth: 'none' });
  nc = await nats.connect('anyone');
  // Thousands of messages are read at once.
  jsm = await jetstreamManager(nc, { timeout: 25_000 });
});
afterAll(() => nats.dispose());

class Decided extends StoreCosts {
  constructor(private readonly batch: boolean) {
    super();
  }
  override get known(): boolean {
    return true;
  }
  override preferBatch(): boolean {
    return this.batch;
  }
}

async function stream(name: string, limits: object = {}): Promise<void> {
  const subjects = [`${name}.>`];
  await jsm.streams.add({
    name,
    subjects,
    allow_atomic: true,
    allow_direct: true,
    discard: DiscardPolicy.New,
    ...limits,
  });
}

async function stored(name: string): Promise<StoredMsg[]> {
  const { state } = await jsm.streams.info(name);
  const sequences = Array.from({ length: state.last_seq }, (_, i) => i + 1);
  const messages = await Promise.all(sequences.map((seq) => jsm.direct.getMessage(name, { seq })));
  return messages.filter((message) => message !== null);
}

const publishAll = (name: string, count: number, timeoutMs = 20_000) =>
  Promise.all(Array.from({ length: count }, (_, i) => publisher.publish(`${name}.${i}`, data, ONCE, timeoutMs)));

describe.each(['one by one', 'in batches'])('the acked publisher %s', (how) => {
  const name = (text: string) => `${text}-${how === 'in batches' ? 'batches' : 'singles'}`;

  beforeAll(() => {
    publisher = new AckedPublisher(nc, () => new Decided(how === 'in batches'));
  });
  afterAll(() => publisher.close());

  it('stores every message as one of its own, in order, and tells each its sequence', async () => {
    await stream(name('order'));
    for (let i = 0; i < 50; i++) await publisher.publish(`${name('order')}.alone.${i}`, data, ONCE, 5_000);
    const acks = await publishAll(name('order'), 1_500);
    expect(acks.map(({ seq, stream }) => [seq, stream])).toEqual(
      Array.from({ length: 1_500 }, (_, i) => [51 + i, name('order')]),
    );
    const messages = await stored(name('order'));
    expect(messages.slice(50).map(({ subject }) => subject)).toEqual(
      Array.from({ length: 1_500 }, (_, i) => `${name('order')}.${i}`),
    );
    expect(publisher.pending).toBe(0);
  });

  it('commits together what comes together, or each alone', async () => {
    await stream(name('group'));
    await publishAll(name('group'), 1_200);
    const batches = (await stored(name('group'))).map(({ header }) => header.get('Nats-Batch-Id'));
    // A batch holds at most 500.
    expect(new Set(batches).size).toBe(how === 'in batches' ? 3 : 1);
    expect(batches.includes('')).toBe(how !== 'in batches');
  });

  it('has a message that is refused fail alone, whatever goes with it', async () => {
    await stream(name('refused'));
    await publishAll(name('refused'), 1);
    for (let round = 1; round < 4; round++) {
      const subjects = Array.from({ length: 300 }, (_, i) =>
        i === 150 ? `${name('refused')}.0` : `${name('refused')}.${round}.${i}`,
      );
      const results = await Promise.allSettled(
        subjects.map((subject) => publisher.publish(subject, data, ONCE, 20_000)),
      );
      const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [[i, result.reason]] : []));
      expect(failed).toEqual([[150, expect.any(PublishRefused)]]);
      expect((failed[0]![1] as PublishRefused).isWrongLastSequence).toBe(true);
    }
    expect(await stored(name('refused'))).toHaveLength(1 + 3 * 299);
  });

  it('stores one of two for one subject, also when they go together', async () => {
    await stream(name('twice'));
    await publishAll(`${name('twice')}.first`, 100);
    for (let round = 0; round < 3; round++) {
      const pairs = Array.from({ length: 200 }, (_, i) => `${name('twice')}.${round}.${i >> 1}`);
      const results = await Promise.allSettled(pairs.map((subject) => publisher.publish(subject, data, ONCE, 20_000)));
      expect(results.map(({ status }) => status)).toEqual(
        Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 'fulfilled' : 'rejected')),
      );
    }
    expect(await stored(name('twice'))).toHaveLength(100 + 3 * 100);
  });

  it('stores what goes out again under its message id once, wherever it went first', async () => {
    await stream(name('ids'));
    const publish = (i: number) =>
      publisher.publish(`${name('ids')}.one`, Buffer.from(String(i)), headerLine(HEADER.msgId, `m${i}`), 20_000);
    const numbers = Array.from({ length: 400 }, (_, i) => i);
    const first = await Promise.all(numbers.map(publish));
    const again = await Promise.all(numbers.map(publish));
    expect(again.map(({ seq, duplicate }) => [seq, duplicate])).toEqual(first.map(({ seq }) => [seq, true]));
    expect((await stored(name('ids'))).map((message) => Number(message.string()))).toEqual(numbers);
  });

  it('stores what was published in the middle of a crash once, and settles every promise', async () => {
    await stream(name('crash'));
    await publishAll(`${name('crash')}.before`, 100);
    const settled = Promise.allSettled(
      Array.from({ length: 5_000 }, (_, i) => publisher.publish(`${name('crash')}.${i}`, data, ONCE, 25_000)),
    );
    await waitFor(() => publisher.pending < 4_500, { what: 'some of them stored' });
    await nats.crash();
    const results = await settled;
    // Refused as the second of its kind: the first had been stored, and only its ack was lost.
    const wrong = results.filter(
      (result) => result.status === 'rejected' && !(result.reason as PublishRefused).isWrongLastSequence,
    );
    expect(wrong).toEqual([]);
    const { state } = await jsm.streams.info(name('crash'), { subjects_filter: '>' });
    expect(state.messages).toBe(5_100);
    expect(state.num_subjects).toBe(5_100);
    expect(publisher.pending).toBe(0);
  });

  it('stores those of one line in their order, in the middle of a crash and among some that were there before', async () => {
    await stream(name('lines'));
    const subject = (line: number, i: number) => `${name('lines')}.${line}.${i}`;
    const before = [5, 6, 7, 300, 301, 1_400].flatMap((i) => [subject(0, i), subject(1, i)]);
    await Promise.all(before.map((each) => publisher.publish(each, data, ONCE, 20_000)));
    const first = await Promise.all(
      Array.from({ length: 3 * 1_500 }, (_, i) =>
        publisher.publishOnce(subject(i % 3, Math.floor(i / 3)), data, ONCE, 25_000, `line ${i % 3}`),
      ),
    );
    expect(first.filter((stored) => !stored)).toHaveLength(before.length);
    const settled = Promise.all(
      Array.from({ length: 3 * 1_500 }, (_, i) =>
        publisher.publishOnce(subject(i % 3, 2_000 + Math.floor(i / 3)), data, ONCE, 25_000, `line ${i % 3}`),
      ),
    );
    await waitFor(() => publisher.pending < 4_000, { what: 'some of them stored' });
    await nats.crash();
    await settled;
    const messages = (await stored(name('lines'))).slice(before.length).map((message) => message.subject);
    expect(messages).toHaveLength(2 * 3 * 1_500 - before.length);
    for (const line of [0, 1, 2]) {
      const numbers = messages.flatMap((each) =>
        each.split('.')[1] === String(line) ? [Number(each.split('.')[2])] : [],
      );
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
  });

  it('stores nothing of a line behind one that failed', async () => {
    await stream(name('behind'), { max_msgs: 40 });
    const results = await Promise.allSettled(
      Array.from({ length: 120 }, (_, i) => publisher.publish(`${name('behind')}.${i}`, data, ONCE, 20_000, 'line')),
    );
    const storedUpTo = results.findIndex(({ status }) => status === 'rejected');
    expect(results.slice(storedUpTo).every(({ status }) => status === 'rejected')).toBe(true);
    await jsm.streams.update(name('behind'), { max_msgs: 1_000 });
    expect(await stored(name('behind'))).toHaveLength(storedUpTo);
    await expect(publisher.publish(`${name('behind')}.again`, data, ONCE, 20_000, 'line')).resolves.toBeDefined();
  });

  it('waits for a stream that is not there yet', async () => {
    const early = publishAll(name('early'), 60);
    await new Promise((resolve) => setImmediate(resolve));
    await stream(name('early'));
    expect(await early).toHaveLength(60);
  });

  it('asks again while a cluster does not know what becomes of what was sent before under its message id', async () => {
    const errors = [{ code: 409, err_code: 10158, description: 'duplicate message id is in process' }];
    const server = nc.subscribe(`${name('cluster')}.a`, {
      callback: (_, message) => {
        const error = errors.shift();
        message.respond(JSON.stringify(error ? { error } : { stream: 'CLUSTER', seq: 7, duplicate: true }));
      },
    });
    expect(await publisher.publish(`${name('cluster')}.a`, data, ONCE, 20_000)).toMatchObject({ seq: 7 });
    server.unsubscribe();
  });

  it('gives up when no ack comes in time, and goes on with the others', async () => {
    const given = await Promise.allSettled([publisher.publish(`${name('nowhere')}.a`, data, ONCE, 250)]);
    expect(given).toEqual([{ status: 'rejected', reason: expect.any(PublishTimeout) }]);
    await stream(name('nowhere'));
    expect(await publishAll(name('nowhere'), 50)).toHaveLength(50);
  });

  it('says so when the stream is full, and that other streams are not', async () => {
    await stream(name('full'), { max_msgs: 40 });
    await stream(name('empty'));
    const results = await Promise.allSettled(
      Array.from({ length: 120 }, (_, i) => publisher.publish(`${name('full')}.${i}`, data, ONCE, 20_000)),
    );
    const refused = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as PublishRefused] : [],
    );
    expect(refused).toHaveLength(80);
    expect(refused.every(({ isFull, isWrongLastSequence }) => isFull && !isWrongLastSequence)).toBe(true);
    expect(await publishAll(name('empty'), 10)).toHaveLength(10);
  });

  it('has a message that no server takes fail alone', async () => {
    await stream(name('large'));
    const large = Buffer.alloc(2 * 1024 * 1024);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        publisher.publish(`${name('large')}.${i}`, i === 10 ? large : data, ONCE, 20_000),
      ),
    );
    expect(results.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([10]);
  });

  it('rejects what is pending when it is closed, and what comes after', async () => {
    const own = new AckedPublisher(nc);
    const pending = own.publish(`${name('unheard')}.a`, data, ONCE, 60_000);
    own.close();
    await expect(pending).rejects.toThrow(PublishTimeout);
    await expect(own.publish(`${name('unheard')}.b`, data, ONCE, 60_000)).rejects.toThrow(PublishTimeout);
    expect(own.pending).toBe(0);
  });

  it('takes no line break for the end of a header', async () => {
    await stream(name('header'));
    await publisher.publish(`${name('header')}.a`, data, headerLine('X-Text', 'a\r\nNats-Rollup: all\r\n'), 5_000);
    const [message] = await stored(name('header'));
    expect(message!.header.get('X-Text')).toBe('a  Nats-Rollup: all');
    expect(message!.header.has('Nats-Rollup')).toBe(false);
  });
});

describe('a publish that our NATS user may not make', () => {
  let restricted: TestNats;
  beforeAll(async () => {
    restricted = await startTestNats({ topology: { partitions: 1 } });
  });
  afterAll(() => restricted.dispose());

  it.each([
    ['alone', [], []],
    ['first in a batch', [], ['out.acme.a', 'out.acme.b', 'out.acme.c', 'out.acme.d']],
    ['last in a batch', ['out.acme.e', 'out.acme.f', 'out.acme.g', 'out.acme.h'], []],
  ])('fails at once and by itself, %s', async (_, before, after) => {
    const runner = new AckedPublisher(
      await restricted.connect('action-runner'),
      () => new Decided(before.length + after.length > 0),
    );
    const publish = (subject: string) => runner.publish(subject, data, ONCE, 3_600_000);
    const others = [...before.map(publish)];
    // Its first token is that of the others' lane, so that it goes with them.
    const denied = publish('out.acme.denied.by.permission');
    others.push(...after.map(publish));
    await expect(denied).rejects.toMatchObject({ name: 'PublishRefused', isDenied: true, isFull: false });
    await expect(denied).rejects.toThrow('may not publish to out.acme.denied.by.permission');
    expect((await Promise.all(others)).every(({ stream }) => stream === 'OUTCOMES')).toBe(true);
    expect(runner.pending).toBe(0);
    runner.close();
  });

  it('fails those behind it in its line, and no other', async () => {
    const runner = new AckedPublisher(await restricted.connect('action-runner'), () => new Decided(false));
    const inLine = (subject: string) => runner.publish(subject, data, ONCE, 3_600_000, 'line');
    const results = await Promise.allSettled([
      inLine('out.acme.denied.in.line'),
      inLine('out.acme.behind'),
      runner.publish('out.acme.beside', data, ONCE, 3_600_000),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    runner.close();
  });
});

describe('what one turn of the event loop publishes', () => {
  it('goes out in one write, to whichever streams and by whichever publishers', async () => {
    await stream('turn-one');
    await stream('turn-two');
    const two = [new AckedPublisher(nc), new AckedPublisher(nc)] as const;
    const seen: string[] = [];
    const publish = nc.publish.bind(nc);
    nc.publish = (subject, ...rest) => {
      // The client writes what it holds in a microtask of its first message.
      if (seen.push(subject) === 1) queueMicrotask(() => seen.push('written'));
      publish(subject, ...rest);
    };
    try {
      await Promise.all([
        two[0].publish('turn-one.a', data, ONCE, 5_000),
        two[0].publish('turn-two.a', data, ONCE, 5_000),
        two[1].publish('turn-one.b', data, ONCE, 5_000),
      ]);
    } finally {
      nc.publish = publish;
      for (const each of two) each.close();
    }
    expect(seen).toEqual(['turn-one.a', 'turn-two.a', 'turn-one.b', 'written']);
  });
});

describe('the costs of storing', () => {
  /** Single messages that each take `ms`. */
  const singles = (costs: StoreCosts, ms: number, count: number) => {
    for (let i = 0; i < count; i++) costs.ackGap(ms);
  };

  it('are not known before enough was seen', () => {
    const costs = new StoreCosts();
    singles(costs, 1, 15);
    expect([costs.known, costs.preferBatch(500)]).toEqual([false, false]);
    singles(costs, 1, 1);
    expect([costs.known, costs.preferBatch(500)]).toEqual([true, true]);
  });

  it('speak for batches where a sync is dear and many wait, and against them otherwise', () => {
    const dear = new StoreCosts();
    singles(dear, 0.24, 100);
    expect(dear.preferBatch(4)).toBe(false);
    expect(dear.preferBatch(100)).toBe(true);
    const cheap = new StoreCosts();
    singles(cheap, 0.01, 100);
    expect(cheap.preferBatch(500)).toBe(false);
  });
});
