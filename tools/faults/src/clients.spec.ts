import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import type { ToolResult } from './answer.js';
import { Balancer } from './balancer.js';

/** What a driver prints; see `tools/clients/README.md`. A client that does not say which revision it speaks, or shows no progress, leaves that out. */
interface Seen {
  protocol?: string;
  session?: boolean;
  tools: string[];
  echo: ToolResult;
  progress?: { progress: number; total?: number }[];
  progressed: ToolResult;
}

/** What a driver prints that was asked to make one call. */
interface SeenTask {
  statuses?: string[];
  result: ToolResult;
}

const CLIENTS = fileURLToPath(new URL('../../clients/', import.meta.url));
const TOOLS = [
  'demo.append',
  'demo.approve',
  'demo.echo',
  'demo.fail',
  'demo.progress',
  'demo.sleep',
  'callboard.result',
  'events.list',
  'events.poll',
  'events.read',
  'events.subscribe',
  'events.unsubscribe',
];

let stack: TestStack;

beforeAll(async () => {
  await installClients();
  stack = await startStack({ apps: CALLS, replicas: { 'mcp-frontend': 2 } });
}, 600_000);
afterAll(async () => {
  await stack?.stop();
});

describe('a real client lists the tools, calls them and sees their progress', () => {
  it.each([
    ['sdk-v2', 'auto', '2026-07-28'],
    ['sdk-v2', 'modern', '2026-07-28'],
    ['sdk-v2', 'legacy', '2025-11-25'],
    ['sdk-v1', 'legacy', '2025-11-25'],
    ['ai-sdk', 'auto', '2026-07-28'],
    ['ai-sdk', 'legacy', '2025-11-25'],
    ['inspector', 'modern', undefined],
    ['inspector', 'legacy', undefined],
  ])('%s, %s', async (client, era, protocol) => {
    const seen = await drive<Seen>(client, era);
    expect(seen.tools).toEqual(expect.arrayContaining(TOOLS));
    expect(seen.protocol).toBe(protocol);
    if (seen.session !== undefined) expect(seen.session).toBe(era === 'legacy');
    for (const result of [seen.echo, seen.progressed]) {
      expect(result.isError).toBeFalsy();
      expect(result._meta?.['io.callboard/correlation_id']).toEqual(expect.stringMatching(/^[ci]_/));
    }
    expect(seen.echo.content).toEqual([{ type: 'text', text: `hello from ${client}` }]);
    if (seen.progress) expect(seen.progress.map(({ progress }) => progress)).toEqual([1, 2, 3]);
  });
});

describe('a real client drives a task from its creation to its result', () => {
  it.each([
    ['ext-tasks', ['working', 'completed']],
    ['inspector', undefined],
  ])('%s, while the front end that created it is killed', async (client, statuses) => {
    const balancer = await Balancer.start(stack.ready.mcp_urls);
    const driven = drive<SeenTask>(client, 'modern', balancer.url, ['demo.sleep', '{"ms": 5000}']);
    driven.catch(() => undefined);
    const { taskId, target } = await balancer.createdTask;
    const { processes } = await stack.readReady();
    const killed = processes['mcp-frontend']![target]!;
    process.kill(killed, 'SIGKILL');
    const seen = await driven;
    expect(seen.result.content).toEqual([{ type: 'text', text: expect.stringMatching(/^slept \d{4} ms$/) }]);
    expect(seen.result._meta?.['io.callboard/correlation_id']).toBe(taskId);
    expect(seen.statuses).toEqual(statuses);
    expect(balancer.answered[1 - target]).toBeGreaterThan(0);
    await balancer.stop();
    await waitFor(async () => !(await stack.readReady()).processes['mcp-frontend']!.includes(killed), {
      what: 'another front end in its place',
    });
  });
});

async function drive<What>(client: string, era: string, url = stack.ready.mcp_url, call: string[] = []): Promise<What> {
  const driver = join(CLIENTS, 'drivers', `${client}.mjs`);
  const { stdout } = await promisify(execFile)(newerNode(), [driver, url, era, stack.ready.token, ...call]);
  return JSON.parse(stdout) as What;
}

/** Installs the clients exactly as their lock file says, once; from then on the tests need no network. */
async function installClients(): Promise<void> {
  const lock = await readFile(join(CLIENTS, 'package-lock.json'), 'utf8');
  const installed = join(CLIENTS, 'node_modules', '.installed-package-lock.json');
  if ((await readFile(installed, 'utf8').catch(() => undefined)) === lock) return;
  const startedAt = Date.now();
  const tell = () => {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    process.stderr.write(`installing the MCP clients of tools/clients (once, some 330 MB): ${seconds} s\n`);
  };
  tell();
  const ticker = setInterval(tell, 5_000);
  try {
    // No install script is needed, so none runs. The clients that want a newer Node than this one get it: see newerNode().
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: CLIENTS });
    await writeFile(installed, lock);
  } finally {
    clearInterval(ticker);
  }
}

/** A Node that is new enough for every client: this one, or else the one that came with the clients. */
function newerNode(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return process.execPath;
  const platform = `${process.platform}-${process.arch}`;
  const packages = [`node-${platform}`, `node-bin-${platform}`];
  const found = packages.map((name) => join(CLIENTS, 'node_modules', name, 'bin', 'node')).find(existsSync);
  if (!found)
    throw new Error(`two of the clients need Node 22.19 or newer, and npm has none for ${platform}: install one`);
  return found;
}
