import { InvalidEvent } from '@callboard/events';
import { AckedPublisher, RawEvents } from '@callboard/jetstream';
import { readRawEvents, startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Forwarder } from './forwarder.js';

let nats: TestNats;
let publisher: AckedPublisher;
let retries: number;
beforeEach(async () => {
  nats = await startTestNats();
  publisher = new AckedPublisher(await nats.connect('backstage'));
  retries = 0;
});
afterEach(async () => {
  publisher.close();
  await nats.dispose();
});

const ORIGIN = { tenantId: 'default', sourceName: 'backstage', eventsUrl: 'http://backstage/api/events' };
const forwarder = (raw: Promise<Pick<RawEvents, 'publish'>>, maxInFlight = 16) =>
  new Forwarder(ORIGIN, raw, maxInFlight, { stored: () => undefined, refused: () => (retries += 1) });
const cue = (key: number, n: number) => ({
  topic: 'cues',
  eventPayload: { n },
  metadata: {
    'ce-specversion': '1.0',
    'ce-id': `${key}.${n}`,
    'ce-source': '/s',
    'ce-type': 't',
    'ce-partitionkey': `key ${key}`,
  },
});
const KEYS = Array.from({ length: 20 }, (_, key) => key);

/** What is stored of each key, in its order. */
async function storedByKey(): Promise<Map<string, number[]>> {
  const byKey = new Map<string, number[]>();
  for (const { key, data } of await readRawEvents(await nats.connect('pii-filter'))) {
    const { n } = JSON.parse(Buffer.from(data).toString()) as { n: number };
    byKey.set(key, [...(byKey.get(key) ?? []), n]);
  }
  return byKey;
}

describe('events that are forwarded', () => {
  it('are stored once each and in the order in which those of their key came, whatever happens to nats-server', async () => {
    const forward = forwarder(Promise.resolve(new RawEvents(publisher)));
    const numbers = Array.from({ length: 30 }, (_, n) => n);
    const all = numbers.flatMap((n) => KEYS.map((key) => forward.forward(cue(key, n))));
    for (let crash = 0; crash < 3; crash++) {
      const left = forward.waiting;
      await waitFor(() => forward.waiting < left - 50 || forward.waiting === 0, { what: 'some stored' });
      await nats.crash();
    }
    await Promise.all(all);
    const stored = await storedByKey();
    expect(stored.size).toBe(KEYS.length);
    for (const [, of] of stored) expect(of).toEqual(numbers);
  });

  it('keep their order and are stored once when acks are lost and the stream refuses for a while', async () => {
    const raw = new RawEvents(publisher);
    let calls = 0;
    const flaky: Pick<RawEvents, 'publish'> = {
      publish: async (event, timeoutMs) => {
        const call = ++calls;
        if (call % 3 === 0) throw new Error('refused');
        const stored = await raw.publish(event, timeoutMs);
        if (call % 5 === 0) throw new Error('the ack was lost');
        return stored;
      },
    };
    const forward = forwarder(Promise.resolve(flaky));
    await Promise.all([0, 1, 2, 3, 4].flatMap((n) => KEYS.map((key) => forward.forward(cue(key, n)))));
    expect(retries).toBeGreaterThan(20);
    for (const [, of] of await storedByKey()) expect(of).toEqual([0, 1, 2, 3, 4]);
  });

  it('have callers that wait until they are stored, while no more than the bound are being sent', async () => {
    const raw = new RawEvents(publisher);
    let sending = 0;
    let most = 0;
    let open!: () => void;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const slow: Pick<RawEvents, 'publish'> = {
      publish: async (event, timeoutMs) => {
        most = Math.max(most, ++sending);
        await gate;
        return raw.publish(event, timeoutMs).finally(() => (sending -= 1));
      },
    };
    const forward = forwarder(Promise.resolve(slow), 4);
    const all = KEYS.map((key) => forward.forward(cue(key, 0)));
    let answered = 0;
    for (const each of all) void each.then(() => (answered += 1));
    await waitFor(() => sending === 4, { what: 'the bound reached' });
    expect([forward.waiting, answered]).toEqual([KEYS.length, 0]);
    open();
    await forward.idle();
    expect([most, forward.waiting]).toEqual([4, 0]);
    expect((await storedByKey()).size).toBe(KEYS.length);
  });

  it('wait for a NATS that is not there yet', async () => {
    let connected!: (raw: RawEvents) => void;
    const forward = forwarder(new Promise<RawEvents>((resolve) => (connected = resolve)));
    const stored = forward.forward(cue(1, 1));
    expect(forward.waiting).toBe(1);
    connected(new RawEvents(publisher));
    await stored;
    expect(await storedByKey()).toEqual(new Map([['key 1', [1]]]));
  });

  it('are refused at once when they can never be stored', async () => {
    const forward = forwarder(Promise.resolve(new RawEvents(publisher)));
    await expect(forward.forward({ topic: 'cues', eventPayload: 1n })).rejects.toThrow(InvalidEvent);
    expect(forward.waiting).toBe(0);
  });
});
