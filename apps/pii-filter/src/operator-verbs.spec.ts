/** What an operator decides about held events, and what is left of an event that is to be forgotten. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEventHeaders, type SourcedEvent } from '@callboard/events';
import {
  AckedPublisher,
  DeadLetterBox,
  FilterControl,
  RawEvents,
  STREAM,
  redriveAll,
  type CommandClient,
  type KeptLetter,
} from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats, type TestApp } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { nameOf, rawEvent, settled, startFilter, stored } from './spec-filter.js';

const LENIENT = 'version: 1\npolicies: [{ name: lenient }]\n';
const STRICT = 'version: 1\npolicies: [{ name: strict, mode: allow_list, fields: [{ path: ref, action: keep }] }]\n';
const NO_COMMANDS = undefined as unknown as CommandClient;

let nats: TestNats;
let jsm: JetStreamManager;
let publisher: AckedPublisher;
let raw: RawEvents;
let box: DeadLetterBox;
let control: FilterControl;
let folder: string;
let policy: string;
let filters: TestApp[];

beforeAll(async () => {
  nats = await startTestNats({ topology: { eventPartitions: 4 } });
  jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
  publisher = new AckedPublisher(await nats.connect('event-ingestor'));
  raw = new RawEvents(publisher);
  const operator = await nats.connect('operator');
  box = await DeadLetterBox.open(operator);
  control = new FilterControl(operator);
  folder = await mkdtemp(join(tmpdir(), 'callboard-filter-'));
  policy = join(folder, 'policy.yaml');
  await writeFile(policy, STRICT);
});
afterAll(async () => {
  publisher.close();
  await nats.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function letterOf(event: SourcedEvent): Promise<KeptLetter | undefined> {
  for await (const letter of box.find()) if (letter.event?.name === nameOf(event)) return letter;
  return undefined;
}

async function kept(event: SourcedEvent) {
  const name = nameOf(event);
  const count = async (stream: string) =>
    (await stored(jsm, stream)).filter(({ subject }) => subject.endsWith(name)).length;
  return {
    raw: await count(STREAM.eventsRaw),
    held: await count(STREAM.eventsHeld),
    events: await count(STREAM.events),
    letter: Number((await letterOf(event)) !== undefined),
  };
}

const HELD = { raw: 0, held: 1, events: 0, letter: 1 };
const PASSED = { raw: 0, held: 0, events: 1, letter: 0 };
const NOTHING = { raw: 0, held: 0, events: 0, letter: 0 };

async function held(data: unknown = { who: 'jane.doe@example.org' }): Promise<SourcedEvent> {
  const event = rawEvent({ data });
  await raw.publish(event, 10_000);
  await settled(jsm);
  expect(await kept(event)).toEqual(HELD);
  return event;
}

async function redrive(letter: KeptLetter) {
  const fared = [];
  const one = (async function* () {
    yield letter;
  })();
  for await (const each of redriveAll(box, NO_COMMANDS, one)) fared.push(each);
  return fared;
}

/** Every filter has the policies of now. */
async function policies(text: string): Promise<void> {
  await writeFile(policy, text);
  const told = filters.map((filter) => filter.output().split('have changed').length);
  for (const filter of filters) filter.process.kill('SIGHUP');
  await waitFor(() => filters.every((filter, i) => filter.output().split('have changed').length > told[i]!), {
    what: 'the policies in force',
  });
}

describe('without a filter', () => {
  it('nothing is decided, and it is said why', async () => {
    await expect(control.ask('discard', { event: nameOf(rawEvent()) })).rejects.toMatchObject({
      code: 'unavailable',
      message: 'No privacy filter runs: what it holds can be decided on when one does',
    });
  });
});

describe('with two filters, whichever answers', () => {
  beforeAll(async () => {
    filters = await Promise.all(
      ['one', 'two'].map((name) => startFilter(nats, name, { CALLBOARD_REDACTION_POLICY: policy })),
    );
  });
  afterAll(() => Promise.all(filters.map((filter) => filter.stop())));

  it('an event that passes under the policies of now is delivered late, and says so', async () => {
    const event = await held();
    const letter = (await letterOf(event))!;
    expect(letter).toMatchObject({ reason: 'unlisted_field', attempts: 1, about: { tenant_id: 'acme' } });
    expect(await redrive(letter)).toEqual([
      { letter: letter.letter, event: nameOf(event), released: false, reason: 'unlisted_field' },
    ]);
    expect(await kept(event)).toEqual(HELD);

    await policies(LENIENT);
    const again = (await letterOf(event))!;
    expect(await redrive(again)).toEqual([{ letter: again.letter, event: nameOf(event), released: true }]);
    expect(await kept(event)).toEqual(PASSED);
    const message = (await stored(jsm, STREAM.events)).find(({ subject }) => subject.endsWith(nameOf(event)))!;
    expect(message.string()).toMatch(/^\{"who":"\[EMAIL:[0-9a-f]{4}\]"\}$/);
    const { extensions } = readEventHeaders(message.header);
    expect(extensions).toMatchObject({
      policy: 'lenient',
      redactions: '1',
      released: expect.stringMatching(/^\d{4}-/),
    });
    await policies(STRICT);
  });

  it('an event that is sent again by its source, and passes then, is not delivered twice by releasing it', async () => {
    const event = await held();
    await policies(LENIENT);
    await raw.publish(event, 10_000);
    await settled(jsm);
    expect(await kept(event)).toEqual({ ...HELD, events: 1 });
    await redrive((await letterOf(event))!);
    expect(await kept(event)).toEqual(PASSED);
    await policies(STRICT);
  });

  it('a tenant whose key was destroyed has other pseudonyms from then on, the same in all filters; other tenants keep theirs', async () => {
    await policies(LENIENT);
    const send = async (tenantId: string, count: number) => {
      const sent = Array.from({ length: count }, (_, i) =>
        rawEvent({ tenantId, key: `key ${i}`, data: { who: 'jane.doe@example.org' } }),
      );
      for (const event of sent) await raw.publish(event, 10_000);
      await settled(jsm);
      const names = new Set(sent.map(nameOf));
      const texts = (await stored(jsm, STREAM.events))
        .filter(({ subject }) => names.has(subject.slice(subject.lastIndexOf('.') + 1)))
        .map((message) => message.string());
      expect(texts).toHaveLength(count);
      return [...new Set(texts)];
    };
    const heardOf = () =>
      filters.map((filter) => filter.output().split('the key of a tenant was destroyed').length - 1);
    const before = await send('globex', 16);
    const initech = await send('initech', 1);
    expect(before).toEqual([expect.stringMatching(/^\{"who":"\[EMAIL:[0-9a-f]{4}\]"\}$/)]);
    expect(before).not.toEqual(initech);

    expect(await control.ask('forget', { tenant: 'globex' })).toEqual({ destroyed: true });
    await waitFor(() => heardOf().every((count) => count > 0), { what: 'both filters to forget' });
    const after = await send('globex', 16);
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
    expect(await send('initech', 1)).toEqual(initech);
    expect(await control.ask('forget', { tenant: 'nobody' })).toEqual({ destroyed: false });
    await policies(STRICT);
  });

  it('a discarded event is erased with its letter, once', async () => {
    const event = await held();
    await box.discard((await letterOf(event))!);
    expect(await kept(event)).toEqual(NOTHING);
    await expect(control.ask('discard', { event: nameOf(event) })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('an event is erased by its name, or by what its source calls it, wherever it is', async () => {
    const event = await held();
    expect(await control.ask('erase', { event: nameOf(event) })).toEqual({
      names: [nameOf(event)],
      ...{ raw: 0, held: 1, events: 0, letters: 1 },
    });
    expect(await kept(event)).toEqual(NOTHING);

    const seen = rawEvent({ data: { ref: 'component:default/web' } });
    await raw.publish(seen, 10_000);
    await settled(jsm);
    const { tenantId: tenant, sourceName: source, attributes } = seen;
    expect(await control.ask('erase', { tenant, source, id: attributes.id })).toMatchObject({
      names: [nameOf(seen)],
      events: 1,
    });
    expect(await kept(seen)).toEqual(NOTHING);
    expect(await control.ask('erase', { tenant, source, id: attributes.id })).toMatchObject({ names: [] });
  });

  it('an event that is on its way when it is erased is nowhere afterwards', async () => {
    for (let round = 0; round < 20; round++) {
      const event = rawEvent({ data: { ref: 'x'.repeat(round * 1_000) } });
      await raw.publish(event, 10_000);
      await control.ask('erase', { event: nameOf(event) });
      expect(await kept(event)).toEqual(NOTHING);
    }
  });

  it.each([
    ['erase', {}],
    ['release', { event: 'e_1' }],
    ['discard', { event: '>' }],
    ['discard', { tenant: 'acme', source: 'github', id: '1' }],
  ] as const)('%s of %j is refused', async (verb, asked) => {
    await expect(control.ask(verb, asked as never)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});
