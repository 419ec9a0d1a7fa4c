/** The example in plain Python, as a person runs it: beside a real stack, with the credentials that `ready.json` names. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { CALLS, PYTHON, describeWith, startStack, waitFor, type TestStack } from '@callboard/testing';
import { callboard, connectClient, type SpecClient } from '../spec-client.js';

const SERVICE = fileURLToPath(new URL('../../../../examples/python-service/service.py', import.meta.url));

interface Python {
  process: ChildProcess;
  /** Lines that it has printed. */
  lines(): string[];
  stop(signal?: NodeJS.Signals): Promise<void>;
}

let stack: TestStack;
let client: SpecClient;
let running: Python[] = [];

function startPython(instance: string, ttlSeconds = 5): Python {
  const creds = stack.ready.nats_users['service']!.creds;
  const child = spawn('python3', ['-B', SERVICE, stack.ready.nats_url, creds], {
    env: { ...process.env, WORDS_INSTANCE: instance, WORDS_HEARTBEAT_TTL_S: String(ttlSeconds) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const python: Python = {
    process: child,
    lines: () => printed.split('\n').filter((line) => line !== ''),
    stop: async (signal = 'SIGTERM') => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'close');
      child.kill(signal);
      await closed;
    },
  };
  running.push(python);
  return python;
}

const listed = async () =>
  (await client.client.listTools(undefined, { cacheMode: 'refresh' })).tools.some(({ name }) => name === 'words.count');
const untilListed = () => waitFor(listed, { what: 'the tool is listed' });
const untilGone = () => waitFor(async () => !(await listed()), { what: 'the tool is gone' });
const key = (ordering_key: string, more: object = {}) => ({ 'io.callboard/ordering_key': ordering_key, ...more });
const errorOf = (result: { structuredContent?: unknown }) =>
  (result.structuredContent as { error: { code: string; message: string } }).error;

describeWith([PYTHON], 'a service in plain Python', () => {
  beforeAll(async () => {
    stack = await startStack({ apps: CALLS });
    client = await connectClient(stack.ready);
  });
  afterEach(async () => {
    await Promise.all(running.map((python) => python.stop('SIGKILL')));
    running = [];
  });
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
  });

  it('has its tools listed while it lives, without a restart of anything, and answers with progress and a result', async () => {
    expect(await listed()).toBe(false);
    const python = startPython('words-1');
    await untilListed();
    client.heard.length = 0;
    const result = await client.call('words.count', { text: 'Places, please.\nThe curtain rises' });
    expect(result.structuredContent).toEqual({ words: 5, lines: 2 });
    expect(client.heard).toEqual([
      { progress: 50, total: 100, message: 'line 1' },
      { progress: 100, total: 100, message: 'line 2' },
    ]);
    await python.stop();
    expect(python.process.exitCode).toBe(0);
    await untilGone();
  });

  it('reports failures with codes of its own, and is not asked again for one that it calls final', async () => {
    startPython('words-1');
    await untilListed();
    const result = await client.call('words.print', { line: 'a\nb' });
    expect(result.isError).toBe(true);
    expect(errorOf(result)).toMatchObject({ code: 'not_one_line', message: 'one line only', retryable: false });
  });

  it('asks the human at the client, and is called again with the answer', async () => {
    const python = startPython('words-1');
    await untilListed();
    const says = { action: 'decline' } as { action: 'accept' | 'decline' };
    const asked = await connectClient(stack.ready, () => says);
    try {
      const declined = await asked.call('words.print', { line: 'asked', confirm: true });
      expect(errorOf(declined)).toMatchObject({ code: 'not_confirmed' });
      says.action = 'accept';
      expect((await asked.call('words.print', { line: 'asked', confirm: true })).isError).toBeFalsy();
      expect(errorOf(await client.call('words.print', { line: 'asked', confirm: true }))).toMatchObject({
        code: 'input_unavailable',
      });
      expect(python.lines()).toEqual(['asked']);
    } finally {
      await asked.close();
    }
  });

  it('is told when the deadline has passed, and the key goes on as soon as it has stopped', async () => {
    const python = startPython('words-1');
    await untilListed();
    const late = client.call(
      'words.print',
      { line: 'slow', pause_ms: 60_000 },
      key('k', { 'io.callboard/deadline_ms': 3_000 }),
    );
    await waitFor(() => python.lines().includes('slow'), { what: 'the first has begun' });
    const next = client.call('words.print', { line: 'next' }, key('k'));
    expect(errorOf(await late).code).toBe('deadline_exceeded');
    const cancelledAt = Date.now();
    expect((await next).isError).toBeFalsy();
    // Not the five seconds that a process gets which does not hear.
    expect(Date.now() - cancelledAt).toBeLessThan(5_000);
    expect(python.lines()).toEqual(['slow', 'next']);
  });

  it('that is killed half-way leaves a read-only command to the next instance, and any other in doubt', async () => {
    const first = startPython('words-1');
    await untilListed();
    client.heard.length = 0;
    const counted = client.call('words.count', { text: 'a\n'.repeat(50), pause_ms: 100 });
    const printed = client.call('words.print', { line: 'once', pause_ms: 60_000 });
    await waitFor(() => first.lines().includes('once') && client.heard.length > 1, { what: 'both have begun' });
    const second = startPython('words-2');
    await waitFor(async () => (await announced()) === 2, { what: 'the second instance' });
    await first.stop('SIGKILL');

    expect(errorOf(await printed)).toMatchObject({ code: 'in_doubt', retryable: false });
    expect((await counted).structuredContent).toEqual({ words: 50, lines: 50 });
    expect(second.lines()).toEqual([]);
  });

  it('goes on when nats-server is killed half-way, and its answer is not lost', async () => {
    const python = startPython('words-1');
    await untilListed();
    const called = client.call('words.print', { line: 'once', pause_ms: 500 });
    await waitFor(() => python.lines().includes('once'), { what: 'it has begun' });
    process.kill(stack.ready.processes['nats-server']![0]!, 'SIGKILL');
    expect((await called).content).toEqual([{ type: 'text', text: 'printed' }]);
    expect(python.lines()).toEqual(['once']);
    expect((await client.call('words.count', { text: 'on it goes' })).structuredContent).toEqual({
      words: 3,
      lines: 1,
    });
  });

  it('that is started again finds what was accepted before, in order', async () => {
    const first = startPython('words-1');
    await untilListed();
    const one = client.call('words.print', { line: 'one', pause_ms: 2_000 }, key('restart'));
    await waitFor(() => first.lines().includes('one'), { what: 'the first has begun' });
    const two = client.call('words.print', { line: 'two' }, key('restart'));
    await first.stop();
    expect((await one).content).toEqual([{ type: 'text', text: 'printed' }]);
    await untilGone();
    const second = startPython('words-1');
    expect((await two).content).toEqual([{ type: 'text', text: 'printed' }]);
    expect([...first.lines(), ...second.lines()]).toEqual(['one', 'two']);
  });
});

async function announced(): Promise<number> {
  const actions = JSON.parse(await callboard(['actions', 'list', '--json', '--data-dir', stack.dataDir])) as {
    id: string;
    instances: number;
  }[];
  return actions.find(({ id }) => id === 'words.count')?.instances ?? 0;
}
