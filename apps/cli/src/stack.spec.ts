/** The whole stack from outside: what the black-box contract promises of `callboard up` and of the commands beside it. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CALLS,
  isAlive,
  startStack,
  waitFor,
  type ReadyFile,
  type TestStack,
  type TestStackOptions,
} from '@callboard/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard, connect, echo } from './spec-callboard.js';

const SLOW_MS = 180_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-stack-spec-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const HELLO = [{ type: 'text', text: 'hello' }];

describe('a running stack', () => {
  let stack: TestStack;
  beforeAll(async () => {
    const replicas = { 'mcp-frontend': 2, 'action-runner': 2 };
    stack = await startStack({ apps: CALLS, dataDir: join(folder, 'running'), replicas });
  }, SLOW_MS);
  afterAll(() => stack.stop(), SLOW_MS);

  /** Kills one process and returns `ready.json` once it names another in its place. */
  async function replace(app: string): Promise<ReadyFile> {
    const { processes } = await stack.readReady();
    const [victim] = processes[app]!;
    process.kill(victim!, 'SIGKILL');
    return waitFor(
      async () => {
        const ready = await stack.readReady();
        return !ready.processes[app]!.includes(victim!) && ready;
      },
      { what: `another ${app}` },
    );
  }

  it('tells in ready.json, readable by its owner alone, how to reach it', async () => {
    const url = (path: string) => expect.stringMatching(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/${path}$`));
    const pid = expect.any(Number);
    expect(stack.ready).toMatchObject({
      mcp_url: url('mcp'),
      mcp_urls: [stack.ready.mcp_url, url('mcp')],
      token: expect.stringMatching(/^cbt_/),
      results_url: stack.ready.mcp_url.replace('/mcp', '/results'),
      nats_url: expect.stringMatching(/^nats:\/\/127\.0\.0\.1:\d+$/),
      nats_users: { sre: { creds: join(folder, 'running/nats/creds/sre.creds') } },
      metrics: { 'mcp-frontend': [url('metrics'), url('metrics')], 'action-runner': [url('metrics'), url('metrics')] },
      processes: { 'nats-server': [pid], 'mcp-frontend': [pid, pid], 'action-runner': [pid, pid] },
    });
    expect((await stat(join(stack.dataDir, 'ready.json'))).mode & 0o777).toBe(0o600);
  });

  it('serves calls at every front end, with the token and without', async () => {
    for (const url of stack.ready.mcp_urls) {
      await expect(echo(url)).resolves.toMatchObject({ text: HELLO });
      await expect(echo(url, stack.ready.token)).resolves.toMatchObject({ text: HELLO });
    }
    await expect(echo(stack.ready.mcp_url, 'wrong')).rejects.toThrow();
  });

  it.each(['mcp-frontend', 'action-runner', 'nats-server'])(
    'replaces a %s that was killed, at the same addresses, and goes on serving',
    async (app) => {
      const before = await stack.readReady();
      const after = await replace(app);
      expect({ ...after, processes: {} }).toEqual({ ...before, processes: {} });
      expect(after.processes[app]).toHaveLength(before.processes[app]!.length);
      await expect(echo(after.mcp_url)).resolves.toMatchObject({ text: HELLO });
      expect(stack.output()).toMatch(new RegExp(`${app}(-1)? died \\(signal SIGKILL\\); it is started again`));
    },
    SLOW_MS,
  );

  it('refuses a second supervisor on its data dir, with exit code 1 and one line', async () => {
    const second = await callboard('up', '--port', '0', '--data-dir', stack.dataDir);
    expect(second).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^callboard: Another supervisor .*\n$/),
    });
    await expect(echo(stack.ready.mcp_url)).resolves.toMatchObject({ text: HELLO });
  });

  it('lists its actions', async () => {
    const { code, stdout } = await callboard('actions', 'list', '--json', '--data-dir', stack.dataDir);
    expect(code).toBe(0);
    const actions = JSON.parse(stdout) as { id: string; instances: number }[];
    expect(actions.map(({ id, instances }) => [id, instances])).toEqual(
      ['append', 'approve', 'echo', 'fail', 'progress', 'sleep'].map((name) => [`demo.${name}`, 2]),
    );
  });

  it('shows a command by its correlation id, with envelope, partition and outcome', async () => {
    const { correlationId } = await echo(stack.ready.mcp_url, stack.ready.token);
    const { code, stdout } = await callboard('commands', 'show', correlationId, '--json', '--data-dir', stack.dataDir);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      correlation_id: correlationId,
      partition: expect.any(Number),
      envelope: { tool: 'demo', method: 'echo', args: { text: 'hello' }, user_id: 'user:local/operator' },
      progress: [],
      outcome: { status: 'succeeded', attempts: 1 },
    });
    const unknown = await callboard('commands', 'show', 'c_unknown', '--data-dir', stack.dataDir);
    expect(unknown).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^callboard: No command .*\n$/),
    });
  });

  it('has its streams as declared, and is found healthy', async () => {
    const check = await callboard('streams', 'check', '--json', '--data-dir', stack.dataDir);
    expect(check).toMatchObject({ code: 0, stdout: '{\n  "differences": []\n}\n' });
    const apply = await callboard('streams', 'apply', '--json', '--data-dir', stack.dataDir);
    expect(apply).toMatchObject({ code: 0, stdout: '{\n  "changed": []\n}\n' });
    const ping = await callboard('ping', stack.ready.mcp_url, '--json');
    expect(JSON.parse(ping.stdout)).toEqual({ tools: expect.any(Number), echoed: true });
    const doctor = await callboard('doctor', '--json', '--data-dir', stack.dataDir);
    const { findings } = JSON.parse(doctor.stdout) as { findings: { check: string; status: string }[] };
    expect(findings.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(doctor.code).toBe(0);
    for (const check of [
      'Node',
      'nats-server',
      'data dir',
      'disk',
      'mcp-frontend',
      'action-runner',
      'MCP server',
      'streams',
      'partitions',
    ]) {
      expect(findings.map((finding) => finding.check)).toContain(check);
    }
  });
});

describe('a stack that ends', () => {
  const started: TestStack[] = [];
  const start = async (dataDir: string, options: Pick<TestStackOptions, 'apps' | 'args'> = {}) => {
    const stack = await startStack({ dataDir, ...options });
    started.push(stack);
    return stack;
  };
  // Those that a test has stopped stay stopped; those that a failed test has left are stopped here.
  afterEach(() => Promise.allSettled(started.splice(0).map((stack) => stack.stop())), SLOW_MS);

  it(
    'leaves with exit code 0, no process and no ready.json, and has the same token and commands when it starts again',
    async () => {
      const dataDir = join(folder, 'again');
      const first = await start(dataDir);
      const { correlationId } = await echo(first.ready.mcp_url);
      await first.stop();
      expect(existsSync(join(dataDir, 'ready.json'))).toBe(false);

      const second = await start(dataDir, { apps: CALLS });
      expect(second.ready.token).toBe(first.ready.token);
      const shown = await callboard('commands', 'show', correlationId, '--json', '--data-dir', dataDir);
      expect(JSON.parse(shown.stdout)).toMatchObject({ outcome: { status: 'succeeded' } });
      await second.stop();

      const third = await start(dataDir, { apps: CALLS, args: ['--fresh'] });
      expect(third.ready.token).not.toBe(first.ready.token);
      await third.stop();
    },
    SLOW_MS,
  );

  it(
    'lets a call that runs finish at the first Ctrl-C, and ends it at the second',
    async () => {
      const dataDir = join(folder, 'draining');
      /** Calls demo.sleep and settles with its answer once the runner has begun. */
      const sleeping = async (stack: TestStack, ms: number) => {
        const client = await connect(stack.ready.mcp_url);
        const answer = client.callTool({ name: 'demo.sleep', arguments: { ms } }).then(
          ({ content }) => JSON.stringify(content),
          () => 'broken off',
        );
        const metrics = async () => (await fetch(stack.ready.metrics['action-runner']![0]!)).text();
        await waitFor(async () => /^callboard_commands_running 1$/m.test(await metrics()), {
          what: 'a running command',
        });
        return { answer, close: () => client.close().catch(() => undefined) };
      };

      const first = await start(dataDir, { apps: CALLS });
      const short = await sleeping(first, 1_500);
      process.kill(first.ready.supervisor_pid, 'SIGINT');
      await expect(short.answer).resolves.toContain('slept');
      await first.stop();
      await short.close();

      const second = await start(dataDir, { apps: CALLS });
      const long = await sleeping(second, 50_000);
      process.kill(second.ready.supervisor_pid, 'SIGINT');
      await waitFor(() => second.output().includes('stopping:'), { what: 'the first Ctrl-C' });
      // Within a second, two signals are one: npm passes on what the terminal has sent already.
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      process.kill(second.ready.supervisor_pid, 'SIGINT');
      await expect(long.answer).resolves.toBe('broken off');
      await second.stop();
      await long.close();
    },
    SLOW_MS,
  );

  it(
    'by the death of its supervisor leaves nothing that the next one cannot take over',
    async () => {
      const dataDir = join(folder, 'orphaned');
      const first = await start(dataDir);
      const { correlationId } = await echo(first.ready.mcp_url);
      const { supervisor_pid, processes } = JSON.parse(await readFile(join(dataDir, 'ready.json'), 'utf8')) as {
        supervisor_pid: number;
        processes: Record<string, number[]>;
      };
      process.kill(supervisor_pid, 'SIGKILL');
      await waitFor(() => !isAlive(supervisor_pid), { what: 'the end of the supervisor' });

      const second = await start(dataDir, { apps: CALLS });
      expect(Object.values(processes).flat().filter(isAlive)).toEqual([]);
      const shown = await callboard('commands', 'show', correlationId, '--json', '--data-dir', dataDir);
      expect(JSON.parse(shown.stdout)).toMatchObject({ outcome: { status: 'succeeded' } });
      await second.stop();
      await expect(first.stop()).rejects.toThrow('callboard up ended with null');
    },
    SLOW_MS,
  );

  it('before it was ever ready says why in one line, and leaves nothing', async () => {
    const dataDir = join(folder, 'broken');
    const config = join(folder, 'broken.yaml');
    await writeFile(config, 'action_modules: [./nowhere.mjs]');
    const { code, stderr } = await callboard('up', '--port', '0', '--data-dir', dataDir, '--config', config);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^callboard: action-runner-1 did not start .*nowhere\.mjs.*\n$/);
    expect(existsSync(join(dataDir, 'callboard.lock'))).toBe(false);
    expect(existsSync(join(dataDir, 'ready.json'))).toBe(false);
  });
});

describe('the command line', () => {
  it('says where to look when no stack runs', async () => {
    const nowhere = join(folder, 'nowhere');
    const commands = [
      ['actions', 'list'],
      ['commands', 'show', 'c_1'],
      ['streams', 'check'],
      ['streams', 'apply'],
    ];
    const ran = await Promise.all(commands.map((command) => callboard(...command, '--data-dir', nowhere)));
    const way = 'Start one with npm start, name its folder with --data-dir, or one that runs elsewhere with --context.';
    const expected = { code: 1, stdout: '', stderr: `callboard: No stack is ready in ${nowhere}. ${way}\n` };
    expect(ran).toEqual(commands.map(() => expected));
  });

  it.each([
    ['callboard', []],
    ['callboard up', ['up']],
    ['callboard doctor', ['doctor']],
    ['callboard demo', ['demo']],
    ['callboard actions', ['actions']],
    ['callboard actions list', ['actions', 'list']],
    ['callboard commands show', ['commands', 'show']],
    ['callboard commands list', ['commands', 'list']],
    ['callboard commands cancel', ['commands', 'cancel']],
    ['callboard commands schedule create', ['commands', 'schedule', 'create']],
    ['callboard commands schedule list', ['commands', 'schedule', 'list']],
    ['callboard commands schedule delete', ['commands', 'schedule', 'delete']],
    ['callboard dlq list', ['dlq', 'list']],
    ['callboard dlq show', ['dlq', 'show']],
    ['callboard dlq redrive', ['dlq', 'redrive']],
    ['callboard dlq discard', ['dlq', 'discard']],
    ['callboard streams apply', ['streams', 'apply']],
    ['callboard streams check', ['streams', 'check']],
  ])('explains %s', async (name, command) => {
    const { code, stdout } = await callboard(...command, '--help');
    expect(stdout).toContain(`Usage: ${name} `);
    expect(code).toBe(0);
  });

  it.each([[['actoins']], [['up', '--prot', '1']], [['commands', 'show']], [['up', '--port', 'http']]])(
    'refuses %j',
    async (wrong) => {
      const { code, stdout, stderr } = await callboard(...wrong);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).not.toBe('');
    },
  );

  it(
    'plays the demo to its end',
    async () => {
      const { code, stdout } = await callboard('demo');
      expect(stdout).toContain('The action has run once.');
      expect(stdout).toMatch(/received .*\[PERSON:\w+\].*\[EMAIL:\w+\]/);
      expect(code).toBe(0);
    },
    SLOW_MS,
  );
});
