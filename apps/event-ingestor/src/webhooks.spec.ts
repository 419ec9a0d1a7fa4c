/** Signed webhooks, signed by the libraries of both schemes, against the real process and a real server. */
import { randomUUID } from 'node:crypto';
import { sign } from '@octokit/webhooks-methods';
import { startTestNats, type HttpHeaders, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { GITHUB_SECRET, STANDARD_SECRET, SpecIngestors, type SpecIngestor } from './spec-ingestor.js';

let nats: TestNats;
let ingestors: SpecIngestors;
let ingestor: SpecIngestor;

beforeAll(async () => {
  nats = await startTestNats();
  ingestors = await SpecIngestors.open(nats);
  ingestor = await ingestors.start();
});
afterAll(async () => {
  await ingestors.dispose();
  await nats.dispose();
});

const PUSH = JSON.stringify({ ref: 'refs/heads/main', repository: { full_name: 'acme/web' }, head: 'Zürich' });

async function refuses(path: string, headers: HttpHeaders, body: string | Buffer, [status, code]: [number, string]) {
  const before = await ingestors.count();
  const answer = await ingestor.post(path, headers, body);
  expect([answer.status, answer.json.code]).toEqual([status, code]);
  expect(await ingestors.count()).toBe(before);
  return answer;
}

describe('a webhook of GitHub', () => {
  const deliver = async (body: string, more: HttpHeaders = {}, secret = GITHUB_SECRET): Promise<HttpHeaders> => ({
    'content-type': 'application/json',
    'x-github-event': 'push',
    'x-github-delivery': randomUUID(),
    'x-hub-signature-256': await sign(secret, body),
    ...more,
  });

  it('becomes an event of its kind, with its delivery as id, its body as it came, and its repository as key', async () => {
    const headers = await deliver(PUSH);
    const answer = await ingestor.post('/webhooks/hub', headers, PUSH);
    expect(answer.status).toBe(202);
    const [stored] = await ingestors.find('hub', String(headers['x-github-delivery']));
    expect(stored).toMatchObject({ topic: 'github.push', key: 'acme/web', text: PUSH, event: answer.json.events![0] });
    expect(stored!.attributes).toMatchObject({ source: '/webhooks/hub', datacontenttype: 'application/json' });
  });

  it('says what happened in an attribute, so that it can be filtered by', async () => {
    const body = JSON.stringify({ action: 'opened', repository: { full_name: 'acme/web' } });
    const headers = await deliver(body, { 'x-github-event': 'pull_request' });
    await ingestor.post('/webhooks/hub', headers, body);
    const [stored] = await ingestors.find('hub', String(headers['x-github-delivery']));
    expect(stored!.attributes).toMatchObject({ type: 'github.pull_request', extensions: { action: 'opened' } });
  });

  it('may be a form, and is then the JSON in it', async () => {
    const body = `payload=${encodeURIComponent(PUSH).replaceAll('%20', '+')}`;
    const headers = await deliver(body, { 'content-type': 'application/x-www-form-urlencoded' });
    expect((await ingestor.post('/webhooks/hub', headers, body)).status).toBe(202);
    const [stored] = await ingestors.find('hub', String(headers['x-github-delivery']));
    expect(stored).toMatchObject({ text: PUSH, key: 'acme/web' });
  });

  it('may be signed with any of the secrets, so that one can be replaced', async () => {
    const headers = await deliver(PUSH, {}, 'the one of next year');
    expect((await ingestor.post('/webhooks/hub', headers, PUSH)).status).toBe(202);
  });

  it('that is delivered again is answered as before and stored once', async () => {
    const headers = await deliver(PUSH);
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(await ingestor.post('/webhooks/hub', headers, PUSH));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(await ingestors.find('hub', String(headers['x-github-delivery']))).toHaveLength(1);
  });

  it.each([
    ['without a signature', { 'x-hub-signature-256': undefined }],
    ['with two signatures', { 'x-hub-signature-256': ['sha256=00', 'sha256=11'] }],
    ['with the signature of another body', { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }],
    [
      'with the older signature alone',
      { 'x-hub-signature-256': undefined, 'x-hub-signature': `sha1=${'0'.repeat(40)}` },
    ],
    ['with a signature that is none', { 'x-hub-signature-256': 'sha256=' }],
  ])('%s is refused', async (_, more) => {
    await refuses('/webhooks/hub', await deliver(PUSH, more), PUSH, [401, 'invalid_signature']);
  });

  it('with a changed body, or signed with another secret, is refused', async () => {
    await refuses('/webhooks/hub', await deliver(PUSH), `${PUSH} `, [401, 'invalid_signature']);
    await refuses('/webhooks/hub', await deliver(PUSH, {}, 'another'), PUSH, [401, 'invalid_signature']);
  });

  it('that is signed and no webhook is refused for what is wrong with it', async () => {
    const wrong = async (body: string, more: HttpHeaders, ending: [number, string]) =>
      refuses('/webhooks/hub', await deliver(body, more), body, ending);
    await wrong('{', {}, [400, 'invalid_event']);
    await wrong('[]', {}, [400, 'invalid_event']);
    await wrong(PUSH, { 'x-github-delivery': undefined }, [400, 'invalid_event']);
    await wrong(PUSH, { 'x-github-event': 'not an event' }, [400, 'invalid_event']);
    await wrong('other=1', { 'content-type': 'application/x-www-form-urlencoded' }, [400, 'invalid_event']);
    await wrong(PUSH, { 'content-type': 'text/plain' }, [415, 'invalid_request']);
    await wrong(JSON.stringify({ a: 'x'.repeat(1024 * 1024) }), {}, [413, 'payload_too_large']);
  });
});

describe('a standard webhook', () => {
  const BODY = JSON.stringify({ type: 'invoice.paid', timestamp: '2026-11-20T18:00:00Z', data: { n: 1 } });
  const deliver = (body: string, more: HttpHeaders = {}, at = new Date(), secret = STANDARD_SECRET) => {
    const id = `msg_${randomUUID()}`;
    return {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(id, at, body),
      ...more,
    };
  };

  it('becomes an event with its own id, kind and time', async () => {
    const headers = deliver(BODY);
    expect((await ingestor.post('/webhooks/standard', headers, BODY)).status).toBe(202);
    const [stored] = await ingestors.find('standard', headers['webhook-id']);
    expect(stored).toMatchObject({ topic: 'invoice.paid', text: BODY });
    expect(stored!.attributes.time).toBe('2026-11-20T18:00:00.000Z');
  });

  it('that says neither kind nor time is a webhook of when it was signed', async () => {
    const at = new Date(1_000 * Math.floor(Date.now() / 1_000));
    const headers = deliver('{"a":1}', {}, at);
    await ingestor.post('/webhooks/standard', headers, '{"a":1}');
    const [stored] = await ingestors.find('standard', headers['webhook-id']);
    expect(stored!.attributes).toMatchObject({ type: 'webhook', time: at.toISOString() });
  });

  it('may be signed several times, while its sender replaces its secret', async () => {
    const headers = deliver(BODY);
    const other = new Webhook(`whsec_${Buffer.alloc(32, 9).toString('base64')}`);
    const signature = other.sign(headers['webhook-id'], new Date(), BODY);
    headers['webhook-signature'] = `v1a,xyz ${signature} ${headers['webhook-signature']}`;
    expect((await ingestor.post('/webhooks/standard', headers, BODY)).status).toBe(202);
  });

  it('that is delivered again, signed anew, is stored once', async () => {
    const headers = deliver(BODY);
    const at = new Date(Date.now() + 5_000);
    const again = {
      ...headers,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new Webhook(STANDARD_SECRET).sign(headers['webhook-id'], at, BODY),
    };
    const answers = [
      await ingestor.post('/webhooks/standard', headers, BODY),
      await ingestor.post('/webhooks/standard', again, BODY),
    ];
    expect(answers[1]).toMatchObject({ status: 202, json: answers[0]!.json });
    expect(await ingestors.find('standard', headers['webhook-id'])).toHaveLength(1);
  });

  const minutes = (n: number) => new Date(Date.now() + n * 60_000);
  it.each([
    ['without a signature', () => deliver(BODY, { 'webhook-signature': undefined })],
    ['without an id', () => deliver(BODY, { 'webhook-id': undefined })],
    ['under another id', () => deliver(BODY, { 'webhook-id': 'msg_other' })],
    ['with another time', () => deliver(BODY, { 'webhook-timestamp': String(Math.floor(Date.now() / 1_000) - 1) })],
    ['with a time that is none', () => deliver(BODY, { 'webhook-timestamp': '1e9' })],
    ['with a signature of another version', () => deliver(BODY, { 'webhook-signature': 'v2,AAAA' })],
    ['of six minutes ago', () => deliver(BODY, {}, minutes(-6))],
    ['of six minutes from now', () => deliver(BODY, {}, minutes(6))],
    ['of another secret', () => deliver(BODY, {}, new Date(), `whsec_${Buffer.alloc(32, 9).toString('base64')}`)],
  ])('%s is refused', async (_, headers) => {
    await refuses('/webhooks/standard', headers(), BODY, [401, 'invalid_signature']);
  });

  it('whose signature is good for another way to take it apart is refused', async () => {
    const at = new Date();
    const now = Math.floor(at.getTime() / 1_000);
    // What is signed is `msg.<time>.<body>`, and this body begins with a time of its own.
    const signature = new Webhook(STANDARD_SECRET).sign('msg', at, `${now}.${BODY}`);
    const headers = { ...deliver(BODY), 'webhook-id': `msg.${now}`, 'webhook-signature': signature };
    await refuses('/webhooks/standard', { ...headers, 'webhook-timestamp': String(now) }, BODY, [
      401,
      'invalid_signature',
    ]);
  });

  it('with a time that no calendar has is of when it was signed', async () => {
    const body = JSON.stringify({ type: 'a', timestamp: '+275760-09-13T00:00:00Z' });
    const headers = deliver(body);
    expect((await ingestor.post('/webhooks/standard', headers, body)).status).toBe(202);
    const [stored] = await ingestors.find('standard', headers['webhook-id']);
    expect(stored!.attributes.time).toMatch(/^20\d\d-/);
  });

  it('with a changed body is refused', async () => {
    await refuses('/webhooks/standard', deliver(BODY), BODY.replace('1', '2'), [401, 'invalid_signature']);
  });
});

it('what was signed wrongly is counted', async () => {
  const refused = (source: string) =>
    ingestor.metric(
      new RegExp(`^callboard_ingest_events_total\\{source="${source}",outcome="invalid_signature"\\} (\\d+)$`, 'm'),
    );
  expect([await refused('hub'), await refused('standard')]).toEqual([7, 11]);
});
