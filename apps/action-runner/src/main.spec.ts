import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { CommandEnvelope, JsonObject } from '@callboard/envelope';
import { BUCKET, CommandClient, KeyValueStore, haltKey } from '@callboard/jetstream';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';

const MAIN = new URL('./main.js', import.meta.url);

let nats: TestNats;
let folder: string;
let client: CommandClient;
let registry: KeyValueStore;
let runners: ChildProcess[] = [];

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  folder = await mkdtemp(join(tmpdir(), 'callboard-runner-'));
  const nc = await nats.connect('mcp-frontend');
  client = await CommandClient.start(nc, { instance: 'spec' });
  registry = await KeyValueStore.open(nc, BUCKET.actions);
});
afterEach(async () => {
  const alive = runners.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  runners = [];
  await Promise.all(
    alive.map((runner) => {
      const exited = once(runner, 'exit');
      runner.kill('SIGTERM');
      return exited;
    }),
  );
});
afterAll(async () => {
  client.close();
  await nats.dispose();
  await rm(folder, { recursive: true, force: true });
});

interface Started {
  runner: ChildProcess;
  opsPort: number;
}

async function start(instance: string, env: NodeJS.ProcessEnv = {}): Promise<Started> {
  const runner = fork(MAIN, {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile('action-runner'),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_PARTITIONS: '2',
      CALLBOARD_DEMO_DIR: folder,
      ...env,
    },
  });
  runners.push(runner);
  const [ready] = (await once(runner, 'message')) as [{ type: string; ports: { ops: number } }];
  expect(ready.type).toBe('ready');
  return { runner, opsPort: ready.ports.ops };
}

const sleep = (key: string, ms: number): CommandEnvelope => testCommand(key, { ms }, { method: 'sleep' });

async function submit(envelope: CommandEnvelope) {
  const { outcome } = await client.submit(envelope);
  return { ends: outcome };
}

async function running(opsPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  return Number(/^callboard_commands_running (\d+)$/m.exec(text)?.[1]);
}

describe('a runner process', () => {
  it('says that it is ready, serves its actions, health and metrics, and announces what it serves', async () => {
    const { opsPort } = await start('one');
    expect((await fetch(`http://127.0.0.1:${opsPort}/livez`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${opsPort}/readyz`)).status).toBe(200);
    expect(await registry.get('services.action-runner.one')).toBeDefined();
    const { ends } = await submit(testCommand('key', { text: 'hello' }, { method: 'echo' }));
    expect(await ends).toMatchObject({
      status: 'succeeded',
      result: { content: [{ type: 'text', text: 'hello' }] },
      written_by: 'one',
    });
  });

  it('is not ready while its server is away, and is again when that is back', async () => {
    const { opsPort } = await start('one');
    const ready = async () => (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).status;
    const crashed = nats.crash();
    await waitFor(async () => (await ready()) === 503, { what: 'the runner not ready' });
    await crashed;
    await waitFor(async () => (await ready()) === 200, { what: 'the runner ready again' });
  });

  it('that is told to stop finishes what runs, leaves the rest to another at its first attempt, and exits with 0', async () => {
    const { runner, opsPort } = await start('one');
    // Three of one key: one runs, two wait. The other key shows that it is not only one that is finished.
    const commands = await Promise.all([
      submit(sleep('long', 800)),
      submit(sleep('long', 1)),
      submit(sleep('long', 1)),
      submit(sleep('other', 800)),
    ]);
    await waitFor(async () => (await running(opsPort)) === 2, { what: 'one command of each key running' });
    const exited = once(runner, 'exit');
    runner.kill('SIGTERM');
    await waitFor(async () => !(await registry.get('services.action-runner.one')), { what: 'the announcement gone' });
    await start('two');
    const outcomes = await Promise.all(commands.map(({ ends }) => ends));
    expect(outcomes.map(({ status, attempts, written_by: by }) => [status, attempts, by])).toEqual([
      ['succeeded', 1, 'one'],
      ['succeeded', 1, 'two'],
      ['succeeded', 1, 'two'],
      ['succeeded', 1, 'one'],
    ]);
    expect(await exited).toEqual([0, null]);
  });

  it('that is killed leaves its command to the next of its name, which knows that it may have begun', async () => {
    const { runner, opsPort } = await start('one');
    const { ends } = await submit(testCommand('key', { ms: 1_000 }, { method: 'sleep' }));
    await waitFor(async () => (await running(opsPort)) === 1, { what: 'the command running' });
    runner.kill('SIGKILL');
    await once(runner, 'exit');
    await start('one');
    expect(await ends).toMatchObject({ status: 'succeeded', attempts: 2 });
  });

  it('starts while a halted key has a command to resume with', async () => {
    const halts = await KeyValueStore.open(await nats.connect('operator'), BUCKET.halts);
    const halt = { correlation_id: 'c_gave_up', action: 'demo.append', at: '', resume_with: 'r_again' };
    await halts.put(haltKey('acme', 'held'), Buffer.from(JSON.stringify(halt)));
    await start('runner-of-a-held-key');
    await halts.delete(haltKey('acme', 'held'));
  });

  it('does not start with a configuration that cannot work, and names the variable', async () => {
    const runner = fork(MAIN, {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, CALLBOARD_PARTITIONS: 'many' },
    });
    runners.push(runner);
    let said = '';
    runner.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(runner, 'close')) as [number];
    expect(code).not.toBe(0);
    expect(said).toContain('CALLBOARD_PARTITIONS must be a number');
  });
});

describe('the demo actions', () => {
  const call = async (method: string, args: JsonObject, key = 'key') =>
    (await submit(testCommand(key, args, { method }))).ends;

  it('append one line with the attempt to the log, and report progress, and fail as they are told', async () => {
    await start('one');
    expect(await call('append', { key: 'k', value: 7 })).toMatchObject({ status: 'succeeded' });
    const [line] = (await readFile(join(folder, 'append.log'), 'utf8')).trim().split('\n');
    expect(JSON.parse(line!)).toEqual({
      key: 'k',
      value: 7,
      correlation_id: expect.stringMatching(/^c_/),
      attempt: 1,
      at: expect.any(String),
    });
    expect(await call('fail', { id: 'a', times: 1, retryable: true })).toMatchObject({
      status: 'succeeded',
      attempts: 2,
    });
    expect(await call('fail', { id: 'b', times: 1, retryable: false })).toMatchObject({
      status: 'failed',
      error: { message: 'failure 1 of 1' },
      attempts: 1,
    });
    const heard: unknown[] = [];
    const progress = await client.submit(testCommand('key', { steps: 3, interval_ms: 1 }, { method: 'progress' }), {
      onProgress: (fact) => heard.push(fact.kind === 'progress' && [fact.progress, fact.total, fact.message]),
    });
    await progress.outcome;
    expect(heard).toEqual([1, 2, 3].map((step) => [step, 3, `step ${step} of 3`]));
  });
});
