import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerSpec, type Principal } from '@callboard/access';
import { testPrincipal } from '@callboard/testing';
import {
  ENVELOPE,
  modernRequest,
  raw,
  request,
  startSpecFront,
  type RawAnswer,
  type SpecFront,
  type SpecHeaders,
} from './spec-front.js';

let front: SpecFront;
beforeAll(async () => {
  front = await startSpecFront();
});
afterAll(() => front.stop());

const send = (bytes: string | Buffer | (string | Buffer)[]) => raw(front.port, bytes);
const post = (body: string | Buffer, headers?: SpecHeaders) => send(request(body, headers));
const modern = (...args: Parameters<typeof modernRequest>) => send(modernRequest(...args));
const call = (name: string, args: object = {}) => modern('tools/call', { name, arguments: args });
const MODERN = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
const listMessage = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: ENVELOPE } };

function expectError(answer: RawAnswer, status: number, code: number) {
  expect([answer.status, answer.json.error?.code]).toEqual([status, code]);
  // No error shows where the code lives, what it looks like inside, or what was sent.
  expect(answer.text).not.toMatch(/node_modules|\.ts:|\.js:| {4}at |<html|ZodError|"path":\s*\[/i);
}

describe('an address whose credentials are not good, again and again', () => {
  it('is refused before they are looked at, unless they were good before; others are not', async () => {
    const tokens = ['known', 'unused'].map((name) => ({
      digest: createHash('sha256').update(name).digest(),
      principal: testPrincipal('acme', `user:default/${name}`),
    }));
    const local = await startSpecFront({ tokens, maxFailedAuthentications: 5 });
    const ask = (token: string | undefined, address: string) =>
      raw(
        local.port,
        modernRequest(
          'tools/list',
          {},
          {
            headers: { 'x-forwarded-for': address, ...(token && { authorization: `Bearer ${token}` }) },
          },
        ),
      );
    expect((await ask('known', '10.0.0.1')).status).toBe(200);
    for (let i = 0; i < 5; i++) expect((await ask(`guess-${i}`, '10.0.0.1')).status).toBe(401);
    const refused = await ask('unused', '10.0.0.1');
    expect([refused.status, refused.json.error?.data?.code]).toEqual([429, 'rate_limited']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await ask('known', '10.0.0.1')).status).toBe(200);
    expect((await ask(undefined, '10.0.0.1')).status).toBe(200);
    expect((await ask('unused', '10.0.0.2')).status).toBe(200);
    await local.stop();
  });
});

describe('what is not a request is refused before anything else looks at it', () => {
  it.each([
    ['truncated JSON', '{"jsonrpc":"2.0","id":1,'],
    ['an empty body', ''],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['a byte order mark', '\ufeff{}'],
  ])('%s is a parse error', async (_, body) => {
    expectError(await post(body, MODERN), 400, -32700);
    expectError(await post(body), 400, -32700);
  });

  it.each([
    ['a scalar', '42'],
    ['null', 'null'],
    ['a message without jsonrpc', '{"id":1,"method":"tools/list"}'],
    ['jsonrpc 1.0', '{"jsonrpc":"1.0","id":1,"method":"tools/list"}'],
    ['a method that is not text', '{"jsonrpc":"2.0","id":1,"method":7}'],
    ['a batch', `[${JSON.stringify(listMessage)}]`],
    ['an empty batch', '[]'],
    ['a batch of a thousand', JSON.stringify(Array(1000).fill(listMessage))],
    ...['null', '{}', '[]', 'true', '1.5'].map((id) => [
      `the id ${id}`,
      `{"jsonrpc":"2.0","id":${id},"method":"tools/list"}`,
    ]),
  ])('%s is an invalid request', async (_, body) => {
    expectError(await post(body!, MODERN), 400, -32600);
    expectError(await post(body!), 400, -32600);
  });

  it('a response has nobody to answer on the 2026 revision, and belongs to a session before it', async () => {
    const response = JSON.stringify({ jsonrpc: '2.0', id: 5, result: {} });
    expectError(await post(response, { 'mcp-protocol-version': '2026-07-28' }), 400, -32600);
    expect((await post(response)).text).toContain('"session":"POST"');
  });

  it('text that is not HTTP, contradicting lengths and huge headers are for the HTTP server to refuse', async () => {
    expect((await send('not http at all\r\n\r\n')).status).toBe(400);
    const both = request('{}', { 'transfer-encoding': 'chunked', 'content-length': '2' });
    expect((await send(both)).status).toBe(400);
    expect((await post('{}', { 'x-big': 'x'.repeat(32 * 1024) })).status).toBe(431);
  });
});

describe('media type, encoding and size', () => {
  it.each([
    ['no content type', { 'content-type': undefined }],
    ['text/plain', { 'content-type': 'text/plain' }],
    ['text/plain that mentions JSON', { 'content-type': 'text/plain; a=application/json' }],
    ['gzip', { 'content-encoding': 'gzip' }],
    ['an unknown encoding', { 'content-encoding': 'x-what' }],
  ])('%s is an unsupported media type', async (_, headers) => {
    const answer = await post(JSON.stringify(listMessage), { ...MODERN, ...headers });
    expect(answer.status).toBe(415);
    expectError(answer, 415, -32600);
  });

  it('JSON with a charset is JSON', async () => {
    const answer = await modern('tools/list', {}, { headers: { 'content-type': 'application/json; charset=utf-8' } });
    expect(answer.status).toBe(200);
  });

  it('a gzip bomb is never inflated', async () => {
    const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024, 0x20));
    expect((await post(bomb, { 'content-encoding': 'gzip' })).status).toBe(415);
  });

  it('a body over the cap is refused by its declared length, before it is sent', async () => {
    const head = request('', { 'content-length': String(64 * 1024 * 1024) });
    expectError(await send(head), 413, -32600);
  });

  it('a body over the cap is refused when it is sent in chunks', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const head = request('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    expectError(await send([head, ...Array<string>(20).fill(chunk), '0\r\n\r\n']), 413, -32600);
  });

  it.each([
    ['20 000 levels of arrays', '['.repeat(20_000) + ']'.repeat(20_000)],
    ['20 000 levels of objects, never closed', '{"a":'.repeat(20_000)],
    [
      '65 levels inside a request',
      JSON.stringify(listMessage).replace('{"_meta"', `{"x":${'['.repeat(65)}${']'.repeat(65)},"_meta"`),
    ],
  ])('%s are too deep, and nothing parses them', async (_, body) => {
    expectError(await post(body, MODERN), 400, -32600);
  });

  it('brackets in a text are not levels', async () => {
    const text = '[{"\\"'.repeat(1_000);
    const answer = await call('demo.echo', { text });
    expect(answer.json.result?.content).toEqual([{ type: 'text', text }]);
  });

  it('100 000 keys or an id of nearly a megabyte harm nobody', async () => {
    const keys = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, 1]));
    expect((await call('demo.routed', keys)).status).toBe(200);
    const id = 'i'.repeat(900_000);
    const answer = await modern('tools/list', {}, { message: { id } });
    expect(answer.json.id).toBe(id);
  });
});

describe('who may call, and how', () => {
  it.each([
    ['a foreign Origin', { origin: 'https://evil.example' }],
    ['an Origin that is none', { origin: 'null' }],
    ['an unparsable Origin', { origin: '::::' }],
    ['a foreign Host', { host: 'evil.example' }],
    ['no Host', { host: undefined }],
  ])('%s is forbidden before anything else', async (_, headers) => {
    const answer = await post('{ not even json', headers);
    // Without a Host it is not HTTP/1.1, and Node says so itself.
    if (answer.status === 400) expect(headers).toEqual({ host: undefined });
    else expectError(answer, 403, -32600);
    expect(answer.json.id ?? null).toBeNull();
  });

  it.each(['http://localhost:6274', 'http://127.0.0.1', 'https://[::1]:8443'])('%s may call', async (origin) => {
    expect((await modern('tools/list', {}, { headers: { origin } })).status).toBe(200);
  });

  it('a method that is not served is named, with those that are', async () => {
    const put = await send(request('', {}, 'PUT'));
    expect([put.status, put.headers.allow]).toEqual([405, 'GET, POST, DELETE']);
    const get = await send(request('', { 'mcp-protocol-version': '2026-07-28' }, 'GET'));
    expect([get.status, get.headers.allow]).toEqual([405, 'POST']);
    const options = await send(request('', {}, 'OPTIONS'));
    expect(options.status).toBe(405);
  });

  it('GET and DELETE without a revision belong to sessions', async () => {
    expect((await send(request('', {}, 'GET'))).text).toContain('"session":"GET"');
    expect((await send(request('', {}, 'DELETE'))).text).toContain('"session":"DELETE"');
  });

  it('there is no server of another name, and what is not MCP is not ours', async () => {
    expectError(await send(request('{}', {}, 'POST', '/mcp/other')), 404, -32602);
    expect((await send(request('{}', {}, 'POST', '/mcpx'))).text).toBe('not MCP');
    expect((await send(request('{}', {}, 'POST', '/'))).text).toBe('not MCP');
  });
});

describe('a credential that is good for some things only', () => {
  const digest = (token: string) => createHash('sha256').update(token).digest();
  const written = { exclude: [], events: true, results: true, scopes: ['use'] };
  const server = new ServerSpec('', { ...written, action_scopes: [{ id: 'demo.progress', scopes: ['change'] }] });
  let limited: SpecFront;
  beforeAll(async () => {
    const of = (name: string, more: Partial<Principal>) => ({
      digest: digest(name),
      principal: testPrincipal('acme', `user:default/${name}`, more),
    });
    const tokens = [
      of('echoes', { actions: ['demo.ec*', 'resource.note'] }),
      of('uses', { scopes: ['use'] }),
      of('changes', { scopes: ['use', 'change'] }),
      of('nothing', { scopes: [] }),
    ];
    limited = await startSpecFront({ tokens, server, anonymous: false });
  });
  afterAll(() => limited.stop());

  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const call = (token: string, name: string) =>
    raw(limited.port, modernRequest('tools/call', { name, arguments: { text: 'x' } }, as(token)));
  const legacy = (token: string, method: string, params: object) =>
    raw(limited.port, request(JSON.stringify({ jsonrpc: '2.0', id: 'id-1', method, params }), as(token).headers));

  it('is shown the actions that it names, and no others', async () => {
    const list = async (token: string, method: string) =>
      (await raw(limited.port, modernRequest(method, {}, as(token)))).json.result!;
    const names = (listed: unknown) => (listed as { name: string }[]).map(({ name }) => name);
    expect(names((await list('echoes', 'tools/list')).tools)).toEqual(['demo.echo']);
    expect(names((await list('echoes', 'prompts/list')).prompts)).toEqual([]);
    // What only a scope is missing for is there to be asked for.
    expect(names((await list('uses', 'tools/list')).tools)).toContain('demo.progress');
  });

  it('uses the actions that it names, in either era', async () => {
    expect((await call('echoes', 'demo.echo')).json.result?.content).toEqual([{ type: 'text', text: 'x' }]);
    expect((await legacy('echoes', 'tools/call', { name: 'demo.echo' })).status).toBe(200);
    const read = await raw(limited.port, modernRequest('resources/read', { uri: 'spec://note/1' }, as('echoes')));
    expect(read.json.result?.contents).toEqual([{ uri: 'spec://note/1', text: '1' }]);
  });

  it.each<[string, object]>([
    ['tools/call', { name: 'demo.progress' }],
    ['tools/call', { name: 'events.read' }],
    ['prompts/get', { name: 'greet' }],
    ['resources/read', { uri: 'event://' }],
    ['events/poll', {}],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: ['event://github/push'] } }],
    ['resources/subscribe', { uri: 'event://github/push' }],
  ])('uses nothing else: %s %j', async (method, params) => {
    for (const answer of [
      await raw(limited.port, modernRequest(method, { ...params }, as('echoes'))),
      await legacy('echoes', method, params),
    ]) {
      expect([answer.status, answer.json.error?.data?.code, answer.json.id]).toEqual([403, 'forbidden', 'id-1']);
      expect(answer.headers['www-authenticate']).toBeUndefined();
    }
  });

  it('without the scopes of the server is told them, before the body is looked at', async () => {
    const answer = await raw(limited.port, request('{ not even json', as('nothing').headers));
    expect([answer.status, answer.json.error?.data?.code]).toEqual([403, 'forbidden']);
    expect(answer.headers['www-authenticate']).toBe(
      'Bearer realm="callboard", error="insufficient_scope", scope="use"',
    );
  });

  it('without the scopes of an action is told all that it needs, and uses the others', async () => {
    expect((await call('uses', 'demo.echo')).status).toBe(200);
    for (const answer of [
      await call('uses', 'demo.progress'),
      await legacy('uses', 'tools/call', { name: 'demo.progress' }),
    ]) {
      expect([answer.status, answer.json.id]).toEqual([403, 'id-1']);
      expect(answer.headers['www-authenticate']).toContain('error="insufficient_scope", scope="use change"');
    }
    expect((await call('changes', 'demo.progress')).status).toBe(200);
  });
});

describe('tokens', () => {
  const token = 'a-token-of-forty-characters-or-so-1234567';
  const principal = testPrincipal('acme', 'user:default/ada');
  let guarded: SpecFront;
  beforeAll(async () => {
    const digest = createHash('sha256').update(token).digest();
    guarded = await startSpecFront({ tokens: [{ digest, principal }], anonymous: false });
  });
  afterAll(() => guarded.stop());

  it.each([
    ['no token', {}],
    ['an unknown token', { authorization: 'Bearer nope' }],
    ['another scheme', { authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` }],
    ['an empty token', { authorization: 'Bearer ' }],
    ['two tokens', { authorization: `Bearer ${token} ${token}` }],
  ])('%s is unauthorized before the body is looked at', async (_, headers) => {
    const answer = await raw(guarded.port, request('{ not even json', headers));
    expectError(answer, 401, -32600);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="callboard"/);
  });

  it('a token in the query string is no token', async () => {
    const answer = await raw(guarded.port, request('{}', {}, 'POST', `/mcp?access_token=${token}`));
    expect(answer.status).toBe(401);
  });

  it('a known token is its principal, whatever the case of the scheme', async () => {
    const answer = await raw(guarded.port, request('', { authorization: `bearer ${token}` }, 'GET'));
    expect(JSON.parse(answer.text)).toMatchObject({ principal });
  });

  it('a bad token does not become the anonymous user where there is one', async () => {
    expect((await post('{}', { authorization: 'Bearer nope' })).status).toBe(401);
  });
});

describe('the 2026 envelope and its headers', () => {
  it.each([
    ['no _meta', { params: {} }],
    [
      'no protocolVersion',
      { params: { _meta: { ...ENVELOPE, 'io.modelcontextprotocol/protocolVersion': undefined } } },
    ],
    [
      'no clientCapabilities',
      { params: { _meta: { ...ENVELOPE, 'io.modelcontextprotocol/clientCapabilities': undefined } } },
    ],
    [
      'a version that is a number',
      { params: { _meta: { ...ENVELOPE, 'io.modelcontextprotocol/protocolVersion': 7 } } },
    ],
    [
      'capabilities that are a list',
      { params: { _meta: { ...ENVELOPE, 'io.modelcontextprotocol/clientCapabilities': [] } } },
    ],
    ['a _meta that is text', { params: { _meta: 'x' } }],
    ['a progress token that is an object', { params: { _meta: { ...ENVELOPE, progressToken: {} } } }],
    ['params that are text', { params: 'x' }],
    ['params that are a list', { params: [] }],
  ])('%s are invalid params', async (_, message) => {
    const answer = await modern('tools/list', {}, { message });
    expectError(answer, 400, -32602);
    expect(answer.json.id).toBe('id-1');
  });

  it('a handshake of the 2025 revisions under the header of this one is a mismatch', async () => {
    const body = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } };
    expectError(await post(JSON.stringify(body), { 'mcp-protocol-version': '2026-07-28' }), 400, -32020);
  });

  it('a client need not say its name', async () => {
    const answer = await modern('tools/list', {}, { meta: { 'io.modelcontextprotocol/clientInfo': undefined } });
    expect(answer.status).toBe(200);
  });

  it('an unknown revision is told which there are', async () => {
    const answer = await modern(
      'tools/list',
      {},
      {
        meta: { 'io.modelcontextprotocol/protocolVersion': '2099-01-01' },
        headers: { 'mcp-protocol-version': '2099-01-01' },
      },
    );
    expectError(answer, 400, -32022);
    expect(answer.json.error?.data).toEqual({ supported: ['2026-07-28'], requested: '2099-01-01' });
  });

  it.each([
    ['no version', { 'mcp-protocol-version': undefined }],
    ['another version', { 'mcp-protocol-version': '2025-11-25' }],
    ['no method', { 'mcp-method': undefined }],
    ['another method', { 'mcp-method': 'tools/list' }],
    ['the method in another case', { 'mcp-method': 'Tools/Call' }],
    ['the method twice', { 'mcp-method': ['tools/call', 'tools/call'] }],
    ['no name', { 'mcp-name': undefined }],
    ['another name', { 'mcp-name': 'demo.other' }],
    ['a broken Base64 name', { 'mcp-name': '=?base64?!!?=' }],
    ['a Base64 name of something else', { 'mcp-name': `=?base64?${Buffer.from('other').toString('base64')}?=` }],
    ['a name in raw bytes', { 'mcp-name': 'demo.\u00e9cho' }],
  ])('%s in the headers is a mismatch', async (_, headers) => {
    const answer = await modern('tools/call', { name: 'demo.echo', arguments: { text: 'x' } }, { headers });
    expectError(answer, 400, -32020);
    expect(answer.json.id).toBe('id-1');
  });

  it('a name may come in Base64, and header names in any case', async () => {
    const name = `=?base64?${Buffer.from('demo.echo').toString('base64')}?=`;
    const headers = { 'mcp-name': undefined, 'MCP-NAME': name };
    const answer = await modern('tools/call', { name: 'demo.echo', arguments: { text: 'x' } }, { headers });
    expect(answer.json.result?.content).toEqual([{ type: 'text', text: 'x' }]);
  });

  it.each([
    ['missing', undefined],
    ['different', 'us'],
    ['broken Base64', '=?base64?ZXU?='],
  ])('a mirrored argument whose header is %s is a mismatch', async (_, header) => {
    const headers = { 'mcp-param-region': header };
    const answer = await modern('tools/call', { name: 'demo.routed', arguments: { region: 'eu' } }, { headers });
    expectError(answer, 400, -32020);
  });

  it.each(['eu', `=?base64?${Buffer.from('eu').toString('base64')}?=`])('%s mirrors the argument', async (header) => {
    const headers = { 'mcp-param-region': header };
    const answer = await modern('tools/call', { name: 'demo.routed', arguments: { region: 'eu' } }, { headers });
    expect(answer.json.result?.content).toEqual([{ type: 'text', text: 'eu' }]);
  });

  it('a header without its argument is ignored', async () => {
    const headers = { 'mcp-param-region': 'eu' };
    expect((await modern('tools/call', { name: 'demo.routed' }, { headers })).json.result).toBeDefined();
  });
});

describe('what is asked for', () => {
  it.each([
    'unknown/method',
    'initialize',
    'ping',
    'logging/setLevel',
    'resources/subscribe',
    '__proto__',
    'constructor',
  ])('there is no method %s', async (method) => {
    const answer = await modern(method);
    expectError(answer, 404, -32601);
    expect(answer.json.id).toBe('id-1');
  });

  it.each(['demo.nothing', '__proto__', 'constructor'])('there is no tool %s', async (name) => {
    expectError(await call(name), 200, -32602);
  });

  it('there is no such resource', async () => {
    const answer = await modern('resources/read', { uri: 'spec://nothing' });
    expectError(answer, 200, -32602);
    expect(answer.json.error?.data).toEqual({ uri: 'spec://nothing' });
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['a name that is a number', 'tools/call', { name: 7 }],
    ['no name', 'tools/call', {}],
    ['arguments that are a list', 'tools/call', { name: 'demo.echo', arguments: [] }],
    ['input responses that are null', 'tools/call', { name: 'demo.asks', inputResponses: null }],
    ['a cursor', 'tools/list', { cursor: 'x' }],
    ['a cursor that is a number', 'prompts/list', { cursor: 7 }],
    ['a URI that is an object', 'resources/read', { uri: {} }],
    ['prompt arguments that are numbers', 'prompts/get', { name: 'greet', arguments: { who: 7 } }],
    [
      'a reference of an unknown type',
      'completion/complete',
      { ref: { type: 'x' }, argument: { name: 'a', value: '' } },
    ],
    ['no filter', 'subscriptions/listen', {}],
    ['a hostile filter', 'subscriptions/listen', { notifications: { toolsListChanged: { $gt: '' } } }],
  ])('%s is invalid params of %s, without a word of the validator', async (_, method, params) => {
    const answer = await modern(method, params);
    expectError(answer, 200, -32602);
    expect(answer.json.error?.message).not.toMatch(/expected|received|invalid_type/i);
  });

  it('a tool that needs what the client did not declare is refused before it runs', async () => {
    const answer = await call('demo.samples');
    expectError(answer, 400, -32021);
    expect(answer.json.error?.data).toEqual({ requiredCapabilities: { sampling: {} } });
  });

  it('a fault inside shows an id and nothing else, and the log has the same id', async () => {
    const answer = await call('demo.breaks');
    expectError(answer, 200, -32603);
    expect(answer.text).not.toContain('secret');
    expect(front.faults).toContainEqual(expect.objectContaining({ errorId: answer.json.error?.data?.error_id }));
  });
});

describe('limits', () => {
  it('requests over the limit are overloaded, and its places come free', async () => {
    const small = await startSpecFront({ maxRequests: 2 });
    const hanging = [0, 1].map(() => connect(small.port, '127.0.0.1'));
    for (const socket of hanging) socket.write(modernRequest('tools/call', { name: 'demo.hangs', arguments: {} }));
    await until(() => small.requests.taken === 2);
    const answer = await raw(small.port, modernRequest('tools/list'));
    expectError(answer, 503, -32603);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.json.error?.data).toMatchObject({ code: 'overloaded', retryable: true, retry_after_ms: 1000 });
    for (const socket of hanging) socket.destroy();
    await until(() => small.requests.taken === 0);
    expect((await raw(small.port, modernRequest('tools/list'))).status).toBe(200);
    await small.stop();
  });

  it('bodies over the limit for all of them are overloaded, however small each is', async () => {
    const small = await startSpecFront({ maxBodiesBytes: 1024 * 1024, maxBodyBytes: 900_000 });
    const hanging = connect(small.port, '127.0.0.1');
    hanging.write(modernRequest('tools/call', { name: 'demo.hangs', arguments: { padding: 'x'.repeat(800_000) } }));
    await until(() => small.bodies.taken > 800_000);
    const big = modernRequest('tools/call', { name: 'demo.echo', arguments: { text: 'x'.repeat(400_000) } });
    expectError(await raw(small.port, big), 503, -32603);
    expect((await raw(small.port, modernRequest('tools/list'))).status).toBe(200);
    hanging.destroy();
    await until(() => small.bodies.taken === 0);
    expect((await raw(small.port, big)).status).toBe(200);
    await small.stop();
  });

  it('listens over the limit are overloaded, and a dropped listen makes room', async () => {
    const small = await startSpecFront({ maxListens: 1 });
    const listen = modernRequest('subscriptions/listen', { notifications: { toolsListChanged: true } });
    const socket = connect(small.port, '127.0.0.1');
    socket.write(listen);
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toContain('200 OK');
    expectError(await raw(small.port, listen), 503, -32603);
    socket.destroy();
    await until(() => small.listens.taken === 0);
    await small.stop();
  });

  it('a client that never finishes its request is cut off, while others are served', async () => {
    const strict = await startSpecFront({ requestTimeoutMs: 300 });
    const slow = connect(strict.port, '127.0.0.1');
    slow.write(request('', { 'content-length': '100' }));
    const cutOff = once(slow, 'data');
    expect((await raw(strict.port, modernRequest('tools/list'))).status).toBe(200);
    expect(String((await cutOff)[0])).toContain('408');
    await until(() => strict.requests.taken === 0);
    await strict.stop();
  });

  it('64 requests at once with one id each get their own answer', async () => {
    const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => call('demo.echo', { text: `text ${i}` })));
    const texts = answers.map(({ json }) => (json.result?.content as { text: string }[])[0]?.text);
    expect(texts).toEqual(Array.from({ length: 64 }, (_, i) => `text ${i}`));
  });

  it('a connection that is reset in the middle of its body leaves nothing behind', async () => {
    const socket = connect(front.port, '127.0.0.1');
    socket.write(request('{"jsonrpc"', { 'content-length': '1000' }));
    await until(() => front.requests.taken > 0);
    socket.resetAndDestroy();
    await until(() => front.requests.taken === 0);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
