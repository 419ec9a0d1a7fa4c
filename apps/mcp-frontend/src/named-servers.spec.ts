/** Named servers, as clients of both eras meet them in a real stack. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { RawClient } from './sessions/spec-sessions.js';
import { modernRequest, raw } from './spec-front.js';

const SERVERS = `
servers:
  - name: reader
    title: Reader
    description: Looks, and changes nothing
    instructions: Look before you leap.
    include:
      - { id: 'demo.*', read_only: true }
    exclude:
      - { id: demo.sleep }
    events: false
    results: false
  - name: changing
    include:
      - id: [test_dynamic_tool, prompt.test_dynamic_prompt]
    events: false
  - name: surfaces
    include:
      - id: [prompt.test_prompt_with_arguments, resource.template, resource.static-text]
`;
const TASKS = {
  'io.modelcontextprotocol/clientCapabilities': {
    elicitation: {},
    extensions: { 'io.modelcontextprotocol/tasks': {} },
  },
};

let folder: string;
let stack: TestStack;
let port: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-servers-'));
  await writeFile(join(folder, 'servers.yaml'), SERVERS);
  stack = await startStack({
    apps: CALLS,
    env: {
      CALLBOARD_SERVERS: join(folder, 'servers.yaml'),
      CALLBOARD_ACTION_MODULES: '@callboard/demo-actions,@callboard/conformance-actions',
    },
  });
  port = Number(new URL(stack.ready.mcp_url).port);
});
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true });
});

const urlOf = (server: string) => `${stack.ready.mcp_url}${server && `/${server}`}`;
const ask = async (server: string, method: string, params: JsonObject = {}, meta: JsonObject = {}) =>
  (await raw(port, modernRequest(method, params, { meta, path: `/mcp${server && `/${server}`}` }))).json;

async function modern(server: string): Promise<ModernClient> {
  const client = new ModernClient({ name: 'spec', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new ModernTransport(new URL(urlOf(server))));
  return client;
}

async function legacy(server: string): Promise<Client> {
  const client = new Client({ name: 'spec', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(urlOf(server))) as Parameters<Client['connect']>[0]);
  return client;
}

describe.each([
  ['2026-07-28', modern],
  ['2025', legacy],
])('a client of the %s era', (_, connect) => {
  it('meets a server under its own name, with its own words, and finds there what its rules let through', async () => {
    const client = await connect('reader');
    expect(client.getServerVersion()).toEqual({
      name: 'reader',
      title: 'Reader',
      description: 'Looks, and changes nothing',
      version: expect.any(String),
    });
    expect(client.getInstructions()).toBe('Look before you leap.');
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).sort()).toEqual(['demo.echo', 'demo.progress']);
    expect((await client.listPrompts()).prompts).toEqual([]);
    expect((await client.listResources()).resources).toEqual([]);
    expect((await client.listResourceTemplates()).resourceTemplates).toEqual([]);
    const result = await client.callTool({ name: 'demo.echo', arguments: { text: 'hello' } });
    expect(result.content).toEqual([{ type: 'text', text: 'hello' }]);
    await client.close();
  });

  it.each(['demo.append', 'demo.sleep', 'callboard.result', 'events.list'])(
    'does not know the tool %s at a server that does not show it',
    async (name) => {
      const client = await connect('reader');
      await expect(client.callTool({ name, arguments: {} })).rejects.toMatchObject({
        code: -32602,
        message: expect.stringContaining('Unknown tool'),
      });
      await client.close();
    },
  );

  it('finds the prompts, resources and completions of a server, and no others', async () => {
    const client = await connect('surfaces');
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(['test_prompt_with_arguments']);
    expect((await client.listResources()).resources.map(({ uri }) => uri)).toEqual(['test://static-text']);
    const { resourceTemplates } = await client.listResourceTemplates();
    expect(resourceTemplates.map(({ name }) => name)).toEqual(['saga', 'template', 'events']);
    const { contents } = await client.readResource({ uri: 'test://template/7/data' });
    expect(contents[0]).toMatchObject({ uri: 'test://template/7/data' });
    await expect(client.readResource({ uri: 'test://watched-resource' })).rejects.toThrow('Resource not found');
    await expect(client.getPrompt({ name: 'test_simple_prompt' })).rejects.toThrow('Unknown prompt');
    const argument = { name: 'arg1', value: 'par' };
    const complete = (name: string) => client.complete({ ref: { type: 'ref/prompt', name }, argument });
    expect((await complete('test_prompt_with_arguments')).completion.values).toEqual(['paris', 'park', 'party']);
    await expect(complete('test_simple_prompt')).rejects.toThrow('Unknown prompt');
    await client.close();
  });

  it('finds no events at a server that shows none', async () => {
    const client = await connect('reader');
    await expect(client.readResource({ uri: 'event://' })).rejects.toThrow('Resource not found');
    await client.close();
  });
});

describe('a name that no server has', () => {
  it.each(['/mcp/', '/mcp/nobody', '/mcp/reader/', '/mcp/reader/x', '/mcp/READER', '/mcp/%72eader', '/mcp/__proto__'])(
    'is not found: %s',
    async (path) => {
      const answer = await raw(port, modernRequest('tools/list', {}, { path }));
      expect([answer.status, answer.json.error?.data?.code]).toEqual([404, 'not_found']);
    },
  );

  it('and a query makes no other server of one that there is', async () => {
    const { status, json } = await raw(port, modernRequest('tools/list', {}, { path: '/mcp/reader?x=/mcp/nobody' }));
    expect([status, (json.result?.tools as unknown[]).length]).toEqual([200, 2]);
  });
});

describe('what was begun at one server', () => {
  it('a session is none at another server, whether that is asked, listened to or told to end it', async () => {
    const client = await RawClient.connect(urlOf(''));
    for (const url of [urlOf('reader'), urlOf('changing')]) {
      expect((await client.request(url, 'tools/list')).status).toBe(404);
      expect((await client.get(url)).status).toBe(404);
      expect((await client.delete(url)).status).toBe(404);
    }
    expect((await client.request(urlOf(''), 'ping')).status).toBe(200);
  });

  it('a task of a tool that a server does not show is no task there, and goes on', async () => {
    const args = { name: 'demo.approve', arguments: { key: 'servers', value: 1 } };
    const created = (await ask('', 'tools/call', args, TASKS)).result!;
    const { taskId } = created;
    for (const [method, more] of [
      ['tasks/get', {}],
      ['tasks/cancel', {}],
      ['tasks/update', { inputResponses: {} }],
    ] as const) {
      expect((await ask('reader', method, { taskId, ...more }, TASKS)).error).toMatchObject({ code: -32602 });
    }
    const result = await ask('changing', 'tools/call', {
      name: 'callboard.result',
      arguments: { correlation_id: taskId, wait_ms: 0 },
    });
    expect(result.result?.structuredContent).toMatchObject({ error: { code: 'not_found' } });
    const task = await ask('', 'tasks/get', { taskId }, TASKS);
    expect(task.result).toMatchObject({ status: expect.stringMatching(/^(working|input_required)$/) });
    await ask('', 'tasks/cancel', { taskId }, TASKS);
  });

  it('a sealed state is worth nothing at another server, where the tool is unknown or not', async () => {
    const capabilities = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };
    const args = { name: 'demo.approve', arguments: { key: 'sealed', value: 1 } };
    const { requestState } = (await ask('', 'tools/call', args, capabilities)).result!;
    const inputResponses = { approval: { action: 'accept', content: { approve: true } } };
    const again = await ask('reader', 'tools/call', { ...args, requestState, inputResponses }, capabilities);
    expect(again.error).toMatchObject({ code: -32602, message: 'Unknown tool' });
    const other = { name: 'demo.echo', arguments: { text: 'x' }, requestState, inputResponses };
    const replayed = await ask('reader', 'tools/call', other, capabilities);
    expect(replayed.error).toMatchObject({ code: -32602, message: 'Invalid or expired requestState' });
    const answered = await ask('', 'tools/call', { ...args, requestState, inputResponses }, capabilities);
    expect(answered.result?.content).toEqual([{ type: 'text', text: 'appended 1 to sealed' }]);
  });
});

describe('a change of a list', () => {
  it('is told at the servers whose list it is, in both eras, and nowhere else', async () => {
    const sessions = new Map<string, string[]>();
    const listeners = new Map<string, string[]>();
    const open: { close(): Promise<void> }[] = [];
    for (const server of ['', 'reader', 'changing']) {
      const told: string[] = [];
      sessions.set(server, told);
      const client = await RawClient.connect(urlOf(server));
      const stream = await client.get(urlOf(server));
      void (async () => {
        for (let next = await stream.nextMessage(); next; next = await stream.nextMessage())
          told.push(String(next.message.method));
      })();
      const heard: string[] = [];
      listeners.set(server, heard);
      const listening = await modern(server);
      const subscription = await listening.listen({ toolsListChanged: true, promptsListChanged: true });
      listening.setNotificationHandler('notifications/tools/list_changed', () => void heard.push('tools'));
      listening.setNotificationHandler('notifications/prompts/list_changed', () => void heard.push('prompts'));
      open.push({ close: async () => (await subscription.close(), await listening.close(), stream.cut()) });
    }
    await ask('', 'tools/call', { name: 'test_trigger_tool_change' });
    await waitFor(() => sessions.get('changing')!.length > 0 && listeners.get('changing')!.length > 0, {
      what: 'the change of the tools',
    });
    // It comes after the first: when it is there, whatever was told of the first is there too.
    await ask('', 'tools/call', { name: 'test_trigger_prompt_change' });
    await waitFor(() => sessions.get('')!.length > 1 && sessions.get('changing')!.length > 1, {
      what: 'the change of the prompts',
    });
    await waitFor(() => listeners.get('')!.length > 1 && listeners.get('changing')!.length > 1, {
      what: 'the same, modern',
    });
    const both = ['notifications/tools/list_changed', 'notifications/prompts/list_changed'];
    expect(Object.fromEntries(sessions)).toEqual({ '': both, changing: both, reader: [] });
    expect(Object.fromEntries(listeners)).toEqual({
      '': ['tools', 'prompts'],
      changing: ['tools', 'prompts'],
      reader: [],
    });
    for (const each of open) await each.close();
  });
});

describe('a servers file that changes', () => {
  const path = () => join(folder, 'servers.yaml');
  const namesAt = async (server: string) =>
    ((await ask(server, 'tools/list')).result!.tools as { name: string }[]).map(({ name }) => name).sort();
  const metric = async (line: string) => {
    const { metrics } = await stack.readReady();
    return (await (await fetch(metrics['mcp-frontend']![0]!)).text()).includes(line);
  };

  it('is in force at once, and told where what is shown is another; one that cannot be used changes nothing', async () => {
    const told = new Map<string, string[]>();
    const open: { close(): Promise<void> }[] = [];
    for (const server of ['reader', 'surfaces']) {
      const heard: string[] = [];
      told.set(server, heard);
      const listening = await modern(server);
      listening.setNotificationHandler('notifications/tools/list_changed', () => void heard.push('modern'));
      const subscription = await listening.listen({ toolsListChanged: true });
      const client = await RawClient.connect(urlOf(server));
      const stream = await client.get(urlOf(server));
      void (async () => {
        for (let next = await stream.nextMessage(); next; next = await stream.nextMessage()) {
          if (next.message.method === 'notifications/tools/list_changed') heard.push('legacy');
        }
      })();
      open.push({ close: async () => (await subscription.close(), await listening.close(), stream.cut()) });
    }
    await writeFile(
      path(),
      SERVERS.replace('Reader', 'Sleeper').replace('- { id: demo.sleep }', '- { id: demo.echo }'),
    );
    await waitFor(() => told.get('reader')!.length === 2, { what: 'the change, in both eras' });
    expect(await namesAt('reader')).toEqual(['demo.progress', 'demo.sleep']);
    const refused = await ask('reader', 'tools/call', { name: 'demo.echo', arguments: { text: 'x' } });
    expect(refused.error).toMatchObject({ message: 'Unknown tool' });
    const described = await modern('reader');
    expect(described.getServerVersion()).toMatchObject({ name: 'reader', title: 'Sleeper' });
    await described.close();

    await writeFile(path(), SERVERS.replace('  - name: changing', '  - name: renamed'));
    await waitFor(() => metric('callboard_servers_broken 1'), { what: 'the alarm' });
    expect(await namesAt('reader')).toEqual(['demo.progress', 'demo.sleep']);
    expect((await raw(port, modernRequest('tools/list', {}, { path: '/mcp/renamed' }))).status).toBe(404);

    await writeFile(path(), SERVERS);
    await waitFor(() => told.get('reader')!.length === 4, { what: 'the change back, in both eras' });
    expect(await namesAt('reader')).toEqual(['demo.echo', 'demo.progress']);
    expect(await metric('callboard_servers_broken 0')).toBe(true);
    expect(told.get('surfaces')).toEqual([]);
    for (const each of open) await each.close();
  });
});

describe('ready.json', () => {
  it('names every server', () => {
    expect(stack.ready.mcp_servers).toEqual({
      reader: urlOf('reader'),
      changing: urlOf('changing'),
      surfaces: urlOf('surfaces'),
    });
    expect(stack.output()).toContain(urlOf('surfaces'));
  });
});
