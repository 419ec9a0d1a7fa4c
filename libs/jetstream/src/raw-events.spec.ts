import { randomUUID } from 'node:crypto';
import { EVENT_LIMITS, eventAddress, readEventHeaders, type SourcedEvent } from '@callboard/events';
import { HEADER, parseRawEventSubject, storedRawEventSubjects } from '@callboard/envelope';
import { startTestNats, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { AckedPublisher } from './acked-publisher.js';
import { RawEvents } from './raw-events.js';
import { STREAM } from './topology.js';

function event(overrides: Partial<SourcedEvent> = {}): SourcedEvent {
  return {
    tenantId: 'acme',
    sourceName: 'github',
    key: 'acme/web',
    attributes: { id: randomUUID(), source: 'https://github.com', type: 'github.push', extensions: {} },
    data: Buffer.from('{"ref":"refs/heads/main"}'),
    ...overrides,
  };
}

describe('raw events', () => {
  let nats: TestNats;
  let jsm: JetStreamManager;
  let raw: RawEvents;
  beforeAll(async () => {
    nats = await startTestNats();
    jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
    raw = new RawEvents(new AckedPublisher(await nats.connect('event-ingestor')));
  });
  afterAll(() => nats.dispose());

  const stored = async (of: SourcedEvent) =>
    (await jsm.streams.getMessage(STREAM.eventsRaw, { last_by_subj: storedRawEventSubjects(eventAddress(of).event) }))!;

  it('are stored as CloudEvents in binary mode, under an address that tells what they are', async () => {
    const sent = event();
    await expect(raw.publish(sent, 10_000)).resolves.toBe('stored');
    const message = await stored(sent);
    expect(parseRawEventSubject(message.subject)).toMatchObject(eventAddress(sent));
    expect(readEventHeaders(message.header)).toEqual(sent.attributes);
    expect(Buffer.from(message.data).toString()).toBe('{"ref":"refs/heads/main"}');
  });

  it('are stored once, however often and by however many they are handed over', async () => {
    const sent = event();
    const other = new RawEvents(new AckedPublisher(await nats.connect('event-ingestor')));
    const fates = await Promise.all([raw, other, raw, other].map((publisher) => publisher.publish(sent, 10_000)));
    expect(fates.sort()).toEqual(['known', 'known', 'known', 'stored']);
    const { state } = await jsm.streams.info(STREAM.eventsRaw, {
      subjects_filter: storedRawEventSubjects(eventAddress(sent).event),
    });
    expect(Object.values(state.subjects ?? {})).toEqual([1]);
  });

  it('of one key share a partition, whatever their topic', async () => {
    const partitions = new Set<number>();
    for (const type of ['a', 'b', 'c', 'd', 'e']) {
      const sent = event();
      sent.attributes.type = type;
      await raw.publish(sent, 10_000);
      partitions.add(parseRawEventSubject((await stored(sent)).subject).partition);
    }
    expect(partitions.size).toBe(1);
  });

  it('that no message can carry leave their size and nothing of their data', async () => {
    const sent = event({ data: Buffer.alloc(EVENT_LIMITS.dataBytes + 1, 'x') });
    await expect(raw.publish(sent, 10_000)).resolves.toBe('stored');
    const message = await stored(sent);
    expect(message.header.get(HEADER.oversized)).toBe(String(EVENT_LIMITS.dataBytes + 1));
    expect(message.data).toHaveLength(0);
    await expect(raw.publish(event({ data: Buffer.alloc(EVENT_LIMITS.dataBytes, 'x') }), 10_000)).resolves.toBe(
      'stored',
    );
  });
});
