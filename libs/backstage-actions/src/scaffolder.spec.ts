import { readFile, rm, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CALLS, SCAFFOLDER_BACKSTAGE, describeWith, startScaffolder, startStack, waitFor } from '@callboard/testing';
import type { TestScaffolder, TestStack } from '@callboard/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { packActions } from './pack.js';

const call = {
  id: 'call',
  action: 'callboard:call',
  input: { tool: '${{ parameters.tool }}', args: '${{ parameters.args }}' },
};
const append = (id: string) => ({
  id,
  action: 'callboard:call',
  input: { tool: 'demo.append', args: { key: '${{ parameters.key }}', value: id } },
});
const outputOf = (id: string) => ({
  said: `\${{ steps.${id}.output.text }}`,
  result: `\${{ steps.${id}.output.result }}`,
  correlationId: `\${{ steps.${id}.output.correlationId }}`,
});
const TEMPLATES = {
  call: { steps: [call], output: outputOf('call') },
  'append-and-call': { steps: [append('first'), call, append('second')], output: outputOf('call') },
  each: {
    steps: [
      {
        ...append('one'),
        each: '${{ parameters.keys }}',
        input: { tool: 'demo.append', args: { key: '${{ each.value }}', value: 'one' } },
      },
    ],
  },
  'as-user': { steps: [{ ...call, input: { ...call.input, asUser: true } }] },
  'mcp-call': {
    steps: [
      {
        id: 'call',
        action: 'mcp:call',
        input: { server: 'downstream', tool: '${{ parameters.tool }}', args: '${{ parameters.args }}' },
      },
    ],
    output: { said: '${{ steps.call.output.text }}' },
  },
};

describeWith([SCAFFOLDER_BACKSTAGE], "Callboard's actions in a real scaffolder", () => {
  let stack: TestStack;
  let scaffolder: TestScaffolder;
  let plugin: string;
  beforeAll(async () => {
    plugin = await packActions(await mkdtemp(join(tmpdir(), 'callboard-actions-')));
    stack = await startStack({ apps: CALLS });
    const { mcp_url: url, token } = stack.ready;
    scaffolder = await startScaffolder({
      templates: TEMPLATES,
      features: [plugin],
      env: { SPEC_CALLBOARD_TOKEN: token },
      config: {
        callboard: {
          mcp: { url, token: '${SPEC_CALLBOARD_TOKEN}' },
          actions: { exclude: ['demo.approve'] },
          scaffolder: {
            mcpServers: [{ name: 'downstream', url, headers: { Authorization: 'Bearer ${SPEC_CALLBOARD_TOKEN}' } }],
          },
        },
      },
    });
  }, 300_000);
  afterAll(async () => {
    await scaffolder?.dispose();
    await stack?.stop();
    await rm(plugin, { recursive: true, force: true });
  });

  const appended = async (key: string) =>
    (await readFile(join(stack.dataDir, 'demo/append.log'), 'utf8').catch(() => ''))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { key: string; value: string; correlation_id: string })
      .filter((line) => line.key === key);
  const logged = (taskId: string, text: string, timeoutMs = 60_000) =>
    waitFor(async () => (await scaffolder.log(taskId)).some((line) => line.includes(text)), {
      what: `"${text}" in the log of the task`,
      timeoutMs,
    });

  it('runs an action as a step, with its progress in the log of the task and its result as output', async () => {
    const taskId = await scaffolder.run('call', { tool: 'demo.progress', args: { steps: 4, interval_ms: 500 } });
    const { status, output } = await scaffolder.ended(taskId);
    const log = await scaffolder.log(taskId);
    expect([status, log]).toEqual(['completed', expect.anything()]);
    expect(output).toMatchObject({ said: '4 steps done', correlationId: expect.stringMatching(/^i_/) });
    expect(log.join('\n')).toMatch(/Progress 4 of 4: step 4 of 4/);
  });

  it('fails the step with the code and the message of the action', async () => {
    const taskId = await scaffolder.run('call', { tool: 'demo.echo', args: { text: 7 } });
    expect((await scaffolder.ended(taskId)).status).toBe('failed');
    expect((await scaffolder.log(taskId)).join('\n')).toContain('invalid_arguments');
  });

  it('cancels the command when the task is cancelled', async () => {
    const taskId = await scaffolder.run('call', { tool: 'demo.sleep', args: { ms: 60_000 } });
    await logged(taskId, 'Accepted as');
    await scaffolder.tell(taskId, 'cancel');
    await logged(taskId, 'is cancelled');
    const [, id] = /Accepted as (\S+)/.exec((await scaffolder.log(taskId)).join('\n'))!;
    const outcome = await outcomeOf(stack, id!);
    expect(outcome).toBe('cancelled');
  });

  it('makes one command of a step when Backstage is killed while it runs, and gets its outcome afterwards', async () => {
    const values = { key: 'killed', tool: 'demo.sleep', args: { ms: 25_000 } };
    const taskId = await scaffolder.run('append-and-call', values);
    await logged(taskId, 'Calling demo.sleep');
    await logged(taskId, 'Accepted as');
    await scaffolder.backstage.kill();
    await scaffolder.backstage.start();
    const { status, output } = await scaffolder.ended(taskId, 90_000);
    expect([status, output['said']]).toEqual(['completed', expect.stringMatching(/^slept \d{5} ms$/)]);
    expect((await appended('killed')).map(({ value }) => value)).toEqual(['first', 'second']);
  });

  it('gets the outcome all the same when the front end is killed while it waits', async () => {
    const taskId = await scaffolder.run('call', { tool: 'demo.sleep', args: { ms: 6_000 } });
    await logged(taskId, 'Accepted as');
    const [pid] = (await stack.readReady()).processes['mcp-frontend']!;
    process.kill(pid!, 'SIGKILL');
    expect((await scaffolder.ended(taskId, 60_000)).status).toBe('completed');
    expect((await scaffolder.log(taskId)).join('\n')).toContain('trying again');
  });

  it('joins the commands that have succeeded when a task is retried, and calls anew what has failed', async () => {
    const args = { id: 'retried', times: 1, retryable: false };
    const taskId = await scaffolder.run('append-and-call', { key: 'retried', tool: 'demo.fail', args });
    expect((await scaffolder.ended(taskId)).status).toBe('failed');
    await scaffolder.tell(taskId, 'retry');
    const { status, output } = await scaffolder.ended(taskId);
    expect([status, output['said']]).toEqual(['completed', 'succeeded at attempt 1']);
    expect((await appended('retried')).map(({ value }) => value)).toEqual(['first', 'second']);
  });

  it('makes a command for each thing of a step that runs for several', async () => {
    const keys = ['each-a', 'each-b', 'each-c'];
    const taskId = await scaffolder.run('each', { keys });
    expect((await scaffolder.ended(taskId)).status).toBe('completed');
    for (const key of keys) expect(await appended(key)).toHaveLength(1);
  });

  it('calls a tool of a configured MCP server, once, and keeps its result with the task', async () => {
    const taskId = await scaffolder.run('mcp-call', { tool: 'demo.append', args: { key: 'mcp', value: 'a' } });
    expect((await scaffolder.ended(taskId)).status).toBe('completed');
    await scaffolder.tell(taskId, 'retry');
    expect((await scaffolder.ended(taskId)).status).toBe('completed');
    expect(await appended('mcp')).toHaveLength(1);
  });

  const invoke = async (name: string, input: object) => {
    const path = `api/callboard/.backstage/actions/v1/actions/callboard:${name}/invoke`;
    const answer = await fetch(`${scaffolder.backstage.url}/${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${scaffolder.backstage.userToken('user:default/ada')}`,
      },
      body: JSON.stringify(input),
    });
    return { status: answer.status, body: (await answer.json()) as { output?: unknown; error?: { name: string } } };
  };

  it("has Callboard's tools as actions of Backstage, with their schemas and attributes, but those that are left out", async () => {
    const headers = { authorization: `Bearer ${scaffolder.backstage.userToken('user:default/ada')}` };
    const answer = await fetch(`${scaffolder.backstage.url}/api/callboard/.backstage/actions/v1/actions`, { headers });
    const { actions } = (await answer.json()) as { actions: { id: string }[] };
    expect(actions.map(({ id }) => id)).toEqual(
      ['append', 'echo', 'fail', 'progress', 'sleep'].map((name) => `callboard:demo-${name}`),
    );
    expect(actions.find(({ id }) => id === 'callboard:demo-sleep')).toMatchObject({
      title: 'Sleep',
      attributes: { readOnly: true, destructive: false, idempotent: true },
      schema: { input: { properties: { ms: { type: 'integer', minimum: 0 } }, required: ['ms'] } },
    });
  });

  it('runs a tool as a durable command when its action is invoked, and fails as an action of Backstage does', async () => {
    const { status, body } = await invoke('demo-append', { key: 'invoked', value: 'a' });
    const [line] = await appended('invoked');
    expect([status, body.output]).toMatchObject([200, { correlationId: line!.correlation_id }]);
    expect(await invoke('demo-append', { key: '', value: 'a' })).toMatchObject({
      status: 400,
      body: { error: { name: 'InputError' } },
    });
  });

  it("serves Callboard's tools at Backstage's own MCP endpoint", async () => {
    const ask = async (method: string, params: object) => {
      const answer = await fetch(`${scaffolder.backstage.url}/api/mcp-actions/v1`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${scaffolder.backstage.userToken('user:default/ada')}`,
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      });
      const [, data] = /^data: (.*)$/m.exec(await answer.text())!;
      return (JSON.parse(data!) as { result: { tools: { name: string }[]; content: { text: string }[] } }).result;
    };
    const { tools } = await ask('tools/list', {});
    const { name } = tools.find((tool) => tool.name.endsWith('demo-echo'))!;
    const { content } = await ask('tools/call', { name, arguments: { text: 'through Backstage' } });
    expect(content[0]!.text).toContain('through Backstage');
  });

  it('is a package with nothing of the workspace left to install', async () => {
    const manifest = JSON.parse(await readFile(join(plugin, 'package.json'), 'utf8')) as Record<string, object>;
    expect(manifest['dependencies']).toBeUndefined();
    expect(Object.keys(manifest['peerDependencies']!)).toEqual([
      '@backstage/backend-plugin-api',
      '@backstage/errors',
      '@backstage/plugin-scaffolder-node',
    ]);
    expect(manifest['peerDependenciesMeta']).toEqual({ '@backstage/plugin-scaffolder-node': { optional: true } });
    expect(manifest['backstage']).toMatchObject({ role: 'backend-plugin', pluginId: 'callboard' });
  });
});

async function outcomeOf(stack: TestStack, id: string): Promise<string> {
  const nc = await stack.connect('sre');
  try {
    const { jetstreamManager } = await import('@nats-io/jetstream');
    const jsm = await jetstreamManager(nc);
    const message = await jsm.direct.getMessage('OUTCOMES', { last_by_subj: `out.default.${id}` });
    return message!.json<{ status: string }>().status;
  } finally {
    await nc.close();
  }
}
