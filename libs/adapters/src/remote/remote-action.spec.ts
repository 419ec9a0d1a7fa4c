/** Far sides over HTTP and from a queue, through a real stack: what they are given, what becomes of what they say, and of crashes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { connectNats } from '@callboard/jetstream';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { stringify } from 'yaml';
import { callboard, connectClient, type SpecClient } from '../spec-client.js';

const SECRET = 'hunter2-of-the-far-side';

/** A command as a far side gets it. */
interface Received {
  path: string;
  headers: IncomingMessage['headers'];
  body: JsonObject & { correlation_id: string; callback?: { url: string; token: string } };
}

let folder: string;
let stack: TestStack;
let client: SpecClient;
let far: Server;
let port: number;
let received: Received[];
let reports = 0;
/** What the far side does with a request. */
let respond: (res: ServerResponse, request: Received) => void;

const accept = (res: ServerResponse) => void res.writeHead(202).end();
const settings = (id: string, more: object) => ({ id, description: id, input: { type: 'object' }, ...more });
const http = (path: string, more: object = {}) => ({ http: { url: `http://127.0.0.1:${port}${path}`, ...more } });
const later = (id: string, more: object = {}) => settings(id, { ...http('/later'), ...more });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-adapters-'));
  far = createServer(take);
  port = await listen(0);
  const file = join(folder, 'adapters.yaml');
  const idempotent = { attributes: { idempotent: true } };
  const retry = { retry: { backoff_ms: 10 } };
  const patient = { retry: { backoff_ms: 500 } };
  const actions = [
    later('far.later', { http: { ...http('/later').http, headers: { 'X-Api-Key': '${FAR_KEY}' } } }),
    later('far.safe', { ...idempotent, ...retry }),
    later('far.again', patient),
    settings('far.now', { ...http('/now', { answer: 'response' }), ...retry }),
    settings('far.now_safe', { ...http('/now', { answer: 'response' }), ...idempotent, ...retry }),
    settings('far.slow', { ...http('/now', { answer: 'response', timeout_ms: 200 }) }),
    settings('far.queued', { queue: 'spec' }),
  ];
  await writeFile(file, stringify({ actions }));
  stack = await startStack({
    apps: CALLS,
    replicas: { 'mcp-frontend': 2 },
    env: { CALLBOARD_ADAPTERS: file, FAR_KEY: SECRET },
  });
  client = await connectClient(stack.ready);
});
beforeEach(() => {
  received = [];
  respond = accept;
  client.heard.length = 0;
});
afterAll(async () => {
  await client?.close();
  await stack?.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

function take(req: IncomingMessage, res: ServerResponse): void {
  let text = '';
  req.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  req.on('end', () => {
    const request = { path: req.url!, headers: req.headers, body: JSON.parse(text) as Received['body'] };
    received.push(request);
    respond(res, request);
  });
}

function listen(on: number): Promise<number> {
  return new Promise((resolve) => far.listen(on, '127.0.0.1', () => resolve((far.address() as AddressInfo).port)));
}

function close(): Promise<void> {
  far.closeAllConnections();
  return new Promise((resolve) => far.close(() => resolve()));
}

/** Reports to one front end after the other: any of them will do. */
async function report({ callback }: Received['body'], body: object, path = ''): Promise<number> {
  const { mcp_urls: frontEnds } = stack.ready;
  const url = callback!.url.replace(new URL(callback!.url).origin, new URL(frontEnds[reports++ % 2]!).origin);
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${callback!.token}` },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

const request = (n = 1) => waitFor(() => received[n - 1], { what: `request ${n} at the far side` });
const errorOf = (result: { structuredContent?: unknown }) =>
  (result.structuredContent as { error: { code: string; message: string } }).error;

describe('a far side that answers by callback', () => {
  it('gets the envelope and the right to report, and its progress and its result reach the caller', async () => {
    const called = client.call('far.later', { repository: 'stage' }, { 'io.callboard/ordering_key': 'k' });
    const { body, headers } = await request();
    expect(body).toMatchObject({
      envelope_version: '1.0',
      tool: 'far',
      method: 'later',
      args: { repository: 'stage' },
      ordering_key: 'k',
      callback: { url: `${stack.ready.results_url}/${body.correlation_id}`, token: expect.stringMatching(/^cbk_/) },
    });
    expect(headers).toMatchObject({
      'idempotency-key': body.correlation_id,
      'x-callboard-attempt': '1',
      'x-api-key': SECRET,
    });
    expect(await report(body, { stage: 'clone', percent: 40, message: 'objects' }, '/progress')).toBe(202);
    expect(await report(body, { percent: 80 }, '/progress')).toBe(202);
    expect(await report(body, { status: 'ok', result: { commit: 'abc' } })).toBe(200);
    expect((await called).structuredContent).toEqual({ commit: 'abc' });
    expect(client.heard).toEqual([
      { progress: 40, total: 100, message: 'clone: objects' },
      { progress: 80, total: 100 },
    ]);
    expect(await report(body, { status: 'ok', result: { commit: 'abc' } })).toBe(200);
    expect(await report(body, { status: 'ok', result: { commit: 'other' } })).toBe(409);

    // What is stored of the command has neither the token nor the key of the far side.
    const shown = await callboard(['commands', 'show', body.correlation_id, '--json', '--data-dir', stack.dataDir]);
    expect(shown).toContain('"repository"');
    expect(shown).not.toContain(body.callback!.token);
    expect(shown).not.toContain(SECRET);
  });

  it('reports a failure of its own, with its code', async () => {
    const called = client.call('far.later', {});
    const { body } = await request();
    await report(body, { status: 'error', error: { code: 'no_such_repository', message: 'there is no such thing' } });
    expect(errorOf(await called)).toMatchObject({ code: 'no_such_repository', message: 'there is no such thing' });
  });

  it('that says it may be tried again is given the command again, with another token', async () => {
    const called = client.call('far.again', {});
    const first = (await request()).body;
    await report(first, { status: 'error', error: { message: 'busy', retryable: true } });
    const second = (await request(2)).body;
    expect(second.correlation_id).toBe(first.correlation_id);
    expect(await report(first, { status: 'ok', result: 'of the first' })).toBe(409);
    expect(await report(second, { status: 'ok', result: 'of the second' })).toBe(200);
    expect((await called).content).toEqual([{ type: 'text', text: 'of the second' }]);
  });

  it('is not given the command again when the runner dies, and its answer is not lost', async () => {
    for (const tool of ['far.later', 'far.safe']) {
      received = [];
      const called = client.call(tool, {});
      const { body } = await request();
      // The note that it was taken is stored just after the far side has said so.
      await waitFor(() => handed(body.correlation_id), { what: 'the note' });
      const [runner] = (await stack.readReady()).processes['action-runner']!;
      process.kill(runner!, 'SIGKILL');
      expect(await report(body, { status: 'ok', result: `by ${tool}` })).toBe(200);
      expect((await called).content).toEqual([{ type: 'text', text: `by ${tool}` }]);
      expect(received).toHaveLength(1);
      await waitFor(async () => !(await stack.readReady()).processes['action-runner']!.includes(runner!), {
        what: 'the next runner',
      });
    }
  });

  it('hears that a command was given up: 410 after its deadline, 409 after it was cancelled', async () => {
    const called = client.call('far.later', {}, { 'io.callboard/deadline_ms': 500 });
    const { body } = await request();
    expect(errorOf(await called).code).toBe('deadline_exceeded');
    expect(await report(body, {}, '/progress')).toBe(410);
    expect(await report(body, { status: 'ok' })).toBe(410);
    expect(await report({ ...body, callback: { ...body.callback!, token: 'cbk_no.no' } }, { status: 'ok' })).toBe(401);

    const stop = new AbortController();
    const given = client.client.callTool({ name: 'far.later', arguments: {} }, { signal: stop.signal });
    const { body: second } = await request(2);
    expect(await report(second, {}, '/progress')).toBe(202);
    stop.abort();
    await expect(given).rejects.toThrow();
    await waitFor(async () => (await report(second, {}, '/progress')) === 409, { what: 'the far side hears of it' });
    expect(await report(second, { status: 'ok' })).toBe(409);
  });
});

describe('a far side whose response is the answer', () => {
  it('answers with JSON, of any kind', async () => {
    for (const [sent, text] of [
      ['{"rooms":3}', '{"rooms":3}'],
      ['"text"', 'text'],
      ['[1,2]', '[1,2]'],
    ]) {
      respond = (res) => void res.writeHead(200, { 'Content-Type': 'application/json' }).end(sent);
      const { content } = await client.call('far.now', {});
      expect(content).toEqual([{ type: 'text', text }]);
    }
    expect(received[0]!.body).not.toHaveProperty('callback');
  });

  it.each([
    ['far.now', 422, 1, 'action_failed', 'answered 422: no such room'],
    ['far.now', 500, 1, 'in_doubt', 'answered 500'],
    ['far.now', 302, 1, 'action_failed', 'answered 302'],
    ['far.now', 503, 5, 'dead_lettered', 'answered 503'],
    ['far.now_safe', 500, 5, 'dead_lettered', 'answered 500'],
  ])('%s: %i ends after %i requests as %s', async (tool, status, requests, code, message) => {
    respond = (res) =>
      void res
        .writeHead(status, { 'Content-Type': 'application/problem+json', Location: 'http://127.0.0.1:1/' })
        .end(status === 422 ? '{"detail":"no such room"}' : '{}');
    const result = await client.call(tool, {});
    expect(errorOf(result)).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(received).toHaveLength(requests);
  });

  it('that takes too long may have acted', async () => {
    respond = () => undefined;
    expect(errorOf(await client.call('far.slow', {})).code).toBe('in_doubt');
  });

  it('that says what is no JSON, or too much, has failed', async () => {
    respond = (res) => void res.end('<html>');
    expect(errorOf(await client.call('far.now', {})).message).toContain('is not JSON');
    respond = (res) => void res.end(`"${'x'.repeat(1_100_000)}"`);
    expect(errorOf(await client.call('far.now', {})).code).toBe('payload_too_large');
  });
});

describe('a far side that is away', () => {
  it('has done nothing: it is tried again, whatever the action does', async () => {
    await close();
    const nc = await asUser('sre');
    const failed = nc.subscribe('live.attempt.*.*.1.failed', { max: 1 });
    await nc.flush();
    const called = client.call('far.again', {});
    for await (const message of failed) expect(message.json()).toMatchObject({ error: { retryable: true } });
    await listen(port);
    const { body } = await request();
    await report(body, { status: 'ok', result: 'here' });
    expect((await called).content).toEqual([{ type: 'text', text: 'here' }]);
    await nc.close();
  });
});

describe('a far side with a queue', () => {
  it('takes the envelope from there as its own user, once, and reports by callback', async () => {
    const nc = await asUser('eda');
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    await jsm.consumers.add('DISPATCH', {
      durable_name: 'spec',
      filter_subject: 'dispatch.spec.>',
      ack_policy: AckPolicy.Explicit,
    });
    const consumer = await jetstream(nc).consumers.get('DISPATCH', 'spec');
    const called = client.call('far.queued', { n: 1 });
    const message = (await consumer.next({ expires: 10_000 }))!;
    const body = message.json<Received['body']>();
    expect(message.subject).toBe(`dispatch.spec.default.${body.correlation_id}.1`);
    expect(message.headers?.get('Nats-TTL')).toMatch(/^\d+s$/);
    expect(body).toMatchObject({ tool: 'far', method: 'queued', args: { n: 1 }, attempt: 1 });
    message.ack();

    const [runner] = (await stack.readReady()).processes['action-runner']!;
    process.kill(runner!, 'SIGKILL');
    await waitFor(async () => !(await stack.readReady()).processes['action-runner']!.includes(runner!), {
      what: 'the next runner',
    });
    await report(body, { status: 'ok', result: 'taken' });
    expect((await called).content).toEqual([{ type: 'text', text: 'taken' }]);
    expect(await consumer.next({ expires: 1_000 })).toBeNull();
    await nc.close();
  });
});

async function handed(correlationId: string): Promise<boolean> {
  const nc = await asUser('sre');
  try {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const subject = `handed.default.${correlationId}.1`;
    return (await jsm.direct.getMessage('DISPATCH', { last_by_subj: subject })) !== null;
  } finally {
    await nc.close();
  }
}

function asUser(user: string): Promise<NatsConnection> {
  const { nats_url: servers, nats_users: users } = stack.ready;
  return connectNats({ servers, user, credsFile: users[user]!.creds, name: 'spec' });
}
