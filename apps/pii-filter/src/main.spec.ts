/** The filter as a process: what becomes of an event, whatever it holds. */
import { parseEventSubject } from '@callboard/envelope';
import { eventAddress, readEventHeaders, type SourcedEvent } from '@callboard/events';
import { AckedPublisher, RawEvents, STREAM, type HeldLetter } from '@callboard/jetstream';
import { startTestNats, type TestNats } from '@callboard/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { nameOf, rawEvent, settled, startFilter, stored, type StartedFilter } from './spec-filter.js';

let nats: TestNats;
let jsm: JetStreamManager;
let publisher: AckedPublisher;
let raw: RawEvents;
let filters: StartedFilter[] = [];

beforeAll(async () => {
  nats = await startTestNats({ topology: { eventPartitions: 2 } });
  jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
  publisher = new AckedPublisher(await nats.connect('event-ingestor'));
  raw = new RawEvents(publisher);
});
afterEach(async () => {
  await Promise.all(filters.map((filter) => filter.stop()));
  filters = [];
});
afterAll(async () => {
  publisher.close();
  await nats.dispose();
});

async function start(instance: string, env: NodeJS.ProcessEnv = {}): Promise<StartedFilter> {
  const filter = await startFilter(nats, instance, env);
  filters.push(filter);
  return filter;
}

const named = (messages: StoredMsg[], event: SourcedEvent) =>
  messages.filter(({ subject }) => subject.endsWith(`.${nameOf(event)}`));

/** What has become of an event: nothing else may hold it. */
async function fateOf(event: SourcedEvent) {
  const [passed, held, letters] = await Promise.all([
    stored(jsm, STREAM.events),
    stored(jsm, STREAM.eventsHeld),
    letterMessages(),
  ]);
  return {
    passed: named(passed, event),
    held: named(held, event),
    letters: named(letters, event).map((message) => message.json<HeldLetter>()),
  };
}

async function letterMessages(): Promise<StoredMsg[]> {
  const sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
  return stored(sre, STREAM.deadLetters);
}

describe('an event', () => {
  it('is passed without what is private, in its data, its attributes and its subject, under one pseudonym', async () => {
    await start('one');
    const event = rawEvent({
      key: 'jane.doe@example.org',
      attributes: {
        id: 'delivery of jane.doe@example.org',
        subject: 'jane.doe@example.org',
        extensions: {
          partitionkey: 'jane.doe@example.org',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        },
      },
      data: {
        sender: { email: 'jane.doe@example.org' },
        text: 'ask jane.doe@example.org',
        ref: 'component:default/web',
      },
    });
    await raw.publish(event, 10_000);
    await settled(jsm);
    const { passed, held, letters } = await fateOf(event);
    expect([passed.length, held.length, letters.length]).toEqual([1, 0, 0]);
    const [message] = passed as [StoredMsg];
    const data = message.json<{ sender: { email: string }; text: string; ref: string }>();
    const pseudonym = data.sender.email;
    expect(pseudonym).toMatch(/^\[EMAIL:[0-9a-f]{4}\]$/);
    expect(data).toEqual({ sender: { email: pseudonym }, text: `ask ${pseudonym}`, ref: 'component:default/web' });
    expect(parseEventSubject(message.subject)).toEqual({ ...eventAddress(event), key: pseudonym });
    expect(readEventHeaders(message.header)).toEqual({
      id: `delivery of ${pseudonym}`,
      source: 'https://github.com/acme',
      type: 'github.push',
      subject: pseudonym,
      datacontenttype: 'application/json',
      extensions: {
        partitionkey: pseudonym,
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        redactions: '6',
        policy: 'built-in',
      },
    });
    const everything = JSON.stringify([message.subject, [...message.header], message.string()]);
    expect(everything).not.toContain('jane');
  });
});
