/** What an answer of Backstage means, at a server that answers whatever it is told to. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { post, type Sent } from './backstage.js';
import type { Notification } from './notification.js';

const NOTIFICATION: Notification = {
  recipients: { type: 'entity', entityRef: ['user:default/ada'] },
  payload: { title: 'Places, please', severity: 'normal', scope: 'spec' },
};
const NEVER = new AbortController().signal;

let server: Server;
let url: string;
let ready = true;
let answer: (response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    if (request.url === '/.backstage/health/v1/readiness') response.writeHead(ready ? 200 : 503).end();
    else request.once('end', () => answer(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const answering = (status: number, body: string, headers: Record<string, string> = {}): Promise<Sent> => {
  answer = (response) => response.writeHead(status, headers).end(body);
  return post({ url, token: 't' }, NOTIFICATION, 5_000, NEVER);
};
const error = (message: string) => JSON.stringify({ error: { name: 'Error', message, stack: 'at secret.js:1' } });

describe('an answer of Backstage', () => {
  it.each([500, 502, 503, 504, 408, 429])('%s means not now', async (status) => {
    expect(await answering(status, '')).toMatchObject({ kind: 'not_now', reached: true, reason: `HTTP ${status}` });
  });

  it('may say when to come again, in seconds or as a date', async () => {
    expect(await answering(429, '', { 'retry-after': '7' })).toMatchObject({ retryAfterMs: 7_000 });
    const date = new Date(Date.now() + 60_000).toUTCString();
    const { retryAfterMs } = (await answering(503, '', { 'retry-after': date })) as { retryAfterMs: number };
    expect(retryAfterMs).toBeGreaterThan(50_000);
    expect(await answering(503, '', { 'retry-after': 'soon' })).toMatchObject({ retryAfterMs: undefined });
  });

  it.each([
    [400, 'invalid_arguments'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [413, 'payload_too_large'],
    [418, 'action_failed'],
  ])('%s is final, with its first line and nothing of its stack', async (status, code) => {
    expect(await answering(status, error('Not like this\nat secret.js'))).toEqual({
      kind: 'refused',
      code,
      reason: `HTTP ${status}: Not like this`,
    });
    const long = (await answering(status, error('x'.repeat(5_000)))) as { reason: string };
    expect(long.reason.length).toBeLessThan(400);
  });

  it('404 is final when Backstage is ready, and means not now while it starts', async () => {
    expect(await answering(404, '')).toMatchObject({ kind: 'refused', code: 'not_found' });
    ready = false;
    expect(await answering(404, '')).toMatchObject({ kind: 'not_now' });
    ready = true;
  });

  it('400 about recipients means that its catalog or its database is not there now', async () => {
    const text = error('Failed to send user notifications; caused by Error: no catalog');
    expect(await answering(400, text)).toMatchObject({ kind: 'not_now', reached: true });
  });

  it('that is a redirect is not followed with the token', async () => {
    expect(await answering(302, '', { location: `${url}/elsewhere` })).toMatchObject({ kind: 'refused' });
  });

  it('that breaks off, or takes too long, leaves it open whether it was delivered; no connection does not', async () => {
    answer = (response) => response.writeHead(200, { 'content-length': '100' }).write('[', () => response.destroy());
    expect(await post({ url, token: 't' }, NOTIFICATION, 5_000, NEVER)).toMatchObject({
      kind: 'not_now',
      reached: true,
    });
    answer = () => undefined;
    expect(await post({ url, token: 't' }, NOTIFICATION, 100, NEVER)).toMatchObject({ kind: 'not_now', reached: true });
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const nowhere = { url: `http://127.0.0.1:${(gone.address() as AddressInfo).port}`, token: 't' };
    await new Promise((resolve) => gone.close(resolve));
    expect(await post(nowhere, NOTIFICATION, 5_000, NEVER)).toMatchObject({ kind: 'not_now', reached: false });
  });

  it('is not waited for when nobody wants it any more', async () => {
    answer = () => undefined;
    const stop = new AbortController();
    const sent = post({ url, token: 't' }, NOTIFICATION, 60_000, stop.signal);
    stop.abort(new Error('cancelled'));
    await expect(sent).rejects.toThrow('cancelled');
  });
});
