/** From the adapter file to a tool in an MCP client: a stack, the command line, and a real downstream server. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CALLS, installLocked, startStack, type TestStack } from '@callboard/testing';
import { stringify } from 'yaml';
import { callboard, connectClient, type SpecClient } from '../spec-client.js';

const SERVERS = fileURLToPath(new URL('../../../../tools/mcp-servers/', import.meta.url));
const EVERYTHING = join(SERVERS, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');

let folder: string;
let file: string;
let stack: TestStack;
let client: SpecClient;

beforeAll(async () => {
  await installLocked(SERVERS);
  folder = await mkdtemp(join(tmpdir(), 'callboard-adapters-'));
  file = join(folder, 'adapters.yaml');
  const everything = {
    name: 'everything',
    stdio: { command: process.execPath, args: [EVERYTHING, 'stdio'] },
    include: ['echo', 'trigger-long-*'],
  };
  await writeFile(file, stringify({ mcp_servers: [everything] }));
}, 300_000);
afterAll(async () => {
  await client?.close();
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('a downstream MCP server, from the adapter file to an MCP client', () => {
  it('is not served before it is pinned; the command line pins it, and tells what has changed since', async () => {
    await expect(callboard(['adapters', 'pin', '--check', '--file', file])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('everything.pin.json of MCP server everything cannot be read'),
    });

    const [report] = JSON.parse(await callboard(['adapters', 'pin', '--json'], { CALLBOARD_ADAPTERS: file }));
    expect(report).toMatchObject({ server: 'everything', tools: 2, drift: { changed: [], gone: [] } });
    const pin = await readFile(join(folder, 'everything.pin.json'), 'utf8');
    await writeFile(join(folder, 'everything.pin.json'), pin.replace('Echoes back', 'Swallows'));
    await expect(callboard(['adapters', 'pin', '--check', '--file', file])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('A server is not as it was pinned'),
    });
    await callboard(['adapters', 'pin', '--file', file]);
    expect(await readFile(join(folder, 'everything.pin.json'), 'utf8')).toContain('Echoes back');
  });

  it('has its tools listed, called, and their progress heard', async () => {
    stack = await startStack({ apps: CALLS, env: { CALLBOARD_ADAPTERS: file } });
    client = await connectClient(stack.ready);
    const { tools } = await client.client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['demo.echo', 'everything.echo', 'everything.trigger-long-running-operation']),
    );
    const echo = await client.call('everything.echo', { message: 'Places, please.' });
    expect(echo.content).toEqual([{ type: 'text', text: 'Echo: Places, please.' }]);
    expect(echo._meta?.['io.callboard/correlation_id']).toEqual(expect.any(String));

    await client.call('everything.trigger-long-running-operation', { duration: 0.5, steps: 2 });
    expect(client.heard).toEqual([
      { progress: 1, total: 2 },
      { progress: 2, total: 2 },
    ]);
  });
});
