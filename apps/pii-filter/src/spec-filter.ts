/** What the specs of the filter share: the real app in a process of its own, raw events for it, and what becomes of them. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { eventName, type EventAttributes, type SourcedEvent } from '@callboard/events';
import { STREAM, readSubject } from '@callboard/jetstream';
import { waitFor, type TestNats } from '@callboard/testing';
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

export const MAIN = new URL('./main.js', import.meta.url);
export const KEY = randomBytes(32).toString('base64');

export interface StartedFilter {
  process: ChildProcess;
  opsPort: number;
  /** What it has printed. */
  output(): string;
  metrics(): Promise<string>;
  /** Ends it as the supervisor does, and resolves with its exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
}

export async function startFilter(
  nats: TestNats,
  instance: string,
  env: NodeJS.ProcessEnv = {},
  main: URL = MAIN,
): Promise<StartedFilter> {
  const child = fork(main, {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile('pii-filter'),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_PSEUDONYM_KEY: KEY,
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  const ready = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
  if (!ready) throw new Error(`the filter did not start:\n${output}`);
  const [{ ports }] = ready as [{ ports: { ops: number } }];
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    process: child,
    opsPort: ports.ops,
    output: () => output,
    metrics: async () => (await fetch(`http://127.0.0.1:${ports.ops}/metrics`)).text(),
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
  };
}

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
