import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { ErrorBody } from '@callboard/envelope';
import { CALLS, startStack, type TestStack } from '@callboard/testing';
import type { ToolResult } from './answer.js';
import { HttpCaller, type ToolCall } from './http-caller.js';
import { readAppended } from './append-log.js';
import { Observer } from './observe.js';

let stack: TestStack;
let observer: Observer;
let caller: HttpCaller;

beforeAll(async () => {
  stack = await startStack({ apps: CALLS, replicas: { 'mcp-frontend': 2, 'action-runner': 2 } });
  observer = await Observer.connect(stack.ready);
  caller = new HttpCaller(stack.ready.mcp_url, stack.ready.token, 30_000);
});
afterAll(async () => {
  await caller?.close();
  await observer?.close();
  await stack?.stop();
});

const field = (name: string) => `io.callboard/${name}`;
const correlationIdOf = (result: ToolResult) => result._meta?.[field('correlation_id')];
const isReplayed = (result: ToolResult) => result._meta?.[field('replayed')] === true;
const echo = (about: Pick<ToolCall, 'meta' | 'headers'>): ToolCall => ({
  name: 'demo.echo',
  arguments: { text: 'hello' },
  ...about,
});

/** The result of a call that MCP answers with one. */
async function resultOf(call: ToolCall, from = caller): Promise<ToolResult> {
  const { status, messages } = await from.callTool(call);
  const result = messages.find((message) => message.result)?.result;
  if (!result) throw new Error(`no result: ${status} ${JSON.stringify(messages)}`);
  return result;
}

/** The error of a call that Callboard refuses, as a tool error or as a protocol error. */
async function errorOf(call: ToolCall): Promise<Partial<ErrorBody>> {
  const { messages } = await caller.callTool(call);
  const response = messages.find(({ result, error }) => result ?? error);
  if (response?.error) return { message: response.error.message, ...response.error.data };
  return response?.result?.structuredContent?.error ?? {};
}

describe('200 simultaneous calls with one idempotency key over two front ends', () => {
  const append: ToolCall = {
    name: 'demo.append',
    arguments: { key: 'stampede', value: 1 },
    meta: { [field('idempotency_key')]: 'stampede' },
  };
  let results: ToolResult[];

  beforeAll(async () => {
    const callers = Array.from({ length: 200 }, (_, index) => {
      const { mcp_urls: urls, token } = stack.ready;
      return new HttpCaller(urls[index % urls.length]!, token, 30_000);
    });
    results = await Promise.all(callers.map((each) => resultOf(append, each)));
    await Promise.all(callers.map((each) => each.close()));
  });

  it('have one side effect', async () => {
    const effects = await readAppended(stack.dataDir);
    expect(effects.filter(({ key }) => key === 'stampede')).toHaveLength(1);
  });

  it('have 200 equal results', () => {
    const told = results.map(({ content, isError, _meta }) => ({
      content,
      isError,
      id: _meta?.[field('correlation_id')],
    }));
    expect(told).toHaveLength(200);
    for (const one of told) expect(one).toEqual(told[0]);
    expect(told[0]?.isError).toBeFalsy();
  });

  it('are marked as replayed, but for the one that was first', () => {
    expect(results.filter(isReplayed)).toHaveLength(199);
  });

  it('leave a key that is a conflict with other arguments', async () => {
    const error = await errorOf({ ...append, arguments: { key: 'stampede', value: 2 } });
    expect(error).toMatchObject({ code: 'idempotency_conflict', retryable: false });
    const effects = await readAppended(stack.dataDir);
    expect(effects.filter(({ key }) => key === 'stampede')).toHaveLength(1);
  });

  it('leave a key that is a conflict with another ordering key', async () => {
    const other = { ...append, meta: { ...append.meta, [field('ordering_key')]: 'elsewhere' } };
    expect(await errorOf(other)).toMatchObject({ code: 'idempotency_conflict' });
  });
});

describe('messaging fields', () => {
  it('in _meta reach the stored command', async () => {
    const result = await resultOf(
      echo({
        meta: {
          [field('ordering_key')]: 'orders/7 of Zoë',
          [field('idempotency_key')]: 'all in _meta',
          [field('deadline_ms')]: 12_345,
          [field('priority')]: 'high',
          [field('saga_id')]: 'saga-1',
          [field('saga_step')]: 'step-2',
          [field('compensation')]: { tool: 'demo', method: 'echo', args: { text: 'undo' } },
        },
      }),
    );
    expect(await observer.envelope(String(correlationIdOf(result)))).toMatchObject({
      ordering_key: 'orders/7 of Zoë',
      idempotency_key: 'all in _meta',
      deadline_ms: 12_345,
      priority: 'high',
      saga_id: 'saga-1',
      saga_step: 'step-2',
      compensation: { tool: 'demo', method: 'echo', args: { text: 'undo' } },
    });
  });

  it('in HTTP headers reach the stored command', async () => {
    const result = await resultOf(
      echo({
        headers: {
          'Idempotency-Key': 'all-in-headers',
          'X-Callboard-Ordering-Key': 'orders/8',
          'X-Callboard-Deadline-Ms': '23456',
          'X-Callboard-Priority': 'low',
        },
      }),
    );
    expect(await observer.envelope(String(correlationIdOf(result)))).toMatchObject({
      ordering_key: 'orders/8',
      idempotency_key: 'all-in-headers',
      deadline_ms: 23_456,
      priority: 'low',
    });
  });

  it('that are left out have their documented defaults', async () => {
    const append: ToolCall = { name: 'demo.append', arguments: { key: 'defaults', value: 0 } };
    const envelope = await observer.envelope(String(correlationIdOf(await resultOf(append))));
    expect(envelope).toMatchObject({ priority: 'normal', accept_async: false, accept_partials: false });
    expect(envelope.idempotency_key).toBeUndefined();
    expect(envelope.deadline_ms).toBeGreaterThan(0);
  });

  it('in _meta win over those in headers', async () => {
    const both = echo({
      meta: { [field('ordering_key')]: 'of meta', [field('idempotency_key')]: 'meta-wins' },
      headers: { 'X-Callboard-Ordering-Key': 'of-header', 'Idempotency-Key': 'header-loses' },
    });
    const first = await resultOf(both);
    expect(await observer.envelope(String(correlationIdOf(first)))).toMatchObject({
      ordering_key: 'of meta',
      idempotency_key: 'meta-wins',
    });
  });

  it('an Idempotency-Key header names the same command as _meta, also in the quotes of its draft', async () => {
    const first = await resultOf(echo({ meta: { [field('idempotency_key')]: 'either-way' } }));
    expect(isReplayed(first)).toBe(false);
    for (const written of ['either-way', '"either-way"']) {
      const again = await resultOf(echo({ headers: { 'Idempotency-Key': written } }));
      expect(isReplayed(again)).toBe(true);
      expect(correlationIdOf(again)).toBe(correlationIdOf(first));
    }
  });

  it('an idempotency key of one action is another key for another action', async () => {
    const meta = { [field('idempotency_key')]: 'shared-by-two' };
    const one = await resultOf(echo({ meta }));
    const other = await resultOf({ name: 'demo.append', arguments: { key: 'shared', value: 0 }, meta });
    expect(isReplayed(other)).toBe(false);
    expect(correlationIdOf(other)).not.toBe(correlationIdOf(one));
  });

  it('a deadline in a header ends a command that takes longer', async () => {
    const error = await errorOf({
      name: 'demo.sleep',
      arguments: { ms: 20_000 },
      headers: { 'X-Callboard-Deadline-Ms': '300' },
    });
    expect(error).toMatchObject({ code: 'deadline_exceeded' });
    expect(error.correlation_id).toBeDefined();
  });

  it('in _meta are heard from clients of the 2025 era as well', async () => {
    const client = new Client({ name: 'legacy', version: '1.0.0' }, { versionNegotiation: { mode: 'legacy' } });
    const headers = { authorization: `Bearer ${stack.ready.token}` };
    const transport = new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url), { requestInit: { headers } });
    await client.connect(transport);
    try {
      const _meta = { [field('idempotency_key')]: 'of 2025' };
      const call = { name: 'demo.echo', arguments: { text: 'hello' }, _meta };
      const first = (await client.callTool(call)) as ToolResult;
      const second = (await client.callTool(call)) as ToolResult;
      expect([isReplayed(first), isReplayed(second)]).toEqual([false, true]);
      expect(correlationIdOf(second)).toBe(correlationIdOf(first));
    } finally {
      await transport.terminateSession();
      await client.close();
    }
  });
});

describe('a messaging field of a wrong type or value', () => {
  const nested = { tool: 7, method: 'echo', args: {} };
  it.each<[string, unknown]>([
    ['ordering_key', 7],
    ['ordering_key', ''],
    ['ordering_key', 'x'.repeat(257)],
    ['idempotency_key', { secret: 'value' }],
    ['idempotency_key', ''],
    ['deadline_ms', 'soon'],
    ['deadline_ms', 0],
    ['deadline_ms', 1.5],
    ['deadline_ms', 10 ** 12],
    ['priority', 'urgent'],
    ['accept_async', 'yes'],
    ['saga_id', 5],
    ['saga_step', []],
    ['compensation', 'demo.echo'],
    ['compensation', nested],
  ])('is refused in _meta: %s %j', async (name, value) => {
    const error = await errorOf(echo({ meta: { [field(name)]: value } }));
    expect(error).toMatchObject({ code: 'invalid_messaging_field', retryable: false });
    expect(error.message).toContain(name);
    expect(error.message).not.toMatch(/secret|urgent|soon|xxx/);
  });

  it.each([
    ['X-Callboard-Deadline-Ms', 'soon'],
    ['X-Callboard-Deadline-Ms', '1e3x'],
    ['X-Callboard-Priority', 'urgent'],
    ['X-Callboard-Accept-Async', 'maybe'],
    ['X-Callboard-Ordering-Key', 'x'.repeat(257)],
    ['Idempotency-Key', 'x'.repeat(257)],
  ])('is refused in a header: %s %s', async (name, value) => {
    const error = await errorOf(echo({ headers: { [name]: value } }));
    expect(error).toMatchObject({ code: 'invalid_messaging_field', retryable: false });
    expect(error.message?.toLowerCase()).toContain(name.toLowerCase());
  });

  it('is refused before anything is stored', async () => {
    const before = await observer.countCommands();
    await errorOf(echo({ meta: { [field('priority')]: 'urgent' } }));
    await errorOf(echo({ headers: { 'X-Callboard-Deadline-Ms': 'soon' } }));
    expect(await observer.countCommands()).toBe(before);
  });
});

describe('the correlation id', () => {
  it.each<[string, ToolCall]>([
    ['a success', echo({})],
    ['a failure of the action', { name: 'demo.fail', arguments: { id: 'never', times: 100, retryable: false } }],
    ['a passed deadline', { name: 'demo.sleep', arguments: { ms: 20_000 }, meta: { [field('deadline_ms')]: 200 } }],
    ['arguments that do not match', { name: 'demo.append', arguments: { key: 5 } }],
  ])('is in the _meta of the result of %s', async (_, call) => {
    const result = await resultOf(call);
    expect(correlationIdOf(result)).toEqual(expect.stringMatching(/^[ci]_[\w-]+$/));
    const error = result.structuredContent?.error;
    if (result.isError) expect(error?.correlation_id).toBe(correlationIdOf(result));
  });

  it('leads to the stored command', async () => {
    const result = await resultOf(echo({}));
    expect(await observer.envelope(String(correlationIdOf(result)))).toMatchObject({
      correlation_id: correlationIdOf(result),
      tool: 'demo',
      method: 'echo',
      args: { text: 'hello' },
    });
  });

  it('is another one for every call without an idempotency key', async () => {
    const [one, other] = await Promise.all([resultOf(echo({})), resultOf(echo({}))]);
    expect(correlationIdOf(one)).not.toBe(correlationIdOf(other));
  });
});
