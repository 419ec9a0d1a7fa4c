import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, type CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { RawClient } from './sessions/spec-sessions.js';
import { modernRequest, raw } from './spec-front.js';

const ELICITATION = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };

let stack: TestStack;
let ports: number[];
beforeAll(async () => {
  stack = await startStack({
    apps: CALLS,
    replicas: { 'mcp-frontend': 2 },
    env: {
      CALLBOARD_ACTION_MODULES: '@callboard/demo-actions,@callboard/conformance-actions',
      CALLBOARD_DRAIN_TIMEOUT_MS: '2000',
    },
  });
  ports = stack.ready.mcp_urls.map((url) => Number(new URL(url).port));
});
afterAll(() => stack.stop());

const on = (replica: number) => (name: string, params: JsonObject, meta: JsonObject) =>
  raw(ports[replica]!, modernRequest('tools/call', { name, ...params }, { meta }));

describe('rounds of input through the broker', () => {
  it('under one idempotency key every round runs once, on whichever replica it arrives', async () => {
    const meta = { ...ELICITATION, 'io.callboard/idempotency_key': 'rounds-1' };
    const ask = async (replica: number) =>
      (await on(replica)('test_input_required_result_request_state', {}, meta)).json.result!;
    const [question, again] = [await ask(0), await ask(1)];
    expect([question.resultType, again.resultType]).toEqual(['input_required', 'input_required']);
    expect(again._meta).toMatchObject({ 'io.callboard/replayed': true });

    const inputResponses = { confirm: { action: 'accept', content: { ok: true } } };
    const answer = async (replica: number, requestState: unknown) =>
      (await on(replica)('test_input_required_result_request_state', { inputResponses, requestState }, meta)).json
        .result!;
    const done = await answer(1, question.requestState);
    expect(done.content).toEqual([{ type: 'text', text: 'state-ok' }]);
    expect(done._meta).not.toHaveProperty(['io.callboard/replayed']);
    const repeated = await answer(0, again.requestState);
    expect(repeated._meta).toMatchObject({ 'io.callboard/replayed': true });
  });
});

describe('a tool that appears', () => {
  it('is told to those who listen on any replica, and listed there', async () => {
    const socket = connect(ports[1]!, '127.0.0.1');
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    socket.write(modernRequest('subscriptions/listen', { notifications: { toolsListChanged: true } }));
    await waitFor(() => heard.includes('acknowledged'), { what: 'the acknowledgement' });
    await on(0)('test_trigger_tool_change', {}, {});
    await waitFor(() => heard.includes('notifications/tools/list_changed'), { what: 'the change' });
    const listed = (await raw(ports[1]!, modernRequest('tools/list'))).json.result!;
    expect((listed.tools as { name: string }[]).map(({ name }) => name)).toContain('test_dynamic_tool');
    socket.destroy();
  });
});

describe('a call through the broker', () => {
  it('streams progress in order and then its result', async () => {
    const answer = await on(0)('test_tool_with_progress', {}, { progressToken: 'p' });
    const progress = [...answer.text.matchAll(/"progress":(\d+)/g)].map(([, value]) => Number(value));
    expect(progress).toEqual([0, 50, 100]);
    expect(answer.json.result?._meta).toHaveProperty(['io.callboard/correlation_id']);
  });
});

describe('demo.approve', () => {
  const yes = { approval: { action: 'accept', content: { approve: true } } };
  const no = { approval: { action: 'decline' } };
  const capabilities = { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };
  const TASKS = { 'io.modelcontextprotocol/clientCapabilities': capabilities };
  const task = async (replica: number, method: string, params: JsonObject) =>
    (await raw(ports[replica]!, modernRequest(method, params, { meta: TASKS }))).json.result!;
  const status = async (replica: number, taskId: unknown, wanted: string) =>
    waitFor(
      async () => {
        const shown = await task(replica, 'tasks/get', { taskId });
        return shown.status === wanted && shown;
      },
      { what: `the task is ${wanted}` },
    );
  const appended = async (key: string) => {
    const log = await readFile(join(stack.dataDir, 'demo', 'append.log'), 'utf8').catch(() => '');
    const lines = log.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as JsonObject).filter((line) => line.key === key);
  };

  it.each([
    ['appends what was approved', 'approved', yes, 'appended 1 to approved', 1],
    ['appends nothing that was declined', 'declined', no, 'not approved: nothing is appended to declined', 0],
  ])('%s, and the answer may come through another front end', async (_, key, inputResponses, text, lines) => {
    const args = { arguments: { key, value: 1 } };
    const question = (await on(0)('demo.approve', args, ELICITATION)).json.result!;
    expect(question).toMatchObject({
      resultType: 'input_required',
      inputRequests: { approval: { params: { message: `Append 1 to ${key}?` } } },
    });
    expect(await appended(key)).toEqual([]);
    const { requestState } = question;
    const done = (await on(1)('demo.approve', { ...args, inputResponses, requestState }, ELICITATION)).json.result!;
    expect(done.content).toEqual([{ type: 'text', text }]);
    expect(await appended(key)).toHaveLength(lines);
  });

  it('as a task waits through the death of its runner and of the front end that made it, and appends once', async () => {
    const created = (await on(0)('demo.approve', { arguments: { key: 'survives', value: 1 } }, TASKS)).json.result!;
    expect(created.resultType).toBe('task');
    const { taskId } = created;
    await status(1, taskId, 'input_required');
    const { processes } = await stack.readReady();
    process.kill(processes['action-runner']![0]!, 'SIGKILL');
    process.kill(processes['mcp-frontend']![0]!, 'SIGKILL');
    await task(1, 'tasks/update', { taskId, inputResponses: yes });
    const done = await status(1, taskId, 'completed');
    expect(done.result).toMatchObject({ content: [{ type: 'text', text: 'appended 1 to survives' }] });
    expect(await appended('survives')).toEqual([expect.objectContaining({ correlation_id: taskId })]);
    await waitFor(
      async () => {
        const { processes: now } = await stack.readReady();
        return now['mcp-frontend']!.length === 2 && now['mcp-frontend']![0] !== processes['mcp-frontend']![0];
      },
      { what: 'both front ends' },
    );
  });

  it('asks a client of a 2025 revision over its session', async () => {
    const client = new Client({ name: 'spec', version: '1' }, { capabilities: { elicitation: {} } });
    const asked: unknown[] = [];
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params.message);
      return { action: 'accept', content: { approve: true } };
    });
    const url = new URL(stack.ready.mcp_urls[1]!);
    await client.connect(new StreamableHTTPClientTransport(url) as Parameters<Client['connect']>[0]);
    const result = await client.callTool({ name: 'demo.approve', arguments: { key: 'legacy', value: 1 } });
    expect(result.content).toEqual([{ type: 'text', text: 'appended 1 to legacy' }]);
    expect(asked).toEqual(['Append 1 to legacy?']);
    expect(await appended('legacy')).toHaveLength(1);
    await client.close();
  });
});

describe('a client of a 2025 revision that is asked, and cancels instead', () => {
  it('has its command cancelled: the next of its key goes on', async () => {
    const [, url] = stack.ready.mcp_urls as [string, string];
    const client = await RawClient.connect(url, { capabilities: { elicitation: {} } });
    const call = await client.call(url, 'demo.approve', { key: 'withdrawn', value: 1 });
    const requestId = client.lastId;
    for (let next = await call.nextMessage(); next?.message.method !== 'elicitation/create';)
      next = await call.nextMessage();
    const behind = on(0)('demo.append', { arguments: { key: 'withdrawn', value: 2 } }, {});
    await client.send(url, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } });
    expect((await behind).json.result?.content).toEqual([{ type: 'text', text: 'appended 2 to withdrawn' }]);
    // The question is taken back, and there is no response.
    expect((await call.messages()).map(({ message }) => message.method)).toEqual(['notifications/cancelled']);
  });
});

describe('a client of a 2025 revision that does not want to wait', () => {
  it('is told that its call is accepted, and has the result from callboard.result', async () => {
    const client = new Client({ name: 'spec', version: '1' });
    const url = new URL(stack.ready.mcp_urls[1]!);
    await client.connect(new StreamableHTTPClientTransport(url) as Parameters<Client['connect']>[0]);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain('callboard.result');
    const accepted = await client.callTool({
      name: 'demo.sleep',
      arguments: { ms: 2_000 },
      _meta: { 'io.callboard/accept_async': true },
    });
    const { status, correlation_id } = accepted.structuredContent as { status: string; correlation_id: string };
    expect(status).toBe('accepted');
    const fetched = (await client.callTool({
      name: 'callboard.result',
      arguments: { correlation_id, wait_ms: 20_000 },
    })) as CallToolResult;
    expect(fetched.content).toEqual([{ type: 'text', text: expect.stringMatching(/^slept \d+ ms$/) }]);
    expect(fetched._meta).toMatchObject({ 'io.callboard/correlation_id': correlation_id });
    await client.close();
  });
});

describe('a front end that stops', () => {
  it('tells who still waits which command goes on, before it cuts the connection', async () => {
    const waiting = on(0)('demo.sleep', { arguments: { ms: 4_000 } }, {});
    await waitFor(async () => (await waitingCalls(0)) > 0, { what: 'the call' });
    process.kill((await stack.readReady()).processes['mcp-frontend']![0]!, 'SIGTERM');
    const { error } = (await waiting).json.result!.structuredContent as { error: JsonObject };
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('callboard.result') });
    const { correlation_id } = error;
    const fetched = await on(1)('callboard.result', { arguments: { correlation_id, wait_ms: 20_000 } }, {});
    expect(fetched.json.result?.content).toEqual([{ type: 'text', text: expect.stringMatching(/^slept \d+ ms$/) }]);
  });

  async function waitingCalls(replica: number): Promise<number> {
    const { metrics } = await stack.readReady();
    const page = await (await fetch(metrics['mcp-frontend']![replica]!)).text();
    return Number(/^callboard_commands_waiting(?:\{.*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
  }
});
