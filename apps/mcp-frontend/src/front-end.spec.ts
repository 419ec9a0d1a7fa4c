import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { modernRequest, raw } from './spec-front.js';

const ELICITATION = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };

let stack: TestStack;
let ports: number[];
beforeAll(async () => {
  stack = await startStack({
    replicas: { 'mcp-frontend': 2 },
    env: { CALLBOARD_ACTION_MODULES: '@callboard/demo-actions,@callboard/conformance-actions' },
  });
  ports = stack.ready.mcp_urls.map((url) => Number(new URL(url).port));
}, 60_000);
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
