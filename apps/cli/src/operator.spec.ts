/** What an operator does with a running stack: dead letters, cancelled and scheduled commands. */
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard, connect, type Ran } from './spec-callboard.js';

const SLOW_MS = 180_000;

let folder: string;
let quotas: string;
let stack: TestStack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-operator-'));
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  await writeFile(join(folder, 'gate.mjs'), GATE);
  const config = join(folder, 'config.yaml');
  quotas = join(folder, 'quotas.yaml');
  await writeFile(quotas, QUOTAS);
  await writeFile(
    config,
    `action_modules: ['@callboard/demo-actions', ${join(folder, 'gate.mjs')}]\nquotas: ${quotas}`,
  );
  stack = await startStack({ apps: CALLS, dataDir: join(folder, 'data'), args: ['--config', config] });
}, SLOW_MS);
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

const QUOTAS = 'default: { commands: 500 }\ntenants: { acme: { commands: 50, calls: { per_second: 5 } } }';

/** An action whose key stands still after a dead letter; it fails for as long as it is told `fail` by the first command of an id. */
const GATE = `
  import { ActionError, ActionSet, defineAction } from '@callboard/actions';
  const failed = new Set();
  const gate = defineAction({
    id: 'gate.pass',
    description: 'Passes, or fails once for good',
    input: { type: 'object', properties: { id: { type: 'string' }, fail: { type: 'boolean' } }, required: ['id'] },
    attributes: { idempotent: true },
    retry: { max_attempts: 2, backoff_ms: 10 },
    onDeadLetter: 'halt',
    run: ({ id, fail }, { attempt }) => {
      if (!fail || failed.has(id)) return id;
      if (attempt === 2) failed.add(id);
      throw new ActionError('closed', { retryable: true });
    },
  });
  export const actions = new ActionSet([gate]);
`;

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
  outcome?: { status: string; attempts: number; ended_at: string };
}

const outcomeOf = (correlationId: string) =>
  waitFor(async () => (await json<Shown>('commands', 'show', correlationId)).outcome, {
    what: `the outcome of ${correlationId}`,
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

  it(
    'lets a halted key go on: redriven, its command goes first; discarded, it is passed over',
    async () => {
      const pass = (key: string, id: string, fail = false) =>
        call('gate.pass', { id, fail }, { 'io.callboard/ordering_key': key });
      for (const [key, decision] of [
        ['gate 1', 'redrive'],
        ['gate 2', 'discard'],
      ] as const) {
        expect(await pass(key, `first of ${key}`, true)).toMatchObject({ code: 'dead_lettered' });
        let waits = true;
        const second = pass(key, `second of ${key}`).finally(() => (waits = false));
        const [letter, ...more] = await json<(Listed & { halts_key: boolean })[]>('dlq', 'list', '--key', key);
        expect(more).toEqual([]);
        expect(letter).toMatchObject({ halts_key: true, action: 'gate.pass' });
        expect(waits).toBe(true);

        const [done] = await json<{ correlation_id: string }[]>('dlq', decision, String(letter!.letter));
        expect(await second).toMatchObject({ code: undefined });
        if (decision === 'discard') continue;
        const first = await outcomeOf(done!.correlation_id);
        const after = await outcomeOf((await second).correlationId);
        expect(first.status).toBe('succeeded');
        expect(Date.parse(first.ended_at)).toBeLessThanOrEqual(Date.parse(after.ended_at));
      }
    },
    SLOW_MS,
  );
});

describe('callboard commands cancel', () => {
  interface Open {
    correlation_id: string;
    ordering_key: string;
  }
  const KEY = 'cancelled key';
  const sleeping = (ms: number) => call('demo.sleep', { ms }, { 'io.callboard/ordering_key': KEY });
  const open = (count: number) =>
    waitFor(
      async () => {
        const found = await json<Open[]>('commands', 'list', '--key', KEY);
        return found.length === count && found;
      },
      { what: `${count} open commands` },
    );

  it(
    'ends what runs and what waits, says which it was, and leaves alone what has ended',
    async () => {
      const first = sleeping(50_000);
      const [running] = await open(1);
      const second = sleeping(50_000);
      const [, waiting] = await open(2);

      const before = await json('commands', 'cancel', waiting!.correlation_id);
      expect(before).toEqual({ correlation_id: waiting!.correlation_id, cancelled: true, started: false });
      const { code, stdout } = await operate('commands', 'cancel', running!.correlation_id);
      expect(stdout).toMatch(/is cancelled\. It had started/);
      expect(code).toBe(0);
      for (const called of [first, second]) expect(await called).toMatchObject({ code: 'cancelled' });
      await expect(json('commands', 'list', '--key', KEY)).resolves.toEqual([]);

      const { correlationId } = await sleeping(1);
      const late = await operate('commands', 'cancel', correlationId);
      expect(late).toMatchObject({ code: 1, stderr: `callboard: ${correlationId} had ended before: succeeded.\n` });
      const unknown = await operate('commands', 'cancel', 'c_unknown');
      expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/^callboard: No command c_unknown/) });
    },
    SLOW_MS,
  );
});

describe('callboard commands schedule', () => {
  const append = (value: string) => ['demo.append', '--args', JSON.stringify({ key: 'scheduled', value })];
  const appended = async () =>
    (await readFile(join(stack.dataDir, 'demo/append.log'), 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { value: string }).value);
  const count = async (value: string) => (await appended()).filter((each) => each === value).length;
  const names = async () => (await json<{ name: string }[]>('commands', 'schedule', 'list')).map(({ name }) => name);

  it(
    'runs an action once at a time, and again and again until it is taken back',
    async () => {
      const cron = ['--cron', '0 0 5 * * *', '--time-zone', 'Europe/Berlin'];
      await json('commands', 'schedule', 'create', 'nightly', ...append('nightly'), ...cron);
      const at = new Date(Date.now() + 3_600_000).toISOString();
      await json('commands', 'schedule', 'create', 'later', ...append('later'), '--at', at);
      const from = Date.now();
      const listed = await json('commands', 'schedule', 'list');
      const tookMs = Date.now() - from;
      expect(listed).toEqual(
        expect.arrayContaining([
          expect.objectContaining({
            name: 'later',
            next: at,
            command: expect.objectContaining({ ordering_key: 'demo:scheduled' }),
          }),
          expect.objectContaining({ name: 'nightly', when: '0 0 5 * * *', time_zone: 'Europe/Berlin' }),
        ]),
      );
      // Not before the command line has come to it, however busy the machine is.
      const soon = new Date(Date.now() + 2_000 + 4 * tookMs).toISOString();
      await json('commands', 'schedule', 'create', 'once', ...append('once'), '--at', soon);
      await json('commands', 'schedule', 'create', 'often', ...append('often'), '--every', '1s');
      await waitFor(async () => (await count('often')) >= 2, { what: 'two ticks' });
      await waitFor(async () => (await count('once')) === 1, { what: 'the one tick' });
      await json('commands', 'schedule', 'delete', 'often');
      await json('commands', 'schedule', 'delete', 'later');
      expect(await names()).toEqual(['nightly']);
      const again = await operate('commands', 'schedule', 'delete', 'often');
      expect(again).toMatchObject({ code: 1, stderr: 'callboard: There is no schedule often of tenant default.\n' });
      await json('commands', 'schedule', 'delete', 'nightly');
      expect(await count('once')).toBe(1);
      expect(await count('nightly')).toBe(0);
    },
    SLOW_MS,
  );

  it.each([
    ['no time', [], 'Say when'],
    ['a time that has passed', ['--at', '2020-01-01T00:00:00Z'], 'has passed'],
    ['two times', ['--every', '1h', '--cron', '0 0 5 * * *'], 'cannot be used with'],
    ['five cron fields', ['--cron', '0 5 * * *'], 'six cron fields'],
    ['arguments that the action does not take', ['--every', '1h', '--args', '{"key": 7}'], 'was not made'],
    ['a deadline that is too long', ['--every', '1h', '--deadline-ms', '999999999'], 'deadline_ms'],
  ])('refuses %s', async (_what, options, why) => {
    const refused = await operate('commands', 'schedule', 'create', 'wrong', ...append('wrong'), ...options);
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(why) });
  });

  it('refuses an action that is not there, and a second schedule of one name', async () => {
    const unknown = await operate('commands', 'schedule', 'create', 'wrong', 'demo.nothing', '--every', '1h');
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('No action demo.nothing') });
    const create = ['commands', 'schedule', 'create', 'hourly', ...append('hourly'), '--every', '1h'];
    await json(...create);
    expect(await operate(...create)).toMatchObject({ code: 1, stderr: expect.stringContaining('with this name') });
    await json(...create, '--replace');
    await json('commands', 'schedule', 'delete', 'hourly');
    expect(await names()).toEqual([]);
  });
});

describe('callboard tenants', () => {
  const tenants = async (...args: string[]) => {
    const ran = await callboard('tenants', ...args, '--data-dir', stack.dataDir, '--json');
    return JSON.parse(ran.stdout) as { tenant: string; own: boolean; quota: object; refused: Record<string, number> };
  };

  it('lists who has a quota of its own, and what holds for all others', async () => {
    expect(await tenants('list')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ tenant: 'acme', own: true, quota: expect.objectContaining({ commands: 50 }) }),
        expect.objectContaining({ tenant: '%others', own: false }),
      ]),
    );
    const { stdout } = await callboard('tenants', 'show', 'default', '--data-dir', stack.dataDir);
    expect(stdout).toMatch(/^default has the quota of all that the file does not name\.\n/);
    expect(stdout).toMatch(/^commands +500 +\d+ +by each front end$/m);
    expect(stdout).toMatch(/^event_subscriptions +1000 +0 +in all$/m);
  });

  it('shows a quota that was changed while the stack runs, and what it refused', async () => {
    const client = await connect(stack.ready.mcp_url, stack.ready.token);
    const echo = () => client.callTool({ name: 'demo.echo', arguments: { text: 'hello' } });
    try {
      await writeFile(quotas, 'tenants: { default: { calls: { per_second: 0.01, burst: 1 } } }');
      await waitFor(async () => (await tenants('show', 'default')).own, { what: 'the new quota' });
      expect((await echo()).isError).toBeFalsy();
      expect(await echo()).toMatchObject({
        isError: true,
        structuredContent: { error: { code: 'rate_limited', retryable: true, retry_after_ms: expect.any(Number) } },
      });
      expect((await tenants('show', 'default')).refused).toEqual({ 'calls of a tenant': 1 });
      await writeFile(quotas, QUOTAS);
      await waitFor(async () => !(await tenants('show', 'default')).own, { what: 'the quota of before' });
      expect((await echo()).isError).toBeFalsy();
    } finally {
      await client.close();
      await writeFile(quotas, QUOTAS);
    }
  });
});
