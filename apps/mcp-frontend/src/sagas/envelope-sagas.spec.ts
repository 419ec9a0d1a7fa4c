/** Sagas whose steps are calls, as MCP clients make them: the whole stack. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ENVELOPE_VERSION, newCorrelationId, type CommandEnvelope, type JsonObject } from '@callboard/envelope';
import { CommandClient } from '@callboard/jetstream';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import type { Invocation } from '../call.js';
import { modernRequest, raw } from '../spec-front.js';
import { SagaDesk } from './saga-desk.js';
import { SAGA_TOOLS } from './saga-tools.js';

const WITHIN_MS = 3_600_000;

let stack: TestStack;
let port: number;
beforeAll(async () => {
  stack = await startStack({
    apps: [...CALLS, 'saga-orchestrator'],
    env: { CALLBOARD_CALL_SAGA_DEADLINE_MS: String(WITHIN_MS) },
  });
  port = Number(new URL(stack.ready.mcp_url).port);
});
afterAll(() => stack.stop());

const call = async (name: string, args: JsonObject, meta: JsonObject = {}, headers: Record<string, string> = {}) =>
  (await raw(port, modernRequest('tools/call', { name, arguments: args }, { meta, headers }))).json.result!;
const log = async (key: string) =>
  (await readFile(join(stack.dataDir, 'demo', 'append.log'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { key: string; value: string })
    .filter((line) => line.key === key)
    .map(({ value }) => value);
const step = (saga: string, name: string) =>
  call(
    'demo.append',
    { key: saga, value: name },
    {
      'io.callboard/saga_id': saga,
      'io.callboard/saga_step': name,
      'io.callboard/compensation': { tool: 'demo', method: 'append', args: { key: saga, value: `un${name}` } },
    },
  );

/** The same as a command, of whoever has no front end before it. */
function commandOf(saga: string, name: string): CommandEnvelope {
  const now = Date.now();
  return {
    envelope_version: ENVELOPE_VERSION,
    correlation_id: newCorrelationId(),
    tenant_id: 'default',
    user_id: 'user:default/spec',
    tool: 'demo',
    method: 'append',
    args: { key: saga, value: name },
    ordering_key: saga,
    deadline_ms: 60_000,
    priority: 'normal',
    accept_partials: false,
    accept_async: false,
    saga_id: saga,
    saga_step: name,
    compensation: { tool: 'demo', method: 'append', args: { key: saga, value: `un${name}` } },
    issued_at: new Date(now).toISOString(),
    deadline_at: new Date(now + 60_000).toISOString(),
  };
}

describe('calls that carry a saga_id', () => {
  it('are one saga, which succeeds when it is completed and all of them have', async () => {
    await step('tour', 'book');
    await step('tour', 'pay');
    const { structuredContent } = await call('callboard.saga.complete', { saga_id: 'tour', wait_ms: 20_000 });
    expect(structuredContent).toMatchObject({
      phase: 'succeeded',
      steps: [
        { step: 'book', status: 'succeeded', action: 'demo.append' },
        { step: 'pay', status: 'succeeded' },
      ],
    });
    expect(await log('tour')).toEqual(['book', 'pay']);
    const { started_at, deadline_at } = structuredContent as { started_at: string; deadline_at: string };
    expect(Date.parse(deadline_at) - Date.parse(started_at)).toBe(WITHIN_MS);
  });

  it('are undone, the last first, when it is aborted, and no call joins any more', async () => {
    await step('strike', 'book');
    await step('strike', 'pay');
    const aborted = await call('callboard.saga.abort', { saga_id: 'strike', wait_ms: 20_000, reason: 'no show' });
    expect(aborted.structuredContent).toMatchObject({
      phase: 'compensated',
      reason: { kind: 'aborted', reason: 'no show' },
    });
    expect(await log('strike')).toEqual(['book', 'pay', 'unpay', 'unbook']);
    const late = await step('strike', 'travel');
    expect(late).toMatchObject({ isError: true, structuredContent: { error: { code: 'saga_ended' } } });
    expect(await log('strike')).toHaveLength(4);
  });

  it('are undone when one of them fails', async () => {
    await step('flop', 'book');
    await call(
      'demo.fail',
      { id: 'flop', times: 9, retryable: false },
      { 'io.callboard/saga_id': 'flop', 'io.callboard/saga_step': 'play' },
    );
    const { structuredContent } = await call('callboard.saga.show', { saga_id: 'flop', wait_ms: 20_000 });
    expect(structuredContent).toMatchObject({ phase: 'compensated', reason: { kind: 'step_failed', step: 'play' } });
    expect(await log('flop')).toEqual(['book', 'unbook']);
  });

  it('are undone when nobody completes it in time, and are not forgotten', async () => {
    const nc = await stack.connect('mcp-frontend');
    const desk = await SagaDesk.open(nc, 1_000);
    const commands = await CommandClient.start(nc, { instance: 'spec' });
    try {
      const command = commandOf('late', 'book');
      // Done before its saga hears of it, so that it has something to undo however slow the machine is.
      await (
        await commands.submit(command)
      ).outcome;
      await desk.join(command);
      const { tenant_id: tenantId, user_id: userId } = command;
      const show = (waitMs: number) =>
        desk.serve({
          action: SAGA_TOOLS.show,
          args: { saga_id: 'late', wait_ms: waitMs },
          principal: { tenantId, userId },
        } as unknown as Invocation);
      expect((await show(30_000)).structuredContent).toMatchObject({
        phase: 'compensated',
        reason: { kind: 'deadline_exceeded' },
        steps: [{ step: 'book', status: 'succeeded', undone: 'undone' }],
      });
      expect(await log('late')).toEqual(['book', 'unbook']);
      await expect(desk.join(commandOf('late', 'pay'))).rejects.toMatchObject({ code: 'saga_ended' });
    } finally {
      commands.close();
      await nc.close();
    }
  });

  it("are nobody else's business", async () => {
    await step('private', 'book');
    const bearer = { Authorization: `Bearer ${stack.ready.token}` };
    for (const tool of ['callboard.saga.show', 'callboard.saga.abort', 'callboard.saga.complete']) {
      const { structuredContent } = await call(tool, { saga_id: 'private', wait_ms: 0 }, {}, bearer);
      expect(structuredContent).toMatchObject({ error: { code: 'not_found' } });
    }
    const theirs = { 'io.callboard/saga_id': 'private', 'io.callboard/saga_step': 'theirs' };
    const joined = await call('demo.append', { key: 'private', value: 'theirs' }, theirs, bearer);
    expect(joined.structuredContent).toMatchObject({ error: { code: 'not_found' } });
    expect(await log('private')).toEqual(['book']);
  });

  it('go on when the orchestrator is killed between two of them', async () => {
    await step('kill', 'book');
    const { processes } = await stack.readReady();
    const [killed] = processes['saga-orchestrator']!;
    process.kill(killed!, 'SIGKILL');
    await step('kill', 'pay');
    await waitFor(async () => (await stack.readReady()).processes['saga-orchestrator']![0] !== killed, {
      what: 'another orchestrator',
    });
    const { structuredContent } = await call('callboard.saga.abort', { saga_id: 'kill', wait_ms: 30_000 });
    expect(structuredContent).toMatchObject({ phase: 'compensated' });
    expect(await log('kill')).toEqual(['book', 'pay', 'unpay', 'unbook']);
  });
});
