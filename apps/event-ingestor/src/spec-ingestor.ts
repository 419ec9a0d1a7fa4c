/** For specs: the real ingestor as a process of its own, and what the filter would find of what it took. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  rawRequest,
  readRawEvents,
  requestBytes,
  type HttpAnswer,
  type HttpHeaders,
  type RawEvent,
  type TestNats,
} from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';

export const TOKEN = 'spec-token-0123456789';
export const OLD_TOKEN = 'spec-token-from-last-year';
export const GITHUB_SECRET = "It's a Secret to Everybody";
export const STANDARD_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

const SOURCES = `
sources:
  - { name: ci, type: cloudevents, tenant: acme, token: [{ env: SPEC_TOKEN }, { env: SPEC_OLD_TOKEN }] }
  - name: narrow
    type: cloudevents
    token: { env: SPEC_TOKEN }
    topics: ['com.example.build', 'com.example.deploy.*']
    key: [/build/pipeline, /build/number]
  - { name: hub, type: webhook, scheme: github, secret: [{ env: SPEC_NEW_SECRET }, { env: SPEC_GITHUB_SECRET }] }
  - { name: standard, type: webhook, scheme: standard-webhooks, secret: { env: SPEC_STANDARD_SECRET } }
`;

/** What the ingestor answers with. */
export interface Answered {
  events?: string[];
  code?: string;
  detail?: string;
  retryable?: boolean;
  results?: { status: number; event?: string; code?: string; message?: string }[];
}

export interface Stored extends RawEvent {
  text: string;
}

export interface SpecIngestor {
  process: ChildProcess;
  port: number;
  /** What it has logged. */
  log(): string;
  metric(line: RegExp): Promise<number>;
  readiness(): Promise<number>;
  /** POST, on a connection of its own. */
  post(path: string, headers: HttpHeaders, body: string | Buffer): Promise<HttpAnswer<Answered>>;
  /** A CloudEvent in structured mode to the source `ci`. */
  send(event: object): Promise<HttpAnswer<Answered>>;
  /** Resolves with how it ended. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Ingestors of one nats-server, with the sources above unless others are given. */
export class SpecIngestors {
  readonly #running = new Set<SpecIngestor>();

  private constructor(
    private readonly nats: TestNats,
    private readonly folder: string,
    private readonly filter: NatsConnection,
  ) {}

  static async open(nats: TestNats, sources = SOURCES): Promise<SpecIngestors> {
    const folder = await mkdtemp(join(tmpdir(), 'callboard-ingestor-'));
    await writeFile(join(folder, 'sources.yaml'), sources);
    return new SpecIngestors(nats, folder, await nats.connect('pii-filter'));
  }

  async start(env: NodeJS.ProcessEnv = {}): Promise<SpecIngestor> {
    const child = fork(new URL('./main.js', import.meta.url), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        ...process.env,
        CALLBOARD_NATS_URL: this.nats.url,
        CALLBOARD_NATS_CREDS: this.nats.credsFile('event-ingestor'),
        CALLBOARD_HTTP_PORT: '0',
        CALLBOARD_SOURCES: join(this.folder, 'sources.yaml'),
        SPEC_TOKEN: TOKEN,
        SPEC_OLD_TOKEN: OLD_TOKEN,
        SPEC_GITHUB_SECRET: GITHUB_SECRET,
        SPEC_NEW_SECRET: 'the one of next year',
        SPEC_STANDARD_SECRET: STANDARD_SECRET,
        ...env,
      },
    });
    let log = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text));
    const exited = once(child, 'close') as Promise<[number | null]>;
    const ready = once(child, 'message') as Promise<[{ ports: { http: number; ops: number } }]>;
    const first = await Promise.race([ready, exited]);
    if (typeof first[0] !== 'object' || first[0] === null) throw new Error(`the ingestor did not start: ${log}`);
    const { http: port, ops } = first[0].ports;
    const post = (path: string, headers: HttpHeaders, body: string | Buffer) =>
      rawRequest<Answered>(port, requestBytes('POST', path, headers, body));
    const ingestor: SpecIngestor = {
      process: child,
      port,
      log: () => log,
      metric: async (line) => {
        const text = await (await fetch(`http://127.0.0.1:${ops}/metrics`)).text();
        return Number(line.exec(text)?.[1] ?? 0);
      },
      readiness: async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).status,
      post,
      send: (event) =>
        post('/events/ci', STRUCTURED, JSON.stringify({ specversion: '1.0', source: '/spec', ...event })),
      end: async (signal) => {
        this.#running.delete(ingestor);
        child.kill(signal);
        return (await exited)[0];
      },
    };
    this.#running.add(ingestor);
    return ingestor;
  }

  /** All that is stored of a source, in the order of the stream. */
  async stored(source: string): Promise<Stored[]> {
    const stored = await readRawEvents(this.filter);
    return stored
      .filter((event) => event.source === source)
      .map((event) => ({ ...event, text: Buffer.from(event.data).toString() }));
  }

  /** What is stored under the CloudEvents id. */
  async find(source: string, id: string): Promise<Stored[]> {
    return (await this.stored(source)).filter(({ attributes }) => attributes.id === id);
  }

  async count(): Promise<number> {
    return (await readRawEvents(this.filter)).length;
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#running].map((ingestor) => ingestor.end('SIGKILL')));
    await rm(this.folder, { recursive: true, force: true });
  }
}

export const BEARER = { authorization: `Bearer ${TOKEN}` };
export const STRUCTURED: HttpHeaders = { ...BEARER, 'content-type': 'application/cloudevents+json' };
export const BATCHED: HttpHeaders = { ...BEARER, 'content-type': 'application/cloudevents-batch+json' };
