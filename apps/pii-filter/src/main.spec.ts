/** The filter as a process: what becomes of an event, whatever it holds. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { heldLetterSubject, parseEventSubject } from '@callboard/envelope';
import { EVENT_LIMITS, eventAddress, readEventHeaders, type SourcedEvent } from '@callboard/events';
import { AckedPublisher, RawEvents, STREAM, type HeldLetter } from '@callboard/jetstream';
import { readAudit, startTestNats, stopAudit, waitFor, type TestNats, type TestApp } from '@callboard/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { contentOf } from './judge-event.js';
import { nameOf, rawEvent, settled, startFilter, stored } from './spec-filter.js';

let nats: TestNats;
let jsm: JetStreamManager;
let publisher: AckedPublisher;
let raw: RawEvents;
let filters: TestApp[] = [];

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

async function start(instance: string, env: NodeJS.ProcessEnv = {}): Promise<TestApp> {
  const filter = await startFilter(nats, instance, env);
  filters.push(filter);
  return filter;
}

const told = (filter: TestApp, what: string) =>
  waitFor(() => filter.output().includes(what), { what: `the log to say: ${what}` });

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

/** What is on record of an event, in order. */
async function recordsOf(event: SourcedEvent) {
  const sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
  return (await readAudit(sre)).filter(({ correlation_id: name }) => name === nameOf(event));
}

describe('what becomes of an event', () => {
  const about = { kind: 'event', app: 'pii-filter', tenant_id: 'acme', personal: { salt: expect.any(String) } };

  it('is on record once, with its source, type and reason and nothing of what it says', async () => {
    await start('one');
    const good = rawEvent({ key: 'jane.doe@example.org', data: { mail: 'jane.doe@example.org' } });
    const bad = rawEvent({ key: 'jane.doe@example.org', data: Buffer.from('{"jane') });
    const odd = rawEvent({ attributes: { type: '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' } });
    for (const event of [good, bad, odd]) await raw.publish(event, 10_000);
    await settled(jsm);
    const taken = { taken_at: expect.stringMatching(/^20\d\d-.*Z$/) };
    const details = { source: 'github', type: 'github.push', ...taken };
    expect(await recordsOf(good)).toEqual([expect.objectContaining({ ...about, what: 'passed', details })]);
    const held = { ...about, what: 'held', code: 'not_json', details };
    expect(await recordsOf(bad)).toEqual([expect.objectContaining(held)]);
    const hidden = {
      ...about,
      what: 'held',
      code: 'private_topic',
      details: { source: 'github', type: 'private', ...taken },
    };
    expect(await recordsOf(odd)).toEqual([expect.objectContaining(hidden)]);
    expect(JSON.stringify([await recordsOf(good), await recordsOf(bad), await recordsOf(odd)])).not.toContain('jane');
  });

  it('waits, in its order, while the audit stream is full', async () => {
    const restore = await stopAudit(nats, 'full');
    const events = Array.from({ length: 20 }, (_, i) => rawEvent({ data: { i } }));
    try {
      const filter = await start('one');
      for (const event of events) await raw.publish(event, 10_000);
      await told(filter, 'the audit stream takes no records');
      const { passed } = await fateOf(events[0]!);
      expect(passed).toEqual([]);
      expect((await jsm.streams.info(STREAM.eventsRaw)).state.messages).toBe(events.length);
    } finally {
      await restore();
    }
    await settled(jsm);
    const names = new Set(events.map(nameOf));
    const order = (await stored(jsm, STREAM.events)).map(({ subject }) => subject.split('.').at(-1)!);
    expect(order.filter((name) => names.has(name))).toEqual([...names]);
    for (const event of events) expect((await recordsOf(event)).map(({ what }) => what)).toEqual(['passed']);
  });
});

const deep = Buffer.from('['.repeat(100) + ']'.repeat(100));
const json = 'application/json';
const push = 'github.push';

describe('an event that cannot be read as a whole', () => {
  beforeEach(() => start('one'));

  it.each([
    ['is no JSON', 'not_json', json, Buffer.from('{"who": "jane.doe@example.org"'), push],
    ['is nested too deep', 'too_deep', json, deep, push],
    ['has bytes that are not UTF-8', 'unsupported_content', json, Buffer.from([0x22, 0xc3, 0x28, 0x22]), push],
    [
      'is in another character set',
      'unsupported_content',
      'text/plain; charset=utf-16',
      Buffer.from('jane', 'utf16le'),
      push,
    ],
    [
      'is neither JSON nor text',
      'unsupported_content',
      'application/octet-stream',
      Buffer.from('jane.doe@example.org'),
      push,
    ],
    [
      'has a type with a credential in it',
      'private_topic',
      json,
      Buffer.from('{}'),
      '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',
    ],
    ['is larger than a message may be', 'oversized', json, Buffer.alloc(EVENT_LIMITS.dataBytes + 1, '1'), push],
  ])(
    'because it %s is held, with a letter that says why and nothing of it',
    async (_why, reason, type, data, topic) => {
      const key = 'jane.doe@example.org';
      const event = rawEvent({
        key,
        attributes: { datacontenttype: type, subject: key, type: topic },
        data,
      });
      await raw.publish(event, 10_000);
      await settled(jsm);
      const shown = reason === 'private_topic' ? 'private' : topic;
      const { passed, held, letters } = await fateOf(event);
      expect([passed.length, held.length, letters.length]).toEqual([0, 1, 1]);
      const [body] = held as [StoredMsg];
      if (reason !== 'oversized') expect(Buffer.from(body.data).equals(data)).toBe(true);
      expect(readEventHeaders(body.header)).toEqual(event.attributes);
      expect(letters[0]).toEqual({
        reason,
        attempts: 1,
        stream: STREAM.eventsRaw,
        subject: heldLetterSubject({ ...eventAddress(event), topic: shown }),
        sequence: expect.any(Number),
        at: expect.any(String),
        event: {
          ...{ name: nameOf(event), tenant_id: 'acme', source: 'github', topic: shown },
          content: contentOf(type).kind,
          data_bytes: body.data.length,
        },
      });
      expect(JSON.stringify(letters)).not.toContain('jane');
    },
  );

  it('because it is not named as it says is held under a name of our own', async () => {
    const forged = 'raw.acme.jane%40example%2Eorg.topic.key.e_jane';
    await publisher.publish(forged, Buffer.from('{}'), '', 10_000);
    await settled(jsm);
    const letters = (await letterMessages()).filter(({ subject }) => subject.startsWith('dlq.EVENTS_RAW.unknown.'));
    expect(letters.map(({ subject }) => subject)).toEqual([
      expect.stringMatching(/^dlq\.EVENTS_RAW\.unknown\.unknown\.unknown\.e_[\w-]{43}$/),
    ]);
    expect(letters[0]!.json()).toMatchObject({ reason: 'invalid_event' });
  });
});

describe('policies', () => {
  let folder: string;
  let policy: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-policy-'));
    policy = join(folder, 'policy.yaml');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const write = async (text: string) => {
    await writeFile(`${policy}.new`, `version: 1\npolicies:\n${text}`);
    await rename(`${policy}.new`, policy);
  };

  it('hold what none of them is for, and what an allow-list does not name, and let drop what cannot be read', async () => {
    await write(`  - { name: binary, topic: binary.*, fields: [{ path: "**", action: drop }] }
  - { name: listed, topic: listed.*, mode: allow_list, fields: [{ path: ref, action: keep }] }
`);
    await start('one', { CALLBOARD_REDACTION_POLICY: policy });
    const none = rawEvent({ attributes: { type: 'other' } });
    const unlisted = rawEvent({ attributes: { type: 'listed.a' }, data: { ref: 'x', more: 1 } });
    const listed = rawEvent({ attributes: { type: 'listed.b' }, data: { ref: 'x' } });
    const binary = rawEvent({
      attributes: { type: 'binary.a', datacontenttype: 'image/png' },
      data: Buffer.from([1, 2, 255]),
    });
    for (const event of [none, unlisted, listed, binary]) await raw.publish(event, 10_000);
    await settled(jsm);
    expect((await fateOf(none)).letters).toMatchObject([{ reason: 'no_policy' }]);
    expect((await fateOf(unlisted)).letters).toMatchObject([{ reason: 'unlisted_field' }]);
    expect((await fateOf(listed)).passed.map((message) => message.string())).toEqual(['{"ref":"x"}']);
    expect((await fateOf(binary)).passed.map(({ data }) => data.length)).toEqual([0]);
  });

  it('are those of the file as it is now; a broken one leaves those of before, and says what is wrong and where', async () => {
    await write('  - { name: first }\n');
    const filter = await start('one', { CALLBOARD_REDACTION_POLICY: policy });
    const policyOf = async () => {
      const event = rawEvent();
      await raw.publish(event, 10_000);
      await settled(jsm);
      return readEventHeaders((await fateOf(event)).passed[0]!.header).extensions['policy'];
    };
    expect(await policyOf()).toBe('first');
    await write('  - { name: second, feilds: [] }\n');
    await told(filter, 'cannot be used');
    expect(filter.output()).toMatch(/"problems":\["line 3: policies\[0\]\.feilds is not known here/);
    expect(await filter.metrics()).toContain('callboard_filter_policy_broken 1');
    expect(await policyOf()).toBe('first');
    await write('  - { name: second }\n');
    await told(filter, 'the redaction policies have changed');
    expect(filter.output()).toMatch(/"digest":"[0-9a-f]{64}","message":"the redaction policies have changed"/);
    expect(await policyOf()).toBe('second');
    expect(await filter.metrics()).toContain('callboard_filter_policy_broken 0');
    const sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
    const ofFile = async () => (await readAudit(sre)).filter(({ details }) => details?.['file'] === policy);
    await waitFor(async () => (await ofFile()).at(-1)?.what === 'reloaded', { what: 'the record of the new file' });
    // Of the process of this test alone: those before it have read the file too.
    const records = (await ofFile()).slice(-3);
    expect(records.map(({ kind, what }) => `${kind} ${what}`)).toEqual([
      'configuration read',
      'configuration refused',
      'configuration reloaded',
    ]);
    expect(new Set(records.map(({ details }) => details!['digest'])).size).toBe(3);
    expect(records[2]!.details!['digest']).toBe(
      /"digest":"(\w+)","message":"the redaction pol[a-z]+ have/.exec(filter.output())![1],
    );
  });
});

describe('a filter', () => {
  it.each([
    ['without a key for pseudonyms', { CALLBOARD_PSEUDONYM_KEY: '' }, 'CALLBOARD_PSEUDONYM_KEY is not set'],
    ['with a key that is too short', { CALLBOARD_PSEUDONYM_KEY: 'c2hvcnQ=' }, 'CALLBOARD_PSEUDONYM_KEY'],
    ['without the policies that it is told to use', { CALLBOARD_REDACTION_POLICY: '/nowhere.yaml' }, 'ENOENT'],
  ])('%s does not start, and says why', async (_what, env, why) => {
    await expect(startFilter(nats, 'never', env)).rejects.toThrow(why);
  });

  it('counts what it does, by source, reason and type, and how far it is behind', async () => {
    const filter = await start('one');
    await raw.publish(rawEvent({ data: { mail: 'jane.doe@example.org' } }), 10_000);
    await raw.publish(rawEvent({ data: Buffer.from('{') }), 10_000);
    await settled(jsm);
    const text = await filter.metrics();
    for (const line of [
      'callboard_filter_events_total{source="github",fate="passed"} 1',
      'callboard_filter_events_total{source="github",fate="held"} 1',
      'callboard_filter_held_total{reason="not_json"} 1',
      'callboard_filter_redactions_total{type="EMAIL"} 1',
      'callboard_filter_seconds_count 2',
      'callboard_filter_partitions_owned 2',
      'callboard_filter_pending{partition="0"} 0',
      'callboard_filter_oldest_raw_seconds 0',
    ]) {
      expect(text).toContain(line);
    }
  });
});
