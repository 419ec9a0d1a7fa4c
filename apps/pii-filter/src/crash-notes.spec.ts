/** An event that kills whoever works on it must not stop all the others for ever. */
import { once } from 'node:events';
import type { SourcedEvent } from '@callboard/events';
import { AckedPublisher, RawEvents, STREAM, type HeldLetter } from '@callboard/jetstream';
import { startTestNats, type TestNats, type TestApp } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { nameOf, rawEvent, settled, startFilter, stored } from './spec-filter.js';

const DEADLY = new URL('./spec-deadly-filter.js', import.meta.url);
const SLOW_MS = 180_000;
const MAX_CRASHES = 2;

let nats: TestNats;
let jsm: JetStreamManager;
let publisher: AckedPublisher;
beforeAll(async () => {
  nats = await startTestNats({ topology: { eventPartitions: 2 } });
  jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
  publisher = new AckedPublisher(await nats.connect('event-ingestor'));
});
afterAll(async () => {
  publisher.close();
  await nats.dispose();
});

describe('an event that kills the process of the filter', () => {
  it(
    'is held after so many deaths as are allowed, and every other passes, in order',
    async () => {
      const raw = new RawEvents(publisher);
      const events: SourcedEvent[] = [];
      for (let i = 0; i < 60; i++) {
        const id = i === 20 || i === 40 ? `deadly ${i}` : `harmless ${i}`;
        events.push(rawEvent({ key: `key ${i % 5}`, attributes: { id } }));
        await raw.publish(events.at(-1)!, 10_000);
      }
      let deaths = 0;
      let filter: TestApp | undefined;
      const env = { CALLBOARD_FILTER_MAX_CRASHES: String(MAX_CRASHES) };
      const keepRunning = async (): Promise<void> => {
        for (;;) {
          // One that dies at once may not even have said that it is ready.
          filter = await startFilter(nats, 'one', env, DEADLY).catch(() => undefined);
          if (filter && filter.process.signalCode === null) await once(filter.process, 'exit');
          if (filter?.process.exitCode === 0) return;
          deaths += 1;
        }
      };
      const running = keepRunning();
      await settled(jsm, SLOW_MS);
      const names = async (stream: string) =>
        (await stored(jsm, stream)).map(({ subject }) => subject.split('.').at(-1)!);
      const deadly = events.filter(({ attributes }) => attributes.id.startsWith('deadly')).map(nameOf);
      expect((await names(STREAM.eventsHeld)).sort()).toEqual([...deadly].sort());
      const passed = await names(STREAM.events);
      expect([...passed].sort()).toEqual(
        events
          .map(nameOf)
          .filter((name) => !deadly.includes(name))
          .sort(),
      );
      for (let key = 0; key < 5; key++) {
        const order = events.filter((_, i) => i % 5 === key).map(nameOf);
        expect(passed.filter((name) => order.includes(name))).toEqual(order.filter((name) => !deadly.includes(name)));
      }
      const sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
      const letters = (await stored(sre, STREAM.deadLetters)).map((message) => message.json<HeldLetter>());
      expect(letters.map(({ reason, attempts }) => [reason, attempts])).toEqual(
        deadly.map(() => ['filter_crashed', MAX_CRASHES]),
      );
      // The first death of each is not yet known to be its.
      expect(deaths).toBeLessThanOrEqual(deadly.length * (MAX_CRASHES + 1));
      expect(deaths).toBeGreaterThan(MAX_CRASHES);
      filter?.process.kill('SIGTERM');
      await running;
    },
    SLOW_MS,
  );
});
