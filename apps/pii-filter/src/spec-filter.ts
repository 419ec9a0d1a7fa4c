/** What the specs of the filter share: the real app in a process of its own, raw events for it, and what becomes of them. */
import { randomBytes, randomUUID } from 'node:crypto';
import { eventName, type EventAttributes, type SourcedEvent } from '@callboard/events';
import { STREAM, readSubject } from '@callboard/jetstream';
import { startApp, waitFor, type TestApp, type TestNats } from '@callboard/testing';
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

export const MAIN = new URL('./main.js', import.meta.url);
export const KEY = randomBytes(32).toString('base64');

export const startFilter = (
  nats: TestNats,
  instance: string,
  env: NodeJS.ProcessEnv = {},
  main: URL = MAIN,
): Promise<TestApp> => startApp(nats, { app: 'pii-filter', main, instance }, { CALLBOARD_PSEUDONYM_KEY: KEY, ...env });

export interface RawOverrides extends Partial<Omit<SourcedEvent, 'attributes' | 'data'>> {
  attributes?: Partial<EventAttributes>;
  data?: unknown;
}

/** An event as an ingestor hands it over: its data as JSON, unless it is bytes. */
export function rawEvent({ attributes, data = {}, ...rest }: RawOverrides = {}): SourcedEvent {
  return {
    tenantId: 'acme',
    sourceName: 'github',
    key: 'acme/web',
    attributes: {
      id: randomUUID(),
      source: 'https://github.com/acme',
      type: 'github.push',
      datacontenttype: 'application/json',
      extensions: {},
      ...attributes,
    },
    data: data instanceof Uint8Array ? data : Buffer.from(JSON.stringify(data)),
    ...rest,
  };
}

export const nameOf = ({ tenantId, sourceName, attributes }: SourcedEvent) =>
  eventName(tenantId, sourceName, attributes);

/** Everything that a stream holds now, in order. */
export async function stored(jsm: JetStreamManager, stream: string): Promise<StoredMsg[]> {
  const all: StoredMsg[] = [];
  for (;;) {
    const some = await readSubject(jsm, stream, '>', all.at(-1)?.seq ?? 0, { timeoutMs: 30_000 });
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** Resolves when the filters are done with everything. */
export async function settled(jsm: JetStreamManager, timeoutMs = 60_000): Promise<void> {
  await waitFor(async () => (await jsm.streams.info(STREAM.eventsRaw)).state.messages === 0, {
    what: 'every raw event dealt with',
    timeoutMs,
  });
}
