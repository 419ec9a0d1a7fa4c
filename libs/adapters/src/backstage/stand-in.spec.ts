/** What a real Backstage cannot be made to do on demand: a server that stands in for one, and answers as it is told. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SecretTexts } from '@callboard/config';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Logger } from '@callboard/telemetry';
import { waitFor } from '@callboard/testing';
import { specContext } from '../spec-context.js';
import { BackstageClient } from './backstage-client.js';
import { Mirror } from './mirror.js';
import type { BackstageSite } from './site.js';
import { ServiceToken } from './tokens.js';

interface Received {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

let server: Server;
let site: BackstageSite;
let received: Received[];
let respond: (res: ServerResponse, request: Received) => void;
let leftOut: string[];
let mirror: Mirror;

const log = {
  info: () => undefined,
  warn: ({ action, why }: { action: string; why: string }) => void leftOut.push(`${action}: ${why}`),
} as unknown as Logger;
const nowhere = { get: () => Promise.resolve(undefined), put: () => Promise.resolve() };
const entry = (name: string, more: object = {}) => ({
  id: `props:${name}`,
  name,
  title: name,
  description: `About ${name}`,
  attributes: {},
  schema: { input: { type: 'object' } },
  ...more,
});
const json = (res: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) =>
  void res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

beforeAll(async () => {
  server = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    req.on('end', () => {
      const request = { method: req.method!, path: req.url!, headers: req.headers, body };
      received.push(request);
      respond(res, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  received = [];
  leftOut = [];
  site = {
    name: 'stand-in',
    namespace: 'b',
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caller_tokens: 'off',
    token: 'hunter2',
    plugins: ['props'],
    include: ['*'],
    exclude: [],
    refresh_ms: 60_000,
    actions: {},
  };
});
afterEach(() => mirror?.close());

const client = () => new BackstageClient(site, new ServiceToken('hunter2', noSecrets), noSecrets);
const noSecrets = new SecretTexts('.', undefined);
const invoke = (attributes: object = {}, context = specContext().context) =>
  client().invoke({ id: 'props:sword', plugin: 'props' }, attributes, { sharp: true }, undefined, context);

describe('a Backstage that is asked to act', () => {
  it('is told whom the command is for in its headers, by the service token, and the input as it is', async () => {
    respond = (res) => json(res, { output: { drawn: true } });
    expect(await invoke()).toEqual({ drawn: true });
    expect(received).toEqual([
      {
        method: 'POST',
        path: '/api/props/.backstage/actions/v1/actions/props%3Asword/invoke',
        body: '{"sharp":true}',
        headers: expect.objectContaining({
          authorization: 'Bearer hunter2',
          'content-type': 'application/json',
          'idempotency-key': 'c_spec',
          'x-callboard-correlation-id': 'c_spec',
          'x-callboard-attempt': '1',
          'x-callboard-fence': '7',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        }),
      },
    ]);
  });

  it('is not followed to where it points, with our token', async () => {
    respond = (res) => void res.writeHead(302, { location: `${site.url}/elsewhere` }).end();
    await expect(invoke()).rejects.toMatchObject({ message: 'Backstage stand-in answered 302', retryable: false });
    expect(received).toHaveLength(1);
  });

  it.each([
    ['seconds', () => '2', 2_000],
    ['a date', () => new Date(Date.now() + 5_000).toUTCString(), 5_000],
    ['something else', () => 'soon', undefined],
    ['the past', () => 'Thu, 01 Jan 1970 00:00:00 GMT', undefined],
    ['a year', () => '31536000', 3_600_000],
  ])('says in %s when to ask again', async (_, retryAfter, ms) => {
    respond = (res) => json(res, {}, 503, { 'retry-after': retryAfter() });
    const error = (await invoke().catch((thrown: unknown) => thrown)) as { retryable: boolean; retryAfterMs?: number };
    expect(error.retryable).toBe(true);
    if (ms === undefined) return expect(error.retryAfterMs).toBeUndefined();
    expect(error.retryAfterMs).toBeGreaterThan(ms - 2_000);
    return expect(error.retryAfterMs).toBeLessThanOrEqual(ms);
  });

  it.each([
    ['502', (res: ServerResponse) => void res.writeHead(502).end('<html>')],
    ['half an answer', (res: ServerResponse) => void res.writeHead(200).write('{"out', () => res.destroy())],
    ['nothing within its time', () => undefined],
  ])('that says %s may have acted', async (_, how) => {
    respond = how;
    site.timeout_ms = 300;
    await expect(invoke()).rejects.toMatchObject({ code: 'in_doubt', retryable: false });
    await expect(invoke({ read_only: true })).rejects.toMatchObject({ code: 'action_failed', retryable: true });
    await expect(invoke({ idempotent: true })).rejects.toMatchObject({ code: 'action_failed', retryable: true });
  });

  it('that says what is no JSON, or too much, has failed', async () => {
    respond = (res) => void res.end('<html>');
    await expect(invoke()).rejects.toMatchObject({ message: 'The answer of Backstage stand-in is not JSON' });
    respond = (res) => json(res, { output: { text: 'x'.repeat(1_100_000) } });
    await expect(invoke()).rejects.toMatchObject({ code: 'payload_too_large', retryable: false });
  });

  it('and passes on what another plug-in has answered is quoted with that, and not beyond it', async () => {
    const cause = { name: 'NotAllowedError', message: 'Not for you' };
    respond = (res) => json(res, { error: { name: 'ResponseError', message: 'Request failed', cause } }, 403);
    await expect(invoke()).rejects.toMatchObject({ code: 'forbidden', message: 'Backstage stand-in: Not for you' });
    respond = (res) => json(res, { error: { name: 'DatabaseError', message: 'SELECT hunter2' } }, 409);
    await expect(invoke()).rejects.toMatchObject({ code: 'conflict', message: 'Backstage stand-in answered 409' });
  });
});

describe('a list of actions', () => {
  async function mirrored(answer: unknown): Promise<string[]> {
    respond = (res) => json(res, answer);
    mirror = new Mirror(site, client(), log);
    await mirror.start(nowhere);
    return [...mirror.actions].map(({ descriptor }) => descriptor.id);
  }

  it('is taken for what can be used of it', async () => {
    const actions = [
      null,
      { id: 7 },
      entry('sword', { id: 'paint:sword' }),
      entry('shield', { schema: {} }),
      entry('spear', { schema: { input: { type: 'array' } } }),
      entry('helmet', { schema: { input: { type: 'object', properties: { a: { type: 'metal' } } } } }),
      entry('boots', { schema: { input: { type: 'object' }, output: { type: 'object', required: 'all' } } }),
      entry('x'.repeat(70)),
      entry('crown', {
        title: 7,
        description: '',
        attributes: 'none',
        schema: { input: { type: 'object' }, output: [] },
      }),
    ];
    expect(await mirrored({ actions })).toEqual(['b.props.crown']);
    expect(mirror.actions.get('b.props.crown')!.descriptor).toMatchObject({
      description: 'crown',
      attributes: { read_only: false, destructive: true, idempotent: false },
    });
    expect(leftOut).toHaveLength(actions.length - 1);
  });

  it('that is none leaves what was there', async () => {
    expect(await mirrored({ actions: [entry('sword')] })).toEqual(['b.props.sword']);
    respond = (res) => json(res, { actions: 'many' });
    mirror.lookSoon();
    await waitFor(() => leftOut.length > 0, { what: 'the second look' });
    expect([...mirror.actions]).toHaveLength(1);
  });

  it('is bounded, however much there is', async () => {
    const actions = Array.from({ length: 12 }, (_, n) => entry(`prop-${n}`, { description: 'x'.repeat(60_000) }));
    expect(await mirrored({ actions })).toHaveLength(8);
    expect(leftOut).toHaveLength(4);
    expect(leftOut[0]).toContain('there is room for 500000 bytes');
  });

  it('of a plug-in that says for a whole interval that it has none, is empty', async () => {
    site.refresh_ms = 1_000;
    expect(await mirrored({ actions: [entry('sword')] })).toEqual(['b.props.sword']);
    respond = (res) => void res.writeHead(404).end();
    await waitFor(() => received.length === 2, { what: 'the second look' });
    expect([...mirror.actions]).toHaveLength(1);
    await waitFor(() => [...mirror.actions].length === 0, { what: 'no actions' });
    expect(received.length).toBeGreaterThan(2);
  });
});
