/**
 * For specs of sessions: replicas of the session layer on real ports, a real broker between them, and a runner whose actions the
 * test holds in its hand.
 */
import { HIDDEN_SAGAS } from '../sagas/saga-resources.js';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { ANONYMOUS, ServerSpec } from '@callboard/access';
import { ActionSet, Announcer, Catalog, type ActionContext, type ActionReturn } from '@callboard/actions';
import { actionId, parseEnvelope, type JsonObject, type Progress } from '@callboard/envelope';
import { Limit } from '@callboard/http';
import {
  AckedPublisher,
  BUCKET,
  CommandConsumer,
  KeyValueStore,
  OutcomePublisher,
  ProgressLog,
  type Delivery,
} from '@callboard/jetstream';
import { createLogger } from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import { StateSeal } from '../input-rounds.js';
import { McpServer } from '../mcp-server.js';
import { createServer } from '../server-factory.js';
import { patiently } from './event-log.js';
import { openAccess } from '../spec-access.js';
import { startEvents } from '../events/spec-events.js';
import { startInvoker } from '../spec-invoker.js';
import { SessionRouter, type SessionOptions } from './session-router.js';

/** The nats-server of a spec. */
export interface SpecNats {
  readonly url: string;
  credsFile(user: string): string;
  connect(user: string): Promise<NatsConnection>;
}

export const PARTITIONS = 4;
const SECRET = Buffer.alloc(32, 7);

/** Runs commands of the given actions, one after the other per key. */
export async function startSpecRunner(nats: SpecNats, actions: ActionSet): Promise<{ stop(): Promise<void> }> {
  const nc = await nats.connect('action-runner');
  const publisher = new AckedPublisher(nc);
  const outcomes = new OutcomePublisher(publisher, 'spec-runner');
  const progress = new ProgressLog(publisher);
  const rethrow = (error: unknown) => {
    throw error;
  };
  const store = await KeyValueStore.open(nc, BUCKET.actions);
  // A beat that fails is followed by another: nats-server may be away.
  const announcer = new Announcer(store, actions, { service: 'spec', instance: 'spec-runner' }, () => undefined);

  const handle = async ({ data, signal }: Delivery) => {
    const command = parseEnvelope(data);
    const { run } = actions.get(actionId(command))!;
    let told: Promise<void> = Promise.resolve();
    let n = 0;
    const tell = (fact: object) => {
      const whole = { correlation_id: command.correlation_id, attempt: 1, ...fact } as Progress;
      told = told.then(() => progress.publish(command, whole, ++n));
    };
    const context = {
      signal,
      correlationId: command.correlation_id,
      progress: (value: number, total?: number) => tell({ kind: 'progress', progress: value, ...(total && { total }) }),
      log: (level: string, line: unknown) => tell({ kind: 'log', level, data: line }),
      inputResponses: command.input_responses ?? {},
      requestState: command.request_state,
    } as unknown as ActionContext;
    const returned: ActionReturn = await run(command.args, context);
    await told;
    const result = typeof returned === 'string' ? { content: [{ type: 'text', text: returned }] } : returned;
    await outcomes.publish(command, { status: 'succeeded', result: result as JsonObject, attempts: 1 });
    return 'ended' as const;
  };
  const consumer = await CommandConsumer.start(nc, {
    instance: 'spec-runner',
    partitions: PARTITIONS,
    concurrencyPerPartition: 64,
    windowBytesPerPartition: 8 * 1024 * 1024,
    handle,
    onStuck: rethrow,
    onError: () => undefined,
  });
  await patiently(() => announcer.start());
  return {
    stop: async () => {
      await announcer.stop();
      await consumer.drain(500);
      publisher.close();
    },
  };
}

export interface SpecReplica {
  readonly url: string;
  readonly router: SessionRouter;
  readonly nc: NatsConnection;
  /** The sequence of the last event that it has heard of. */
  heard(): number;
  /** Stops as the app does. */
  stop(): Promise<void>;
  /** Is gone at once: no connection is ended in order, nothing is told to anyone. */
  vanish(): Promise<void>;
}

export interface SpecReplicaOptions extends Partial<SessionOptions> {
  maxRequests?: number;
  maxStreams?: number;
}

/** A replica in this process. Tenant and user of a request are in its headers `x-spec-tenant` and `x-spec-user`. */
export async function startReplica(
  nats: SpecNats,
  instance: string,
  { maxRequests = 100, maxStreams = 100, ...options }: SpecReplicaOptions = {},
): Promise<SpecReplica> {
  const nc = await nats.connect('mcp-frontend');
  const catalog = new Catalog(await KeyValueStore.open(nc, BUCKET.actions), () => undefined);
  await catalog.start();
  const events = await startEvents(nc);
  const { commands, invoker, tasks, audit } = await startInvoker(nc, { instance, events: events.calls });
  const parts = {
    server: new McpServer(new ServerSpec(''), catalog),
    access: (await openAccess()).access,
    invoker,
    tasks,
    events: events.resources,
    sagas: HIDDEN_SAGAS,
    eventsExtension: undefined,
    seal: new StateSeal(SECRET),
    audit,
    report: ({ error }: { error: unknown }) => log.error({ err: error }, 'fault'),
  };
  const log = createLogger('mcp-frontend', instance);
  const router = await SessionRouter.start({
    nc,
    instance,
    createServer,
    servers: new Map([['', parts]]),
    report: parts.report,
    requests: new Limit('session requests', maxRequests, 1_000),
    streams: new Limit('session streams', maxStreams, 1_000),
    log,
    options: { retryMs: 100, heartbeatMs: 300, heartbeatTtlMs: 1_000, drainMs: 300, ...options },
  });
  const http = createHttpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { 'x-spec-tenant': tenant, 'x-spec-user': user } = req.headers;
      const principal = {
        ...ANONYMOUS,
        tenantId: typeof tenant === 'string' ? tenant : ANONYMOUS.tenantId,
        userId: typeof user === 'string' ? user : ANONYMOUS.userId,
      };
      const text = Buffer.concat(chunks).toString();
      router.serve(req, res, principal, '', text === '' ? undefined : JSON.parse(text));
    });
  });
  const url = `http://127.0.0.1:${await listen(http)}/mcp`;
  const leave = async () => {
    events.stop();
    catalog.stop();
    await commands.close();
    await nc.close();
  };
  return {
    url,
    router,
    nc,
    heard: () => events.resources.position,
    stop: async () => {
      await router.close();
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeAllConnections();
      await closed;
      await leave();
    },
    vanish: async () => {
      await nc.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await router.close().catch(() => undefined);
      await leave().catch(() => undefined);
    },
  };
}

async function listen(http: Server): Promise<number> {
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return (http.address() as AddressInfo).port;
}

export interface FrontProcess {
  readonly url: string;
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

/** The real app in a process of its own. */
export async function startFrontProcess(nats: SpecNats, instance: string): Promise<FrontProcess> {
  const child: ChildProcess = fork(fileURLToPath(new URL('../main.js', import.meta.url)), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: [],
    env: {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile('mcp-frontend'),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_HTTP_PORT: '0',
      CALLBOARD_REQUEST_STATE_KEY: SECRET.toString('base64'),
      CALLBOARD_SESSION_RETRY_MS: '100',
      CALLBOARD_LOG_LEVEL: 'error',
    },
  });
  const exited = once(child, 'exit');
  const [ready] = (await Promise.race([once(child, 'message'), exited.then(() => [undefined])])) as [
    { ports: { http: number } } | undefined,
  ];
  if (!ready) throw new Error('the front end did not start');
  return {
    url: `http://127.0.0.1:${ready.ports.http}/mcp`,
    kill: async (signal) => {
      child.kill(signal);
      await exited;
    },
  };
}

export interface SseEvent {
  id?: string;
  data: string;
  retry?: number;
}

/** What came back: a stream of events, or one body. */
export class Answer {
  readonly #events: SseEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #paused: Promise<void> | undefined;
  readonly #aborting: AbortController;
  #text = '';

  private constructor(
    readonly response: Response,
    aborting: AbortController,
  ) {
    this.#aborting = aborting;
  }

  static async of(url: string, init: RequestInit): Promise<Answer> {
    const aborting = new AbortController();
    const answer = new Answer(await fetch(url, { ...init, signal: aborting.signal }), aborting);
    void answer.#read();
    return answer;
  }

  get status(): number {
    return this.response.status;
  }

  /** The body as JSON, once it is there. */
  async json(): Promise<JsonObject & { error?: { code: number; data?: JsonObject }; result?: JsonObject }> {
    while (!this.#ended) await this.#more();
    return JSON.parse(this.#text) as never;
  }

  /** The next event; `undefined` when the stream has ended. */
  async next(): Promise<SseEvent | undefined> {
    while (this.#events.length === 0 && !this.#ended) await this.#more();
    return this.#events.shift();
  }

  /** The next event with a message in it. */
  async nextMessage(): Promise<{ id: string | undefined; message: JsonObject } | undefined> {
    for (;;) {
      const event = await this.next();
      if (!event) return undefined;
      if (event.data !== '') return { id: event.id, message: JSON.parse(event.data) as JsonObject };
    }
  }

  /** All messages until the stream ends. */
  async messages(): Promise<{ id: string | undefined; message: JsonObject }[]> {
    const messages = [];
    for (let next = await this.nextMessage(); next; next = await this.nextMessage()) messages.push(next);
    return messages;
  }

  /** Reads nothing more from the connection until `resume`. */
  pause(): void {
    this.#paused = new Promise((resolve) => (this.resume = resolve));
  }

  resume: () => void = () => undefined;

  /** Cuts the connection, as a client does that loses its network. */
  cut(): void {
    this.#aborting.abort();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of this.response.body ?? []) {
        this.#text += decoder.decode(chunk as Uint8Array, { stream: true });
        if (this.response.headers.get('content-type') === 'text/event-stream') this.#split();
        this.#wake?.();
        await this.#paused;
      }
    } catch {
      // Cut, by us or by the other side.
    }
    this.#ended = true;
    this.#wake?.();
  }

  #split(): void {
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      const lines = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      if (lines.every((line) => line.startsWith(':'))) continue;
      const field = (name: string) =>
        lines
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trimStart();
      const [id, retry] = [field('id'), field('retry')];
      this.#events.push({
        data: field('data') ?? '',
        ...(id !== undefined && { id }),
        ...(retry !== undefined && { retry: Number(retry) }),
      });
    }
  }
}

type Headers = Record<string, string>;

/** A client that does nothing by itself. */
export class RawClient {
  sessionId = '';
  #lastId = 0;

  constructor(
    readonly revision: string = '2025-11-25',
    readonly headers: Headers = {},
  ) {}

  static async connect(
    url: string,
    options: { revision?: string; capabilities?: object; headers?: Headers } = {},
  ): Promise<RawClient> {
    const client = new RawClient(options.revision, options.headers);
    const answer = await client.initialize(url, options.capabilities);
    client.sessionId = answer.response.headers.get('mcp-session-id') ?? '';
    if (client.sessionId === '') throw new Error(`no session: ${answer.status} ${JSON.stringify(await answer.json())}`);
    await client.send(url, { jsonrpc: '2.0', method: 'notifications/initialized' });
    return client;
  }

  initialize(url: string, capabilities: object = {}): Promise<Answer> {
    const params = { protocolVersion: this.revision, capabilities, clientInfo: { name: 'spec', version: '1' } };
    return this.request(url, 'initialize', params);
  }

  request(url: string, method: string, params: object = {}, headers: Headers = {}): Promise<Answer> {
    return this.send(url, { jsonrpc: '2.0', id: ++this.#lastId, method, params }, headers);
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Calls a tool, and wants to hear of its progress. */
  call(url: string, name: string, args: object = {}, headers: Headers = {}): Promise<Answer> {
    const params = { name, arguments: args, _meta: { progressToken: `p${this.#lastId}` } };
    return this.request(url, 'tools/call', params, headers);
  }

  send(url: string, message: unknown, headers: Headers = {}): Promise<Answer> {
    const accept = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
    return Answer.of(url, {
      method: 'POST',
      headers: { ...accept, ...this.#common(), ...headers },
      body: JSON.stringify(message),
    });
  }

  get(url: string, lastEventId?: string, headers: Headers = {}): Promise<Answer> {
    const resume: Headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    return Answer.of(url, { headers: { accept: 'text/event-stream', ...this.#common(), ...resume, ...headers } });
  }

  delete(url: string): Promise<Answer> {
    return Answer.of(url, { method: 'DELETE', headers: this.#common() });
  }

  #common(): Headers {
    const session: Headers =
      this.sessionId === '' ? {} : { 'mcp-session-id': this.sessionId, 'mcp-protocol-version': this.revision };
    return { ...session, ...this.headers };
  }
}
