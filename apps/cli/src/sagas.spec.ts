/** What an operator does about sagas of a running stack. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard, connect } from './spec-callboard.js';

const SLOW_MS = 180_000;
const SAGA = `id: stage.open
version: 2
description: Opens the stage, once somebody has said so.
input: { type: object, properties: { stuck: { type: boolean } } }
steps:
  - name: build
    action: demo.append
    args: { key: stage, value: built }
    compensation:
      action: demo.fail
      args: { id: '\${{ saga.id }}', times: 2, retryable: false }
      retry: { max_attempts: 1, backoff_ms: 1, max_backoff_ms: 1 }
  - { name: ask, approval: Open the stage?, approvers: [group:default/sre] }
`;

let folder: string;
let stack: TestStack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-sagas-'));
  await mkdir(join(folder, 'sagas'));
  await writeFile(join(folder, 'sagas', 'open.yaml'), SAGA);
  await writeFile(join(folder, 'config.yaml'), `sagas: ${join(folder, 'sagas')}\n`);
  stack = await startStack({
    apps: [...CALLS, 'saga-orchestrator'],
    dataDir: join(folder, 'data'),
    args: ['--config', join(folder, 'config.yaml')],
  });
}, SLOW_MS);
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

const operate = (...args: string[]) => callboard('sagas', ...args, '--data-dir', stack.dataDir);

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await operate(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

interface Shown {
  phase: string;
  steps: { step: string; status: string; undone?: string }[];
  left?: string[];
}

/** Begins the saga as a client that does not wait for it, and returns its id once it asks. */
async function begin(): Promise<string> {
  const client = await connect(stack.ready.mcp_url, stack.ready.token);
  try {
    const { structuredContent } = await waitFor(
      async () => {
        const called = await client.callTool({
          name: 'stage.open',
          arguments: {},
          _meta: { 'io.callboard/accept_async': true },
        });
        return called.isError ? false : called;
      },
      { what: 'a saga that is accepted' },
    );
    const id = (structuredContent as { correlation_id: string }).correlation_id;
    await until(id, 'a saga that asks', ({ steps }) =>
      steps.some(({ step, status }) => step === 'ask' && status === 'running'),
    );
    return id;
  } finally {
    await client.close();
  }
}

const until = (id: string, what: string, holds: (saga: Shown) => boolean) =>
  waitFor(
    async () => {
      const shown = await json<Shown>('show', id);
      return holds(shown) && shown;
    },
    { what },
  );

describe('callboard sagas', () => {
  it(
    'approves a step, in the name of one who may',
    async () => {
      const id = await begin();
      const refused = await operate('approve', id);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('group:default/sre may') });
      await json('approve', id, '--as', 'group:default/sre');
      await until(id, 'a saga that succeeded', ({ phase }) => phase === 'succeeded');
      const { sagas } = await json<{ sagas: object[] }>('list', '--phase', 'succeeded');
      expect(sagas).toMatchObject([{ saga_id: id, definition: 'stage.open@2' }]);
    },
    SLOW_MS,
  );

  it(
    'tries again, and skips, what could not be undone',
    async () => {
      const id = await begin();
      await json('reject', id, '--as', 'group:default/sre');
      await until(id, 'a halted saga', ({ phase }) => phase === 'halted');
      expect((await json<{ sagas: { saga_id: string }[] }>('list', '--phase', 'halted')).sagas).toMatchObject([
        { saga_id: id },
      ]);
      const doctor = await callboard('doctor', '--json', '--data-dir', stack.dataDir);
      const { findings } = JSON.parse(doctor.stdout) as { findings: object[] };
      expect(findings).toContainEqual(
        expect.objectContaining({ code: 'sagas_halted', status: 'warning', finding: `1 halted: ${id}` }),
      );
      await json('retry', id, '--reason', 'look again');
      await until(id, 'a saga that is halted again', ({ phase }) => phase === 'halted');
      await json('skip', id);
      const ended = await until(id, 'a saga that ended', ({ phase }) => phase === 'failed');
      expect(ended).toMatchObject({ left: ['build'], steps: [{ step: 'build', undone: 'skipped' }, { step: 'ask' }] });
      const nothing = await operate('retry', id);
      expect(nothing).toMatchObject({ code: 1, stderr: expect.stringContaining('there is nothing to retry') });
    },
    SLOW_MS,
  );

  it('draws a definition, and says what it would do and undo', async () => {
    const files = join(folder, 'sagas');
    const text = await operate('graph', 'stage.open', '--file', files);
    expect(text).toMatchObject({ code: 0, stdout: expect.stringContaining('2. ask: approval by group:default/sre') });
    const { mermaid } = await json<{ mermaid: string }>('graph', 'stage.open', '--file', files, '--mermaid');
    expect(mermaid).toMatch(/^flowchart TD/);
    const planned = await callboard('sagas', 'plan', files, '--failing', 'ask', '--json');
    expect(JSON.parse(planned.stdout)).toMatchObject({
      steps: [
        { do: 'act', step: 'build' },
        { do: 'ask', step: 'ask' },
        { do: 'undo', step: 'build' },
      ],
      end: 'compensated',
    });
  });

  it('validates definitions, with the line and the way out', async () => {
    const good = await operate('validate', join(folder, 'sagas'), '--stack');
    expect(good).toMatchObject({ code: 0, stdout: expect.stringContaining('stage.open') });
    const path = join(folder, 'wrong.yaml');
    await writeFile(path, SAGA.replace('demo.append', 'demo.apend'));
    const wrong = await operate('validate', path, '--stack');
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toMatch(/wrong\.yaml: line 7: .*build.*demo\.append/);
  });
});
