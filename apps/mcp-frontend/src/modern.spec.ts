import { once } from 'node:events';
import { connect } from 'node:net';
import { ANONYMOUS } from '@callboard/access';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createMcpHandler } from '@modelcontextprotocol/server';
import { createServer } from './server-factory.js';
import { ENVELOPE, modernRequest, raw, startSpecFront, type SpecFront } from './spec-front.js';
import type { Departure } from './waiting.js';

const principal = ANONYMOUS;
const ELICITATION = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };

let front: SpecFront;
beforeAll(async () => {
  front = await startSpecFront();
});
afterAll(() => front.stop());

const modern = (...args: Parameters<typeof modernRequest>) => raw(front.port, modernRequest(...args));

/** The same request, served by the SDK's own server and transport. */
async function bySdk(method: string, params: object, meta: object = {}) {
  const { parts } = front;
  const handler = createMcpHandler(
    () => createServer({ era: 'modern', principal, header: () => undefined, isCancelled: () => true, parts }),
    {
      legacy: 'reject',
    },
  );
  const { name } = params as { name?: string };
  const body = { jsonrpc: '2.0', id: 'id-1', method, params: { _meta: { ...ENVELOPE, ...meta }, ...params } };
  const response = await handler.fetch(
    new Request('http://localhost/mcp', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        ...(name !== undefined && { 'mcp-name': name }),
      },
      body: JSON.stringify(body),
    }),
  );
  const text = await response.text();
  await handler.close();
  return { status: response.status, type: response.headers.get('content-type'), text };
}

/** The last message, in which the order of members means nothing, and everything before it as it is on the wire. */
function split(text: string): [last: unknown, before: string] {
  const at = text.lastIndexOf('data: ');
  const last = JSON.parse(at < 0 ? text : text.slice(at + 'data: '.length)) as { error?: { message: string } };
  // The SDK words a missing capability by the question that it was for.
  if (last.error) last.error.message = last.error.message.replace(/^Cannot request input .*|^Missing .*/, 'missing');
  return [last, at < 0 ? '' : text.slice(0, at)];
}

describe('what the SDK would have answered', () => {
  const bothLevels = { progressToken: 'token-1', 'io.modelcontextprotocol/logLevel': 'info' };

  it.each<[string, object, object]>([
    ['tools/list', {}, {}],
    ['tools/call', { name: 'demo.echo', arguments: { text: 'ünïcödé \u2028 "quoted"' } }, {}],
    ['tools/call', { name: 'demo.progress' }, bothLevels],
    ['tools/call', { name: 'demo.progress' }, { progressToken: 7 }],
    ['tools/call', { name: 'demo.progress' }, { 'io.modelcontextprotocol/logLevel': 'debug' }],
    ['tools/call', { name: 'demo.progress' }, { 'io.modelcontextprotocol/logLevel': 'error' }],
    ['tools/call', { name: 'demo.progress' }, {}],
    ['tools/call', { name: 'demo.nothing' }, {}],
    ['tools/call', { name: 'demo.asks' }, {}],
    ['tools/call', { name: 'demo.asks', requestState: 'v2.forged' }, {}],
    ['tools/call', { name: 'demo.samples' }, {}],
  ])('%s %j with %j is answered as by the SDK, frame by frame', async (method, params, meta) => {
    const sdk = await bySdk(method, params, meta);
    const ours = await modern(method, params as Record<string, unknown>, { meta: meta as Record<string, unknown> });
    expect([ours.status, ours.headers['content-type']]).toEqual([sdk.status, sdk.type]);
    const [result, notifications] = split(ours.text);
    const [sdkResult, sdkNotifications] = split(sdk.text);
    expect(notifications).toBe(sdkNotifications);
    expect(result).toEqual(sdkResult);
  });

  it('a plain answer carries its length, a stream does not', async () => {
    const plain = await modern('tools/call', { name: 'demo.echo', arguments: { text: 'x' } });
    expect(plain.headers['content-length']).toBe(String(Buffer.byteLength(plain.text)));
    const stream = await modern('tools/call', { name: 'demo.progress' }, { meta: { progressToken: 1 } });
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(stream.headers['content-length']).toBeUndefined();
  });
});

describe('rounds of input', () => {
  const ask = async () => (await modern('tools/call', { name: 'demo.asks' }, { meta: ELICITATION })).json.result!;
  const answers = { name: { action: 'accept', content: { name: 'Ada' } } };
  const answer = (params: object, name = 'demo.asks') =>
    modern('tools/call', { name, inputResponses: answers, ...params }, { meta: ELICITATION });

  it('the question goes out with its state sealed, and the answer comes back with it open', async () => {
    const question = await ask();
    expect(question).toMatchObject({ resultType: 'input_required', inputRequests: { name: expect.anything() } });
    expect(question.requestState).toMatch(/^v2\./);
    expect(Buffer.from(String(question.requestState).slice(3), 'base64url').toString()).not.toContain('asked');
    const done = await answer({ requestState: question.requestState });
    expect(done.json.result?.content).toEqual([{ type: 'text', text: `state-ok ${JSON.stringify(answers)}` }]);
  });

  it('a state that was changed in any character is refused', async () => {
    const state = String((await ask()).requestState);
    for (let at = 0; at < state.length; at += 7) {
      const changed = state.slice(0, at) + (state[at] === 'A' ? 'B' : 'A') + state.slice(at + 1);
      const refused = await answer({ requestState: changed });
      expect(refused.json.error).toEqual({
        code: -32602,
        message: 'Invalid or expired requestState',
        data: { reason: 'invalid_request_state' },
      });
    }
    expect((await answer({ requestState: `${state}-TAMPERED` })).json.error?.code).toBe(-32602);
    expect((await answer({ requestState: 7 })).json.error?.code).toBe(-32602);
  });

  it('a state is of no use to another action or another principal', async () => {
    const requestState = String((await ask()).requestState);
    expect((await answer({ requestState }, 'demo.progress')).json.error?.code).toBe(-32602);
    const binding = { method: 'tools/call', actionId: 'demo.asks', principal };
    expect(front.parts.seal.open(requestState, binding)).toBe('asked');
    const stranger = { ...binding, principal: { ...principal, userId: 'user:default/mallory' } };
    expect(() => front.parts.seal.open(requestState, stranger)).toThrow('Invalid or expired requestState');
  });

  it('a question that the client cannot answer does not go out', async () => {
    const refused = await modern('tools/call', { name: 'demo.asks' });
    expect([refused.status, refused.json.error]).toMatchObject([
      400,
      { code: -32021, data: { requiredCapabilities: { elicitation: { form: {} } } } },
    ]);
  });
});

describe('resources, prompts and completion', () => {
  it('a template is read with its variables', async () => {
    const answer = await modern('resources/read', { uri: 'spec://note/42' });
    expect(answer.json.result).toMatchObject({
      contents: [{ uri: 'spec://note/42', text: '42' }],
      ttlMs: expect.any(Number),
      cacheScope: 'private',
    });
  });

  it('a prompt is filled in, and its arguments are completed by what was typed', async () => {
    const prompt = await modern('prompts/get', { name: 'greet', arguments: { who: 'Ada' } });
    expect(prompt.json.result?.messages).toEqual([{ role: 'user', content: { type: 'text', text: 'Greet Ada' } }]);
    const completion = await modern('completion/complete', {
      ref: { type: 'ref/prompt', name: 'greet' },
      argument: { name: 'who', value: 'A' },
    });
    expect(completion.json.result?.completion).toEqual({ values: ['Ada', 'Alan'], total: 2, hasMore: false });
  });

  it('what a client is offered leaves out what is not for clients', async () => {
    const prompts = await modern('prompts/list');
    expect(prompts.json.result?.prompts).toEqual([
      { name: 'greet', description: 'A greeting', arguments: [{ name: 'who', required: true }] },
    ]);
  });
});

describe('subscriptions/listen', () => {
  it('tells that a tool is not known only when it is known which there are', async () => {
    const call = modernRequest('tools/call', { name: 'no.such', arguments: {} });
    const unknown = await raw(front.port, call);
    expect([unknown.status, unknown.json.error]).toMatchObject([200, { data: { code: 'unknown_action' } }]);
    const local = await startSpecFront({ mayLack: true });
    const unsure = await raw(local.port, call);
    await local.stop();
    expect([unsure.status, unsure.json.error]).toMatchObject([503, { data: { code: 'unavailable', retryable: true } }]);
    expect(unsure.headers['retry-after']).toBe('2');
  });

  it('acknowledges first, then tells of what was asked for and of nothing else, and ends in order', async () => {
    const local = await startSpecFront();
    const socket = connect(local.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write(modernRequest('subscriptions/listen', { notifications: { toolsListChanged: true } }));
    await once(socket, 'data');
    local.bus.publish({ kind: 'prompts_list_changed' });
    local.bus.publish({ kind: 'tools_list_changed' });
    const closed = once(socket, 'close');
    await local.stop();
    await closed;
    const frames = [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Record<string, unknown>);
    const tagged = { _meta: expect.objectContaining({ 'io.modelcontextprotocol/subscriptionId': 'id-1' }) };
    expect(frames).toEqual([
      expect.objectContaining({
        method: 'notifications/subscriptions/acknowledged',
        params: expect.objectContaining({ ...tagged, notifications: { toolsListChanged: true } }),
      }),
      expect.objectContaining({ method: 'notifications/tools/list_changed', params: expect.objectContaining(tagged) }),
      expect.objectContaining({ id: 'id-1', result: expect.objectContaining({ resultType: 'complete' }) }),
    ]);
  });
});

describe('a replica that stops', () => {
  it('says so to what it takes no more, and finishes tool calls', async () => {
    const local = await startSpecFront();
    await local.modern.close();
    const refused = await raw(local.port, modernRequest('prompts/list'));
    expect([refused.status, refused.headers['retry-after'], refused.json.error?.data]).toMatchObject([
      503,
      '1',
      { code: 'unavailable', retryable: true },
    ]);
    const call = modernRequest('tools/call', { name: 'demo.echo', arguments: { text: 'still' } });
    expect((await raw(local.port, call)).status).toBe(200);
    await local.stop();
  });
});

describe('a client that goes away', () => {
  it('is not waited for', async () => {
    let onGone!: (leave: (how: Departure) => void) => void;
    const local = await startSpecFront();
    const { invoker } = local.parts;
    const called = new Promise<void>((resolve) => {
      local.parts.invoker = {
        invoke: (call) => {
          onGone = (leave) => call.onGone?.(leave);
          resolve();
          return invoker.invoke(call);
        },
        withdraw: () => undefined,
      };
    });
    const socket = connect(local.port, '127.0.0.1');
    socket.write(modernRequest('tools/call', { name: 'demo.hangs', arguments: {} }));
    await called;
    const left = new Promise<Departure>((leave) => onGone(leave));
    socket.destroy();
    expect(await left).toBe('cancelled');
    await local.stop();
  });
});
