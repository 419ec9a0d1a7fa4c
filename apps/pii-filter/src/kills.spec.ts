/** Filters and nats-server are killed at random while events come: what is promised must hold afterwards. */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SourcedEvent } from '@callboard/events';
import { AckedPublisher, RawEvents, STREAM } from '@callboard/jetstream';
import { readAudit, startTestNats, type TestNats, type TestApp } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { nameOf, rawEvent, settled, startFilter, stored } from './spec-filter.js';

const EVENTS = 1_000;
const KEYS = 20;
const FILTER_KILLS = 8;
const SERVER_KILLS = 2;
const SLOW_MS = 180_000;

let nats: TestNats;
let jsm: JetStreamManager;
let sre: JetStreamManager;
let publisher: AckedPublisher;
beforeAll(async () => {
  nats = await startTestNats({ topology: { eventPartitions: 4 } });
  jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
  sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
  publisher = new AckedPublisher(await nats.connect('event-ingestor'));
});
afterAll(async () => {
  publisher.close();
  await nats.dispose();
});

/** Every ninth cannot be read, and every seventh of the rest names somebody in its key. */
function event(i: number): SourcedEvent {
  const key = i % 7 === 0 ? `jane.doe${i % KEYS}@example.org` : `acme/repo-${i % KEYS}`;
  const data = i % 9 === 0 ? Buffer.from(`{"i": ${i}, oops`) : { i, sender: { email: `jane${i}@example.org` } };
  return rawEvent({ key, data });
}

describe('when filters and nats-server are killed at random', () => {
  it(
    'no event is lost, none is there twice, events of one key keep their order, and what became of each is on record',
    async () => {
      const filters: TestApp[] = await Promise.all(['one', 'two'].map((name) => startFilter(nats, name)));
      const raw = new RawEvents(publisher);
      const events = Array.from({ length: EVENTS }, (_, i) => event(i));
      let published = 0;
      const publishing = (async () => {
        for (const each of events) {
          await raw.publish(each, 60_000);
          published += 1;
          await delay(randomInt(20));
        }
      })();
      const kills = [...Array<'filter'>(FILTER_KILLS).fill('filter'), ...Array<'server'>(SERVER_KILLS).fill('server')];
      for (const [i, what] of kills.sort(() => randomInt(2) - 0.5).entries()) {
        await delay(randomInt(200, 1_500));
        if (what === 'server') {
          await nats.crash();
          continue;
        }
        const place = i % 2;
        await filters[place]!.kill();
        filters[place] = await startFilter(nats, place === 0 ? 'one' : 'two');
      }
      await publishing;
      expect(published).toBe(EVENTS);
      await settled(jsm, 120_000);

      const [passed, held, letters] = await Promise.all([
        stored(jsm, STREAM.events),
        stored(jsm, STREAM.eventsHeld),
        stored(sre, STREAM.deadLetters),
      ]);
      const names = (messages: { subject: string }[]) => messages.map(({ subject }) => subject.split('.').at(-1)!);
      const readable = events.filter((_, i) => i % 9 !== 0);
      expect(names(passed).sort()).toEqual(readable.map(nameOf).sort());
      const unreadable = events.filter((_, i) => i % 9 === 0);
      expect(names(held).sort()).toEqual(unreadable.map(nameOf).sort());
      expect(names(letters).sort()).toEqual(unreadable.map(nameOf).sort());

      const records = (await readAudit(sre)).filter(({ kind, app }) => kind === 'event' && app === 'pii-filter');
      const recorded = (fate: string) =>
        records.filter(({ what }) => what === fate).map((each) => each.correlation_id!);
      expect([...new Set(recorded('passed'))].sort()).toEqual(readable.map(nameOf).sort());
      expect([...new Set(recorded('held'))].sort()).toEqual(unreadable.map(nameOf).sort());

      const sent = new Map<string, string[]>();
      for (const each of readable) sent.set(each.key, [...(sent.get(each.key) ?? []), nameOf(each)]);
      const place = new Map(names(passed).map((name, i) => [name, i]));
      for (const order of sent.values()) {
        const places = order.map((name) => place.get(name)!);
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }
      await Promise.all(filters.map((filter) => filter.stop()));
    },
    SLOW_MS,
  );
});
