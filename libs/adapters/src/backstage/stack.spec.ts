/** A real Backstage behind a real stack: its actions as tools of an MCP client, and what becomes of calls when either dies. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connectNats } from '@callboard/jetstream';
import { CALLS, BACKSTAGE, describeWith, startStack, waitFor, type TestStack } from '@callboard/testing';
import { connectClient, type SpecClient } from '../spec-client.js';
import { SERVICE_TOKEN, startSpecBackstage, type SpecBackstage } from './spec-backstage.js';

const REVISION = '2026-07-28';
const NEVER_SAID = 'of-all-the-words-in-the-house';

describeWith([BACKSTAGE], 'a Backstage behind the stack', () => {
  let spec: SpecBackstage;
  let stack: TestStack;
  let client: SpecClient;

  beforeAll(async () => {
    spec = await startSpecBackstage();
    // Long enough for a Backstage that starts on a busy machine.
    const file = await spec.adapterFile({ entities: 'catalog', deadline_ms: 110_000 });
    const env = { CALLBOARD_ADAPTERS: file, BACKSTAGE_TOKEN: SERVICE_TOKEN, CALLBOARD_SYNC_WINDOW_MS: '300' };
    stack = await startStack({ apps: CALLS, env });
    client = await connectClient(stack.ready);
  }, 240_000);
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
    await spec?.dispose();
  });

  const codeOf = ({ structuredContent }: { structuredContent?: unknown }) =>
    (structuredContent as { error?: { code: string } } | undefined)?.error?.code;
  const effectsOf = (what: string) => spec.effects().filter((effect) => effect.endsWith(` ${what}`));

  /** As a client that knows tasks. */
  async function ask(method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { mcp_url: url, token } = stack.ready;
    const capabilities = { extensions: { 'io.modelcontextprotocol/tasks': {} } };
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': capabilities,
    };
    const name = params['name'] ?? params['taskId'];
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Accept: 'application/json, text/event-stream',
        Authorization: `Bearer ${token}`,
        'MCP-Protocol-Version': REVISION,
        'Mcp-Method': method,
        'Mcp-Name': String(name),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } }),
    });
    const text = await answer.text();
    const json = text.startsWith('{') ? text : text.split('data: ').at(-1)!;
    return (JSON.parse(json) as { result: Record<string, unknown> }).result;
  }

  async function killRunner(): Promise<void> {
    const [runner] = (await stack.readReady()).processes['action-runner']!;
    process.kill(runner!, 'SIGKILL');
    await waitFor(async () => !(await stack.readReady()).processes['action-runner']!.includes(runner!), {
      what: 'the next runner',
    });
  }

  it('lists its actions as tools, and its entities as resources', async () => {
    const { tools } = await client.client.listTools();
    const query = tools.find(({ name }) => name === 'spec.catalog.query-catalog-entities');
    expect(query).toMatchObject({
      title: 'Query Catalog Entities',
      annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
      outputSchema: { type: 'object', required: ['items', 'totalItems', 'hasMoreEntities'] },
    });
    const { resourceTemplates } = await client.client.listResourceTemplates();
    expect(resourceTemplates).toContainEqual(
      expect.objectContaining({ name: 'spec-entity', uriTemplate: 'catalog://{kind}/{namespace}/{name}' }),
    );
    const { contents } = await client.client.readResource({ uri: 'catalog://component/default/ticket-desk' });
    expect(JSON.parse((contents[0] as { text: string }).text)).toMatchObject({ spec: { owner: 'stagehands' } });
    await expect(client.client.readResource({ uri: 'catalog://component/default/nobody' })).rejects.toThrow('nobody');
  });

  it('answers a query and a get of the catalog, as the commands that they are', async () => {
    const found = await client.call('spec.catalog.query-catalog-entities', {
      query: { kind: 'Component', 'relations.ownedby': 'group:default/stagehands' },
    });
    expect(found.structuredContent).toMatchObject({ items: [{ metadata: { name: 'ticket-desk' } }], totalItems: 1 });
    expect(found._meta?.['io.callboard/correlation_id']).toEqual(expect.any(String));
    const got = await client.call('spec.catalog.get-catalog-entity', { kind: 'User', name: 'ada' });
    expect(got.structuredContent).toMatchObject({ kind: 'User', spec: { memberOf: ['stagehands'] } });
    const none = await client.call('spec.catalog.get-catalog-entity', { name: 'nobody' });
    expect(none).toMatchObject({ isError: true, content: [{ text: expect.stringContaining('No entity found') }] });
    expect(codeOf(none)).toBe('invalid_arguments');
  });

  it('is called as a task by a client that knows tasks, when it takes long', async () => {
    const name = 'spec.stagecraft.strike';
    const created = await ask('tools/call', { name, arguments: { what: NEVER_SAID, ms: 1_500 } });
    expect(created).toMatchObject({ resultType: 'task', status: 'working' });
    const { taskId } = created;
    const done = await waitFor(
      async () => {
        const shown = await ask('tasks/get', { taskId });
        return shown['status'] === 'completed' ? shown : undefined;
      },
      { what: 'the task' },
    );
    expect(done).toMatchObject({ result: { structuredContent: { done: NEVER_SAID } } });
    expect(effectsOf(NEVER_SAID)).toEqual([`strike ${NEVER_SAID}`]);
  });

  it('that is killed in the middle of a call is asked again where that is harmless, and no other time', async () => {
    const calls = (['look', 'light', 'strike'] as const).map(async (name) => {
      const result = await client.call(`spec.stagecraft.${name}`, { what: 'curtain', ms: 4_000 });
      return { name, result };
    });
    await waitFor(() => effectsOf('curtain').length >= 2, { what: 'the calls' });
    // Those that are not read-only wait for each other: the one caller is their key.
    const begun = effectsOf('curtain');
    await spec.backstage.kill();
    await spec.backstage.start();
    const results = Object.fromEntries((await Promise.all(calls)).map(({ name, result }) => [name, result]));
    expect(results['look']!.structuredContent).toEqual({ done: 'curtain' });
    expect(results['light']!.structuredContent).toEqual({ done: 'curtain' });
    const effects = effectsOf('curtain');
    expect(effects.filter((effect) => effect === 'look curtain')).toHaveLength(2);
    expect(effects.filter((effect) => effect === 'strike curtain')).toHaveLength(1);
    if (begun.includes('strike curtain')) expect(codeOf(results['strike']!)).toBe('in_doubt');
    else expect(results['strike']!.structuredContent).toEqual({ done: 'curtain' });
  });

  it('that is killed in the middle of what must not be repeated leaves it in doubt', async () => {
    const called = client.call('spec.stagecraft.strike', { what: 'once', ms: 60_000 });
    await waitFor(() => effectsOf('once').length > 0, { what: 'the call' });
    await spec.backstage.kill();
    expect(codeOf(await called)).toBe('in_doubt');
    await spec.backstage.start();
    expect(effectsOf('once')).toEqual(['strike once']);
  });

  it('that is down keeps its tools, and every command waits for it, even when the runner dies meanwhile', async () => {
    await spec.backstage.kill();
    const nc = await connectNats({
      servers: stack.ready.nats_url,
      user: 'sre',
      credsFile: stack.ready.nats_users['sre']!.creds,
      name: 'spec',
    });
    const failed = nc.subscribe('live.attempt.*.*.1.failed', { max: 1 });
    await nc.flush();
    const names = Array.from({ length: 6 }, (_, n) => `patience-${n}`);
    const calls = names.map((what) => client.call('spec.stagecraft.strike', { what }));
    for await (const message of failed) {
      expect(message.json()).toMatchObject({ error: { message: 'Backstage spec cannot be reached', retryable: true } });
    }
    await nc.close();
    await killRunner();
    const { tools } = await client.client.listTools();
    expect(tools.map(({ name }) => name)).toContain('spec.stagecraft.strike');
    await spec.backstage.start();
    for (const [i, result] of (await Promise.all(calls)).entries()) {
      expect(result.structuredContent).toEqual({ done: names[i] });
    }
    const effects = spec.effects().filter((effect) => effect.includes('patience-'));
    expect(effects.sort()).toEqual(names.map((name) => `strike ${name}`));
  });

  it('is never told of its token by anything that is stored, said or answered, not even by what repeats it', async () => {
    const message = `wrong: ${SERVICE_TOKEN}`;
    const failed = await client.call('spec.stagecraft.fail', { error: 'InputError', message: 'as it is' });
    expect(codeOf(failed)).toBe('invalid_arguments');
    const stored = await everything(stack.dataDir);
    // What is searched is really there: arguments, results and errors lie in the streams as they are.
    for (const there of [NEVER_SAID, 'patience-5', 'as it is']) expect(stored).toContain(there);
    expect(stored).not.toContain(SERVICE_TOKEN);
    expect(stack.output()).not.toContain(SERVICE_TOKEN);

    // Only now, because the arguments hold it here: an action that repeats it is answered without it.
    const repeated = await client.call('spec.stagecraft.fail', { error: 'InputError', message });
    expect(repeated).toMatchObject({ content: [{ text: expect.stringContaining('wrong: [token]') }] });
    expect(JSON.stringify(repeated)).not.toContain(SERVICE_TOKEN);
  });
});

/** All that the stack has on disk, streams and logs alike: nothing there is compressed. */
async function everything(folder: string): Promise<string> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1').catch(() => ''));
  return (await Promise.all(texts)).join('\n');
}
