/** Software templates of a real scaffolder behind a real stack: run as commands, cancelled, failed, and followed when a runner dies. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import {
  CALLS,
  SCAFFOLDER_BACKSTAGE,
  describeWith,
  startScaffolder,
  startStack,
  waitFor,
  type TestScaffolder,
  type TestStack,
} from '@callboard/testing';
import { stringify } from 'yaml';
import { connectClient, type SpecClient } from '../spec-client.js';

const TOKEN = 'spec-service-token-5d1c07aa';
const TOOL = 'spec.scaffolder.run-template';
const wait = { id: 'wait', name: 'Wait', action: 'debug:wait', input: { seconds: '${{ parameters.seconds | int }}' } };
const log = (id: string, name: string) => ({ id, name, action: 'debug:log', input: { message: name } });
const TEMPLATES = {
  stage: {
    steps: [log('build', 'Build it'), wait, log('open', 'Open it')],
    output: { text: [{ title: 'Where', content: 'on ${{ parameters.seconds }}' }] },
  },
  collapse: { steps: [log('build', 'Build it'), { ...wait, name: 'Fall', input: { minutes: 11 } }] },
};

describeWith([SCAFFOLDER_BACKSTAGE], 'a template of a Backstage', () => {
  let scaffolder: TestScaffolder;
  let stack: TestStack;
  let client: SpecClient;
  let folder: string;

  beforeAll(async () => {
    scaffolder = await startScaffolder({ templates: TEMPLATES, serviceToken: TOKEN });
    folder = await mkdtemp(join(tmpdir(), 'callboard-templates-'));
    const file = join(folder, 'adapters.yaml');
    const site = { name: 'spec', url: scaffolder.backstage.url, token: '${BACKSTAGE_TOKEN}' };
    await writeFile(file, stringify({ backstages: [{ ...site, plugins: ['catalog', 'scaffolder'] }] }));
    stack = await startStack({
      apps: CALLS,
      env: { CALLBOARD_ADAPTERS: file, BACKSTAGE_TOKEN: TOKEN },
      readyWithinMs: 60_000,
    });
    client = await connectClient(stack.ready);
  }, 300_000);
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
    await scaffolder?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (name: string, seconds: number) =>
    client.call(TOOL, { template_ref: `template:default/${name}`, values: { seconds } });
  /** The task that is there beside those of before. */
  async function begun(before: { id: string }[]): Promise<string> {
    const isNew = ({ id }: { id: string }) => !before.some((task) => task.id === id);
    const find = async () => (await scaffolder.tasks()).find(isNew);
    return (await waitFor(find, { what: 'the task' })).id;
  }

  const waiting = (taskId: string) =>
    waitFor(async () => (await scaffolder.log(taskId)).some((line) => line.includes('Beginning step Wait')), {
      what: 'the waiting step',
    });
  /** Backstage calls a task failed whose step, being cancelled, has thrown. */
  async function stopped(taskId: string): Promise<void> {
    const { status } = await scaffolder.ended(taskId);
    expect(['cancelled', 'failed']).toContain(status);
    expect((await scaffolder.log(taskId)).join('\n')).toContain('Step wait has been cancelled');
  }

  it('runs as one command, with its steps as progress and its outputs as the result', async () => {
    const { tools } = await client.client.listTools();
    expect(tools.map(({ name }) => name)).toContain('spec.catalog.query-catalog-entities');
    const { structuredContent } = await run('stage', 2);
    expect(structuredContent).toMatchObject({
      task_id: expect.any(String),
      status: 'completed',
      output: { text: [{ title: 'Where', content: 'on 2' }] },
    });
    const told = client.heard.map(({ progress, total, message }) => [progress, total, message]);
    expect(told).toEqual(expect.arrayContaining([[1, 3, 'Build it']]));
    expect(told.every(([, total]) => total === 3)).toBe(true);
  });

  it('that fails ends the command with the step and its message', async () => {
    const result = await run('collapse', 1);
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result.content)).toMatch(/step Fall: .*maximum/);
    expect(JSON.stringify(result.content)).not.toMatch(/\bat .*\.js/);
  });

  it('that Backstage does not have is the mistake of the caller', async () => {
    const before = await scaffolder.tasks();
    expect((await run('nowhere', 1)).structuredContent).toMatchObject({ error: { code: 'not_found' } });
    expect(await scaffolder.tasks()).toHaveLength(before.length);
  });

  it('is cancelled when the deadline of its command passes', async () => {
    const before = await scaffolder.tasks();
    const args = { template_ref: 'template:default/stage', values: { seconds: 60 } };
    const result = await client.call(TOOL, args, { 'io.callboard/deadline_ms': 4_000 });
    expect(result.structuredContent).toMatchObject({ error: { code: 'deadline_exceeded' } });
    await stopped(await begun(before));
  });

  it('is cancelled when its command is', async () => {
    const before = await scaffolder.tasks();
    const stop = new AbortController();
    const args = { template_ref: 'template:default/stage', values: { seconds: 60 } };
    const called = client.client.callTool({ name: TOOL, arguments: args }, { signal: stop.signal });
    called.catch(() => undefined);
    const taskId = await begun(before);
    await waiting(taskId);
    stop.abort();
    await expect(called).rejects.toThrow();
    await stopped(taskId);
  });

  it('is followed by the next runner when one is killed, and is not begun again', async () => {
    const before = await scaffolder.tasks();
    const called = run('stage', 15);
    const taskId = await begun(before);
    await waiting(taskId);
    const [runner] = (await stack.readReady()).processes['action-runner']!;
    process.kill(runner!, 'SIGKILL');
    expect((await called).structuredContent).toMatchObject({ task_id: taskId, status: 'completed' });
    expect(await scaffolder.tasks()).toHaveLength(before.length + 1);
  });
});
