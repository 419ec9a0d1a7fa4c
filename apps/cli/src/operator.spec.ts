/** What an operator does with a running stack: dead letters, cancelled and scheduled commands. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard, connect, type Ran } from './spec-callboard.js';

const SLOW_MS = 60_000;

let folder: string;
let stack: TestStack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-operator-'));
  stack = await startStack({ dataDir: join(folder, 'data') });
}, SLOW_MS);
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

const operate = (...args: string[]): Promise<Ran> => callboard(...args, '--data-dir', stack.dataDir);

/** Runs a command that must succeed, and returns what it printed as JSON. */
async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await operate(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

/** Calls a tool as a client does; returns the code of its failure, if it failed, and its correlation id. */
async function call(name: string, args: Record<string, unknown>, meta: Record<string, unknown> = {}) {
  const client = await connect(stack.ready.mcp_url, stack.ready.token);
  try {
    const result = await client.callTool({ name, arguments: args, _meta: meta });
    const { error } = (result.structuredContent ?? {}) as { error?: { code: string } };
    return { code: error?.code, correlationId: String(result._meta?.['io.callboard/correlation_id']) };
  } finally {
    await client.close();
  }
}

interface Listed {
  letter: number;
  reason: string;
  action: string;
  ordering_key: string;
  attempts: number;
  correlation_id: string;
  last_error: { code: string };
  redrivable: boolean;
}
interface Shown {
  envelope: { redrive_of?: string; lineage?: string[]; ordering_key: string };
  outcome?: { status: string; attempts: number };
}

const outcomeOf = (correlationId: string) =>
  waitFor(async () => (await json<Shown>('commands', 'show', correlationId)).outcome, {
    what: `the outcome of ${correlationId}`,
    timeoutMs: 20_000,
  });

describe('callboard dlq', () => {
  /** A command that fails at its first five attempts, which is when it gives up, and works after that. */
  const failing = (id: string) =>
    call('demo.fail', { id, times: 5, retryable: true }, { 'io.callboard/ordering_key': `key of ${id}` });

  it(
    'lists, shows and redrives what gave up, as a command of the same key with its lineage',
    async () => {
      const { code, correlationId } = await failing('one');
      expect(code).toBe('dead_lettered');
      const [listed, ...others] = await json<Listed[]>('dlq', 'list', '--key', 'key of one');
      expect(others).toEqual([]);
      expect(listed).toMatchObject({
        reason: 'attempts_exhausted',
        action: 'demo.fail',
        ordering_key: 'key of one',
        attempts: 5,
        correlation_id: correlationId,
        last_error: { code: 'action_failed' },
        redrivable: true,
      });
      const letter = String(listed!.letter);
      const table = await operate('dlq', 'list', '--action', 'demo.fail', '--since', '1h');
      expect(table.stdout).toMatch(
        new RegExp(`^${letter} +\\d+s +attempts_exhausted +demo\\.fail .*${correlationId}$`, 'm'),
      );
      await expect(json('dlq', 'show', letter)).resolves.toMatchObject({ envelope: { args: { id: 'one' } } });

      const [planned] = await json<{ correlation_id: string }[]>('dlq', 'redrive', letter, '--dry-run');
      const unknown = await operate('commands', 'show', planned!.correlation_id);
      expect(unknown.code).toBe(1);

      const redriven = await json('dlq', 'redrive', letter);
      expect(redriven).toEqual([
        { letter: listed!.letter, redrive_of: correlationId, correlation_id: planned!.correlation_id, before: false },
      ]);
      await expect(outcomeOf(planned!.correlation_id)).resolves.toMatchObject({ status: 'succeeded', attempts: 1 });
      const { envelope } = await json<Shown>('commands', 'show', planned!.correlation_id);
      expect(envelope).toMatchObject({
        redrive_of: correlationId,
        lineage: [correlationId],
        ordering_key: 'key of one',
      });
      await expect(json('dlq', 'list', '--key', 'key of one')).resolves.toEqual([]);
    },
    SLOW_MS,
  );

  it(
    'discards what is named, says what it would discard, and wants to be told when that is everything',
    async () => {
      await Promise.all([failing('two'), failing('three')]);
      await expect(json('dlq', 'discard', '--all', '--dry-run')).resolves.toHaveLength(2);
      await expect(json('dlq', 'discard', '--key', 'key of two')).resolves.toHaveLength(1);
      const left = await json<Listed[]>('dlq', 'list');
      expect(left.map(({ ordering_key }) => ordering_key)).toEqual(['key of three']);

      for (const command of ['redrive', 'discard']) {
        const unsaid = await operate('dlq', command);
        expect(unsaid).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('or --all') });
        const nowhere = await operate('dlq', command, '4711');
        expect(nowhere).toMatchObject({ code: 1, stderr: 'callboard: No dead letter that fits is at 4711.\n' });
      }
      const gone = await operate('dlq', 'show', '4711');
      expect(gone).toMatchObject({ code: 1, stdout: '' });
      await expect(json('dlq', 'discard', '--all')).resolves.toHaveLength(1);
    },
    SLOW_MS,
  );

  it.each([
    ['--since', 'yesterday'],
    ['--limit', '0'],
    ['--rate', 'fast'],
  ])('refuses %s %s', async (option, value) => {
    const refused = await callboard('dlq', 'redrive', option, value);
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(option) });
  });
});
