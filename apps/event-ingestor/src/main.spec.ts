/** The real process: what it promises when it, its server or its senders fail. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { readAudit, startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { BATCHED, BEARER, STRUCTURED, SpecIngestors, TOKEN } from './spec-ingestor.js';

const PATIENT_MS = 60_000;
/** With which it waits as long as the spec does. */
const PATIENT = { CALLBOARD_STORE_TIMEOUT_MS: String(PATIENT_MS), CALLBOARD_DRAIN_TIMEOUT_MS: String(PATIENT_MS) };

let nats: TestNats;
let ingestors: SpecIngestors;

beforeAll(async () => {
  nats = await startTestNats();
});
beforeEach(async () => {
  ingestors = await SpecIngestors.open(nats);
});
afterEach(() => ingestors.dispose());
afterAll(() => nats.dispose());

const event = (more: object = {}) => ({ id: randomUUID(), type: 'com.example.build', ...more });

/** A way to the server that can keep the server's answers to itself. */
class HeldAnswers {
  readonly #sockets = new Set<Socket>();
  #held: (() => void)[] | undefined;

  private constructor(private readonly server: Server) {}

  static async open(to: string): Promise<HeldAnswers> {
    const { port, hostname } = new URL(to);
    const server = createServer();
    const way = new HeldAnswers(server);
    server.on('connection', (client) => {
      const upstream = connect(Number(port), hostname);
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        way.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => other.destroy());
      }
      client.on('data', (bytes) => upstream.write(bytes));
      upstream.on('data', (bytes) => {
        if (way.#held) way.#held.push(() => client.write(bytes));
        else client.write(bytes);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return way;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    for (const pass of this.#held ?? []) pass();
    this.#held = undefined;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe('an event', () => {
  it('that several replicas are given at once is stored once, and answered by all', async () => {
    const replicas = await Promise.all([ingestors.start(), ingestors.start()]);
    const sent = Array.from({ length: 20 }, () => event());
    const answers = await Promise.all(
      sent.map((each) => Promise.all([...replicas, ...replicas].map((replica) => replica.send(each)))),
    );
    for (const [i, fates] of answers.entries()) {
      expect(fates.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
      expect(new Set(fates.map(({ text }) => text)).size).toBe(1);
      expect(await ingestors.find('ci', sent[i]!.id)).toHaveLength(1);
    }
  });

  it('that was stored by a process which died before it answered is known to the next', async () => {
    const way = await HeldAnswers.open(nats.url);
    const first = await ingestors.start({ CALLBOARD_NATS_URL: way.url, ...PATIENT });
    const sent = event();
    way.hold();
    const answer = first.send(sent);
    await waitFor(async () => (await ingestors.find('ci', sent.id)).length === 1, {
      what: 'the event stored',
      timeoutMs: PATIENT_MS,
    });
    await first.end('SIGKILL');
    expect((await answer).status).toBe(0);
    const second = await ingestors.start();
    expect((await second.send(sent)).status).toBe(202);
    expect(await second.metric(/^callboard_ingest_events_total\{source="ci",outcome="known"\} (\d+)$/m)).toBe(1);
    expect(await ingestors.find('ci', sent.id)).toHaveLength(1);
    await way.close();
  });

  it('is never answered before it is stored: with the server away its sender is asked to repeat it, and that is harmless', async () => {
    const ingestor = await ingestors.start({ CALLBOARD_STORE_TIMEOUT_MS: '500' });
    const sent = event();
    nats.freeze();
    const answer = await ingestor.send(sent);
    expect([answer.status, answer.json.code, answer.json.retryable]).toEqual([503, 'unavailable', true]);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    nats.thaw();
    await waitFor(async () => (await ingestor.send(sent)).status === 202, {
      what: 'the event taken',
      timeoutMs: PATIENT_MS,
    });
    expect(await ingestors.find('ci', sent.id)).toHaveLength(1);
  });

  it('keeps its order in its key, from request to request, through a crash of the server', async () => {
    const ingestor = await ingestors.start({ CALLBOARD_STORE_TIMEOUT_MS: '20000' });
    const key = randomUUID();
    const send = (i: number) => ingestor.send(event({ subject: key, data: i }));
    let crashed: Promise<void> | undefined;
    for (let i = 0; i < 60; i++) {
      if (i === 30) crashed = nats.crash();
      expect((await send(i)).status).toBe(202);
    }
    await crashed;
    // What is not waited for has the order in which it is taken.
    await Promise.all(Array.from({ length: 20 }, (_, i) => send(60 + i)));
    const stored = (await ingestors.stored('ci')).filter((each) => each.key === key).map(({ text }) => Number(text));
    expect(stored.slice(0, 60)).toEqual(Array.from({ length: 60 }, (_, i) => i));
    expect(stored.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i));
  });
});

describe('a stream that is full', () => {
  let small: TestNats;
  let others: SpecIngestors;
  beforeAll(async () => {
    small = await startTestNats({ topology: { maxBytes: 1024 * 1024 } });
    others = await SpecIngestors.open(small);
  });
  afterAll(async () => {
    await others.dispose();
    await small.dispose();
  });

  it('takes no event that would overtake one of its key that did not fit, and holds back no other', async () => {
    const ingestor = await others.start();
    await ingestor.send(event({ data: 'x'.repeat(600_000) }));
    const batch = [
      { subject: 'a', data: 'x'.repeat(600_000) },
      { subject: 'a', data: 'small' },
      { subject: 'b', data: 'small' },
    ].map((each) => ({ specversion: '1.0', source: '/spec', ...event(each) }));
    const answer = await ingestor.post('/events/ci', BATCHED, JSON.stringify(batch));
    expect([answer.status, answer.json.code]).toEqual([503, 'overloaded']);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(answer.json.results!.map(({ status, code }) => code ?? status)).toEqual(['overloaded', 'overloaded', 202]);
    expect((await others.stored('ci')).map(({ key }) => key)).toEqual(['com.example.build', 'b']);
  });
});

describe('the process', () => {
  it('is not ready while its server is away, and is again when that is back', async () => {
    const ingestor = await ingestors.start();
    expect(await ingestor.readiness()).toBe(200);
    const crashed = nats.crash();
    await waitFor(async () => (await ingestor.readiness()) === 503, {
      what: 'the ingestor not ready',
      timeoutMs: PATIENT_MS,
    });
    await crashed;
    await waitFor(async () => (await ingestor.readiness()) === 200, {
      what: 'the ingestor ready again',
      timeoutMs: PATIENT_MS,
    });
  });

  it('that is told to stop answers what it has begun, takes nothing more, and exits with 0', async () => {
    const way = await HeldAnswers.open(nats.url);
    const ingestor = await ingestors.start({ CALLBOARD_NATS_URL: way.url, ...PATIENT });
    const sent = event();
    way.hold();
    const answer = ingestor.send(sent);
    await waitFor(async () => (await ingestors.find('ci', sent.id)).length === 1, {
      what: 'the event stored',
      timeoutMs: PATIENT_MS,
    });
    const ended = ingestor.end('SIGTERM');
    // Not by an event: one that is still taken would wait for its answer as the first does.
    await waitFor(() => isRefused(ingestor.port), { what: 'no more connections', timeoutMs: PATIENT_MS });
    way.release();
    expect((await answer).status).toBe(202);
    expect(await ended).toBe(0);
    await way.close();
  });

  it('without a source to take events from says so, and does not start', async () => {
    await expect(ingestors.start({ CALLBOARD_SOURCES: '' })).rejects.toThrow('set CALLBOARD_SOURCES or');
  });

  it('with an ingest token that is too short says which variable it is, and not what it holds', async () => {
    const start = ingestors.start({ CALLBOARD_INGEST_TOKEN: 'hunter2' });
    await expect(start).rejects.toThrow('CALLBOARD_INGEST_TOKEN');
    await expect(start).rejects.not.toThrow('hunter2');
  });
});

describe('a request that is refused', () => {
  it('is on record, with its source and code and nothing of what it said', async () => {
    const sre = await jetstreamManager(await nats.connect('sre'));
    const before = (await readAudit(sre)).length;
    const ingestor = await ingestors.start({ CALLBOARD_MAX_REQUESTS: '1' });
    const wrong = { ...STRUCTURED, authorization: `Bearer ${MARK}` };
    await ingestor.post('/events/ci', wrong, JSON.stringify(event()));
    await ingestor.post('/webhooks/hub', { 'content-type': 'application/json' }, `{"x":"${MARK}"}`);
    await ingestor.post(`/events/${MARK}`, STRUCTURED, '{}');
    await ingestor.post('/events/ci', STRUCTURED, `{"x":"${MARK}`);
    await ingestor.post('/events/ci', { ...BEARER, 'content-type': 'text/plain' }, MARK);
    await ingestor.post('/events/ci', STRUCTURED, `{"data":"${MARK.repeat(700_000)}"}`);
    const other = { specversion: '1.0', source: '/spec', id: MARK, type: 'com.example.other' };
    await ingestor.post('/events/narrow', STRUCTURED, JSON.stringify(other));
    const batch = [event(), { id: MARK }, { id: MARK }].map((each) => ({ specversion: '1.0', source: '/x', ...each }));
    await ingestor.post('/events/ci', BATCHED, JSON.stringify(batch));
    const socket = connect(ingestor.port, '127.0.0.1').on('error', () => undefined);
    socket.write(
      `POST /events/ci HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 9\r\n\r\n{`,
    );
    await waitFor(async () => (await ingestor.metric(/^callboard_requests_open (\d+)$/m)) === 1, {
      what: 'all the room taken',
      timeoutMs: PATIENT_MS,
    });
    await ingestor.send(event());
    socket.destroy();
    const refused = async () =>
      (await readAudit(sre)).slice(before).filter(({ kind }) => kind !== 'event' && kind !== 'configuration');
    await waitFor(async () => (await refused()).length === 9, { what: 'nine records', timeoutMs: PATIENT_MS });
    const records = await refused();
    const told = records.map(({ kind, what, code, tenant_id: tenant, details }) =>
      [kind, what, code, tenant, details?.['source'], details?.['status']].join(' '),
    );
    expect(told.sort()).toEqual([
      'authentication refused invalid_signature default hub 401',
      'authentication refused unauthorized acme ci 401',
      'denial refused forbidden default narrow 403',
      'limit refused overloaded acme ci 503',
      'malformed refused invalid_event acme ci 400',
      'malformed refused invalid_request acme ci 400',
      'malformed refused invalid_request acme ci 415',
      'malformed refused not_found   404',
      'malformed refused payload_too_large acme ci 413',
    ]);
    expect(records.every(({ personal }) => personal.address !== undefined)).toBe(true);
    expect(JSON.stringify(records)).not.toContain(MARK);
  });
});

describe('a flood', () => {
  const MALFORMED = 10_000;
  const AT_ONCE = 64;
  /** Far above what it needs, far below what the bodies of all these requests would be together. */
  const MAX_RSS = 400 * 1024 * 1024;

  it('of malformed requests stores nothing, fills neither memory nor log, and keeps nobody else out', async () => {
    const ingestor = await ingestors.start();
    const before = await ingestors.count();
    const statuses = new Map<number, number>();
    const url = `http://127.0.0.1:${ingestor.port}/events/ci`;
    let sent = 0;
    const attack = async () => {
      while (sent < MALFORMED) {
        const { headers, body } = malformed(sent++);
        const answer = await fetch(url, { method: 'POST', headers, body });
        await answer.arrayBuffer();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      }
    };
    const floods = Array.from({ length: AT_ONCE }, attack);
    expect((await ingestor.send(event())).status).toBe(202);
    await Promise.all(floods);
    // Those with a wrong token are soon too many; those with the right one are still looked at.
    expect([...statuses.keys()].sort()).toEqual([400, 401, 413, 415, 429]);
    expect((await ingestor.send(event())).status).toBe(202);
    expect(await ingestors.count()).toBe(before + 2);
    expect(await ingestor.metric(/^process_resident_memory_bytes (\d+)$/m)).toBeLessThan(MAX_RSS);
    expect(ingestor.log()).not.toContain(MARK);
    expect(ingestor.log().length).toBeLessThan(10_000);
    // Of kinds and codes there are few; a busy machine may take some minutes for all of them.
    const records = await ingestor.metric(/^callboard_audit_records_total\{what="recorded"\} (\d+)$/m);
    const counted = await ingestor.metric(/^callboard_audit_records_total\{what="counted"\} (\d+)$/m);
    expect(counted).toBeGreaterThan(10 * records);
  }, 300_000);

  it('of senders that never end their bodies is cut off, and refused beyond what there is room for', async () => {
    const ingestor = await ingestors.start({ CALLBOARD_MAX_REQUESTS: '20', CALLBOARD_REQUEST_TIMEOUT_MS: '4000' });
    const answers = new Map<number, string>();
    const head = `POST /events/ci HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 1000\r\n\r\n{`;
    const closed = Array.from({ length: 60 }, async (_, i) => {
      const socket = connect(ingestor.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.once('data', (bytes) => answers.set(i, bytes.toString('latin1')));
      socket.write(head);
      await once(socket, 'close');
    });
    await waitFor(() => answers.size === 40, { what: 'the refusals', timeoutMs: PATIENT_MS });
    for (const text of answers.values()) expect(text).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 1\r\n/);
    expect(await ingestor.metric(/^callboard_requests_open (\d+)$/m)).toBe(20);
    await Promise.all(closed);
    expect([...answers.values()].slice(40).map((text) => text.slice(0, 12))).toEqual(Array(20).fill('HTTP/1.1 408'));
    expect((await ingestor.send(event())).status).toBe(202);
  });

  it('of webhooks that nobody has signed yet keeps out no sender with a token', async () => {
    const ingestor = await ingestors.start({ CALLBOARD_MAX_REQUESTS: '5' });
    const sockets = Array.from({ length: 10 }, () => {
      const socket = connect(ingestor.port, '127.0.0.1').on('error', () => undefined);
      socket.write(
        'POST /webhooks/hub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      );
      return socket;
    });
    await waitFor(async () => (await ingestor.metric(/^callboard_webhooks_open (\d+)$/m)) === 5, {
      what: 'all the room of webhooks taken',
      timeoutMs: PATIENT_MS,
    });
    expect((await ingestor.send(event())).status).toBe(202);
    expect((await ingestor.post('/webhooks/hub', { 'content-type': 'application/json' }, '{}')).status).toBe(503);
    for (const socket of sockets) socket.destroy();
  });

  it('of bytes is refused beyond what there is room for', async () => {
    const ingestor = await ingestors.start({ CALLBOARD_MAX_REQUEST_BYTES: String(1024 * 1024) });
    const socket = connect(ingestor.port, '127.0.0.1');
    const head = Object.entries({ ...STRUCTURED, host: 'x', 'content-length': '900000' });
    socket.write(
      `POST /events/ci HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${String(value)}`).join('\r\n')}\r\n\r\n`,
    );
    socket.write('x'.repeat(800_000));
    await waitFor(async () => (await ingestor.metric(/^callboard_request_bytes_open (\d+)$/m)) === 800_000, {
      what: 'the bytes of one held',
    });
    const answer = await ingestor.send(event({ data: 'x'.repeat(500_000) }));
    expect([answer.status, answer.json.code]).toEqual([503, 'overloaded']);
    socket.destroy();
    await waitFor(async () => (await ingestor.metric(/^callboard_request_bytes_open (\d+)$/m)) === 0, {
      what: 'the bytes given back',
    });
    expect((await ingestor.send(event({ data: 'x'.repeat(500_000) }))).status).toBe(202);
  });
});

const MARK = 'hunter2';

/** The i-th of endlessly many requests that no ingestor may take. */
function malformed(i: number): { headers: Record<string, string>; body: string | Uint8Array } {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/cloudevents+json' };
  const good = JSON.stringify({ specversion: '1.0', source: '/spec', ...event({ data: MARK }) });
  const batched = { ...headers, 'content-type': 'application/cloudevents-batch+json' };
  const binary = { authorization: headers.authorization, 'ce-specversion': '1.0', 'ce-id': MARK, 'ce-type': 't' };
  const depth = 65 + (i % 20_000);
  const cases: (() => [object, string | Uint8Array])[] = [
    () => [headers, good.slice(0, 1 + (i % (good.length - 1)))],
    () => [headers, Uint8Array.from({ length: 1 + (i % 500) }, (_, n) => 128 + ((i * n) % 128))],
    () => [headers, `{"data":${'['.repeat(depth)}${']'.repeat(depth)}}`],
    () => [headers, '{"a":'.repeat(depth)],
    () => [headers, JSON.stringify({ specversion: '1.0', id: MARK, source: '/x', type: 't', [`${MARK}_${i}`]: 1 })],
    () => [headers, JSON.stringify({ specversion: '1.0', id: MARK, source: '/x', type: ' '.repeat(i % 5_000) })],
    () => [headers, JSON.stringify({ specversion: '1.0', id: MARK.repeat(200 + (i % 100)), source: '/x', type: 't' })],
    () => [
      headers,
      JSON.stringify({
        specversion: '1.0',
        id: 'i',
        source: '/x',
        type: 't',
        data_base64: `${MARK}!`.repeat((i % 50) + 1),
      }),
    ],
    () => [headers, `"${MARK.repeat(i % 1_000)}"`],
    () => [batched, JSON.stringify(Array.from({ length: 1_001 }, () => 1))],
    () => [batched, JSON.stringify([{ specversion: i }, null, [MARK], MARK])],
    () => [binary, MARK],
    () => [{ ...binary, 'ce-source': '/x', 'content-type': 'application/json' }, `{${MARK}`],
    () => [{ ...headers, authorization: `Bearer ${MARK}${i}` }, good],
    () => [{ ...headers, 'content-type': `application/${MARK}` }, good],
    () => [
      headers,
      i % 500 === 0 ? `{"data":"${MARK.repeat(700_000)}"}` : `{"__proto__":{"specversion":"1.0","id":"${i}"}}`,
    ],
  ];
  const [more, body] = cases[i % cases.length]!();
  return { headers: more as Record<string, string>, body };
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
      .once('connect', () => {
        socket.destroy();
        resolve(false);
      })
      .once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
