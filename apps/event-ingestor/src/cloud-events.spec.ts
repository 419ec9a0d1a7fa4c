/** CloudEvents over HTTP, as the protocol's binding has them and as its SDK sends them, against the real process and a real server. */
import { randomUUID } from 'node:crypto';
import { GAP_TYPE } from '@callboard/events';
import { startTestNats, type HttpHeaders, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import { BATCHED, BEARER, OLD_TOKEN, STRUCTURED, SpecIngestors, TOKEN, type SpecIngestor } from './spec-ingestor.js';

let nats: TestNats;
let ingestors: SpecIngestors;
let ingestor: SpecIngestor;

beforeAll(async () => {
  nats = await startTestNats();
  ingestors = await SpecIngestors.open(nats);
  ingestor = await ingestors.start({ CALLBOARD_MAX_BATCH: '50', CALLBOARD_INGEST_TOKEN: TOKEN });
});
afterAll(async () => {
  await ingestors.dispose();
  await nats.dispose();
});

const EVENT = { specversion: '1.0', source: 'https://ci.example.com/builds', type: 'com.example.build' };
const event = (more: object = {}) => ({ ...EVENT, id: randomUUID(), ...more });
const binary = (more: HttpHeaders = {}): HttpHeaders => ({
  ...BEARER,
  'ce-specversion': '1.0',
  'ce-id': randomUUID(),
  'ce-source': '/spec',
  'ce-type': 'com.example.build',
  ...more,
});

describe('a CloudEvent', () => {
  it('in structured mode is stored with all that it says before it is answered', async () => {
    const sent = event({
      subject: 'pipeline/7',
      time: '2026-11-20T19:00:00Z',
      dataschema: 'https://example.com/schema',
      datacontenttype: 'application/json; charset=utf-8',
      traceid: 'abc',
      attempt: 2,
      final: true,
      nothing: null,
      data: { number: 7, ok: null, text: 'Zürich 🚂' },
    });
    const answer = await ingestor.post('/events/ci', STRUCTURED, JSON.stringify(sent));
    expect([answer.status, answer.headers['content-type']]).toEqual([202, 'application/json']);
    const [stored, ...more] = await ingestors.find('ci', sent.id);
    expect(more).toEqual([]);
    expect(stored).toMatchObject({
      tenantId: 'acme',
      source: 'ci',
      topic: 'com.example.build',
      key: 'pipeline/7',
      event: answer.json.events![0],
    });
    expect(stored!.attributes).toEqual({
      id: sent.id,
      source: EVENT.source,
      type: EVENT.type,
      subject: 'pipeline/7',
      time: '2026-11-20T19:00:00Z',
      dataschema: 'https://example.com/schema',
      datacontenttype: 'application/json; charset=utf-8',
      extensions: { traceid: 'abc', attempt: '2', final: 'true' },
    });
    expect(JSON.parse(stored!.text)).toEqual({ number: 7, ok: null, text: 'Zürich 🚂' });
  });

  it('in binary mode keeps its data byte by byte, and its headers are percent-decoded', async () => {
    const id = randomUUID();
    const body = Buffer.from('{"big": 12345678901234567890,\n "same": 1.0}');
    const answer = await ingestor.post(
      '/events/ci',
      binary({ 'ce-id': id, 'ce-subject': 'Z%C3%BCrich%20%22Hbf%22', 'content-type': 'application/json' }),
      body,
    );
    expect(answer.status).toBe(202);
    const [stored] = await ingestors.find('ci', id);
    expect(stored!.attributes).toMatchObject({ subject: 'Zürich "Hbf"', datacontenttype: 'application/json' });
    expect(stored!.data).toEqual(new Uint8Array(body));
  });

  it('in binary mode may be written by an older sender, as a quoted string, and may have no data', async () => {
    const id = randomUUID();
    const headers = binary({ 'ce-id': id, 'ce-subject': '"a \\"quoted\\" one"' });
    expect((await ingestor.post('/events/ci', headers, '')).status).toBe(202);
    const [stored] = await ingestors.find('ci', id);
    expect([stored!.attributes.subject, stored!.text]).toEqual(['a "quoted" one', '']);
  });

  it.each([
    ['text', { datacontenttype: 'text/plain', data: 'hello' }, Buffer.from('hello')],
    ['a JSON text', { data: 'hello' }, Buffer.from('"hello"')],
    ['null', { datacontenttype: 'application/json', data: null }, Buffer.from('null')],
    ['binary', { datacontenttype: 'image/png', data_base64: 'iVBORw0KGgo=' }, Buffer.from('iVBORw0KGgo=', 'base64')],
    ['nothing', {}, Buffer.alloc(0)],
  ])('may carry %s', async (_, more, data) => {
    const sent = event(more);
    expect((await ingestor.send(sent)).status).toBe(202);
    expect((await ingestors.find('ci', sent.id))[0]!.data).toEqual(new Uint8Array(data));
  });

  it.each(['structured', 'binary'] as const)('as the SDK writes it in %s mode arrives whole', async (mode) => {
    const sent = new CloudEvent({
      id: randomUUID(),
      source: '/sdk',
      type: 'com.example.sdk',
      subject: 'something',
      time: '2026-11-20T19:00:00.000Z',
      extension: 'more',
      data: { a: [1, 2, 3] },
    });
    const { headers, body } = HTTP[mode](sent);
    expect((await ingestor.post('/events/ci', { ...BEARER, ...(headers as HttpHeaders) }, String(body))).status).toBe(
      202,
    );
    const [stored] = await ingestors.find('ci', sent.id);
    expect(stored!.attributes).toMatchObject({
      source: '/sdk',
      type: 'com.example.sdk',
      subject: 'something',
      time: '2026-11-20T19:00:00.000Z',
      extensions: { extension: 'more' },
    });
    expect(JSON.parse(stored!.text)).toEqual({ a: [1, 2, 3] });
  });

  it('that is sent again is answered as before and stored once', async () => {
    const sent = event({ data: { n: 1 } });
    const answers = [await ingestor.send(sent), await ingestor.send(sent), await ingestor.send(sent)];
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(await ingestors.find('ci', sent.id)).toHaveLength(1);
    expect(await ingestor.metric(/^callboard_ingest_events_total\{source="ci",outcome="known"\} (\d+)$/m)).toBe(2);
  });

  it.each([
    ['a key of its own', { partitionkey: 'p-1', subject: 's' }, 'p-1'],
    ['its subject', { subject: 's' }, 's'],
    ['the entity that it is about', { data: { entityRef: 'component:default/web' } }, 'component:default/web'],
    ['its type', { data: 'x' }, 'com.example.build'],
  ])('keeps its order with %s', async (_, more, key) => {
    const sent = event(more);
    await ingestor.send(sent);
    expect((await ingestors.find('ci', sent.id))[0]!.key).toBe(key);
  });

  it('has the ordering key that its source is configured to take from the data', async () => {
    const keyOf = async (data: object) => {
      const sent = event({ subject: 'other', data });
      expect((await ingestor.post('/events/narrow', STRUCTURED, JSON.stringify(sent))).status).toBe(202);
      return (await ingestors.find('narrow', sent.id))[0]!.key;
    };
    expect(await keyOf({ build: { pipeline: 'web', number: 7 } })).toBe('web');
    expect(await keyOf({ build: { number: 7 } })).toBe('7');
    expect(await keyOf({ build: 'none' })).toBe('other');
  });
});

describe('a batch', () => {
  it('is stored in its order, whatever the key', async () => {
    const sent = Array.from({ length: 50 }, (_, i) => event({ subject: `batch-${i % 3}`, data: i }));
    const answer = await ingestor.post('/events/ci', BATCHED, JSON.stringify(sent));
    expect(answer.status).toBe(202);
    const stored = (await ingestors.stored('ci')).filter(({ key }) => key.startsWith('batch-'));
    expect(answer.json.events).toHaveLength(50);
    expect(new Set(stored.map(({ event: name }) => name))).toEqual(new Set(answer.json.events));
    for (const key of ['batch-0', 'batch-1', 'batch-2']) {
      const numbers = stored.filter((each) => each.key === key).map(({ text }) => Number(text));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
  });

  it('may be empty', async () => {
    const answer = await ingestor.post('/events/ci', BATCHED, '[]');
    expect([answer.status, answer.json]).toEqual([202, { events: [] }]);
  });

  it('with events that cannot be taken says of each what became of it, and stores the others', async () => {
    const good = [event(), event()];
    const large = event({ datacontenttype: 'text/plain', data: 'x'.repeat(1024 * 1024) });
    const batch = [good[0], { ...event(), type: '' }, large, 'no event', good[1]];
    const answer = await ingestor.post('/events/ci', BATCHED, JSON.stringify(batch));
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_event']);
    expect(answer.json.results!.map(({ status, code }) => code ?? status)).toEqual([
      202,
      'invalid_event',
      'payload_too_large',
      'invalid_event',
      202,
    ]);
    for (const { id } of good) expect(await ingestors.find('ci', id)).toHaveLength(1);
  });

  it('that is sent again stores what is missing', async () => {
    const [first, second] = [event(), event()];
    await ingestor.send(first);
    const answers = await Promise.all([
      ingestor.post('/events/ci', BATCHED, JSON.stringify([first, second])),
      ingestor.post('/events/ci', BATCHED, JSON.stringify([first, second])),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    expect(answers[0]!.json).toEqual(answers[1]!.json);
    for (const { id } of [first, second]) expect(await ingestors.find('ci', id)).toHaveLength(1);
  });

  it('of too many events is refused as a whole', async () => {
    const before = await ingestors.count();
    const answer = await ingestor.post(
      '/events/ci',
      BATCHED,
      JSON.stringify(Array.from({ length: 51 }, () => event())),
    );
    expect([answer.status, answer.json.code]).toEqual([413, 'payload_too_large']);
    expect(await ingestors.count()).toBe(before);
  });
});

describe('a refusal', () => {
  const SECRET = 'hunter2';
  const json = (more: object) => JSON.stringify(event(more));
  const deep = `${'['.repeat(70)}1${']'.repeat(70)}`;
  const refused: [string, number, string, HttpHeaders, string | Buffer][] = [
    ['no token', 401, 'unauthorized', { ...STRUCTURED, authorization: undefined }, json({})],
    ['a wrong token', 401, 'unauthorized', { ...STRUCTURED, authorization: `Bearer ${SECRET}` }, json({})],
    ['another scheme', 401, 'unauthorized', { ...STRUCTURED, authorization: `Basic ${TOKEN}` }, json({})],
    ['no CloudEvent', 415, 'invalid_request', { ...BEARER, 'content-type': 'application/json' }, json({})],
    ['another format', 415, 'invalid_request', { ...BEARER, 'content-type': 'application/cloudevents+xml' }, '<a/>'],
    [
      'another charset',
      415,
      'invalid_request',
      { ...STRUCTURED, 'content-type': 'application/cloudevents+json; charset=latin1' },
      json({}),
    ],
    ['a compressed body', 415, 'invalid_request', { ...STRUCTURED, 'content-encoding': 'gzip' }, json({})],
    ['no JSON', 400, 'invalid_request', STRUCTURED, `{"${SECRET}"`],
    ['no UTF-8', 400, 'invalid_request', STRUCTURED, Buffer.from([0x7b, 0xff, 0x7d])],
    ['deep nesting', 400, 'invalid_request', STRUCTURED, `{"data":${deep}}`],
    ['deep nesting in binary mode', 400, 'invalid_event', binary(), deep],
    [
      'JSON that is none, in binary mode',
      400,
      'invalid_event',
      binary({ 'content-type': 'application/json' }),
      `{${SECRET}`,
    ],
    ['no object', 400, 'invalid_event', STRUCTURED, '[]'],
    ['a batch that is none', 400, 'invalid_request', BATCHED, '{}'],
    ['another version', 400, 'invalid_event', STRUCTURED, json({ specversion: '0.3' })],
    ['no id', 400, 'invalid_event', STRUCTURED, json({ id: undefined })],
    ['an empty id', 400, 'invalid_event', STRUCTURED, json({ id: '' })],
    ['a long subject', 400, 'invalid_event', STRUCTURED, json({ subject: SECRET.repeat(500) })],
    ['a type that is none', 400, 'invalid_event', STRUCTURED, json({ type: `${SECRET} ${SECRET}` })],
    ['a time that is none', 400, 'invalid_event', STRUCTURED, json({ time: SECRET })],
    ['an attribute with a bad name', 400, 'invalid_event', STRUCTURED, json({ Hunter2: 'x' })],
    ['an attribute that is an object', 400, 'invalid_event', STRUCTURED, json({ extension: { SECRET } })],
    ['control characters', 400, 'invalid_event', STRUCTURED, json({ subject: `a\r\nce-id: ${SECRET}` })],
    ['base64 that is none', 400, 'invalid_event', STRUCTURED, json({ data_base64: `${SECRET}!` })],
    ['data twice', 400, 'invalid_event', STRUCTURED, json({ data: 1, data_base64: 'AAAA' })],
    [
      'data that is no text',
      400,
      'invalid_event',
      STRUCTURED,
      json({ datacontenttype: 'text/plain', data: { SECRET } }),
    ],
    ['a header that is there twice', 400, 'invalid_event', binary({ 'ce-id': ['a', 'b'] }), ''],
    ['a header that is not ASCII', 400, 'invalid_event', binary({ 'ce-subject': 'Zürich' }), ''],
    ['data that is too large', 413, 'payload_too_large', STRUCTURED, json({ data: 'x'.repeat(1024 * 1024) })],
    [
      'data that is too large, in binary mode',
      413,
      'payload_too_large',
      binary({ 'content-type': 'text/plain' }),
      Buffer.alloc(1024 * 1024, 'x'),
    ],
  ];

  it.each(refused)(
    'of %s has status %i and the code %s, repeats nothing and stores nothing',
    async (_, status, code, headers, body) => {
      const before = await ingestors.count();
      const answer = await ingestor.post('/events/ci', headers, body);
      expect([answer.status, answer.json.code, answer.headers['content-type']]).toEqual([
        status,
        code,
        'application/problem+json',
      ]);
      expect(answer.text).not.toContain(SECRET);
      expect(await ingestors.count()).toBe(before);
    },
  );

  it('of a body over the limit comes before the body', async () => {
    const answer = await ingestor.post('/events/ci', { ...STRUCTURED, 'content-length': '5000000' }, '');
    expect([answer.status, answer.json.code]).toEqual([413, 'payload_too_large']);
  });

  it('of a topic that the source may not send is forbidden; one within its list is taken', async () => {
    const send = async (type: string) =>
      (await ingestor.post('/events/narrow', STRUCTURED, JSON.stringify(event({ type })))).status;
    expect(await send('com.example.deploy.web')).toBe(202);
    expect(await send('com.example.build')).toBe(202);
    expect(await send('com.example.builder')).toBe(403);
    expect(await send('org.example.build')).toBe(403);
  });

  it('of what only Callboard itself may say is forbidden', async () => {
    const answer = await ingestor.send(event({ type: GAP_TYPE }));
    expect([answer.status, answer.json.code]).toEqual([403, 'forbidden']);
  });

  it.each([
    ['POST', '/events/nobody', 404],
    ['POST', '/events/hub', 404],
    ['POST', '/webhooks/ci', 404],
    ['POST', '/events', 404],
    ['POST', '/else', 404],
    ['POST', '/events/ci/more', 404],
    ['GET', '/events/ci', 405],
  ])('%s %s is answered with %i', async (method, path, status) => {
    const answer = await fetch(`http://127.0.0.1:${ingestor.port}${path}`, { method, headers: BEARER });
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ status });
  });

  it('is counted by source and code', async () => {
    expect(
      await ingestor.metric(/^callboard_ingest_events_total\{source="ci",outcome="invalid_event"\} (\d+)$/m),
    ).toBeGreaterThan(10);
    expect(await ingestor.metric(/^callboard_ingest_events_total\{source="ci",outcome="unauthorized"\} (\d+)$/m)).toBe(
      3,
    );
    expect(
      await ingestor.metric(/^callboard_ingest_events_total\{source="-",outcome="not_found"\} (\d+)$/m),
    ).toBeGreaterThan(3);
  });

  it('puts nothing of what was sent into the log', () => {
    expect(ingestor.log()).not.toContain(SECRET);
    expect(ingestor.log()).not.toContain(TOKEN);
  });
});

describe('a token', () => {
  it('that is being replaced is good beside the new one', async () => {
    const headers = { ...STRUCTURED, authorization: `bearer  ${OLD_TOKEN}` };
    expect((await ingestor.post('/events/ci', headers, JSON.stringify(event()))).status).toBe(202);
  });

  it('of CALLBOARD_INGEST_TOKEN opens the source local, of the default tenant', async () => {
    const sent = event();
    expect((await ingestor.post('/events/local', STRUCTURED, JSON.stringify(sent))).status).toBe(202);
    expect(await ingestors.find('local', sent.id)).toMatchObject([{ tenantId: 'default' }]);
  });
});

describe('a server with one source', () => {
  it.each(['/', '/events', '/events/', '/events?a=b'])('takes its events at %s', async (path) => {
    const only = await ingestors.start({ CALLBOARD_SOURCES: '', CALLBOARD_INGEST_TOKEN: TOKEN });
    const sent = event();
    expect((await only.post(path, STRUCTURED, JSON.stringify(sent))).status).toBe(202);
    expect(await ingestors.find('local', sent.id)).toHaveLength(1);
    expect(await only.end('SIGTERM')).toBe(0);
  });
});
