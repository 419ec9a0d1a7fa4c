/** The tutorial of docs/sagas.md, played on a stack of its own: its files are loaded, its calls are made, and what it promises is there. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { modernRequest, raw } from './spec-front.js';

interface Call {
  name: string;
  arguments: JsonObject;
}

let tutorial: string;
let calls: Call[];
let directory: string;
let stack: TestStack;
let port: number;

beforeAll(async () => {
  const page = await readFile(new URL('../../../docs/sagas.md', import.meta.url), 'utf8');
  tutorial = page.slice(page.indexOf('## Tutorial'), page.indexOf('## Definitions'));
  calls = blocks('json').map((text) => JSON.parse(text) as Call);
  directory = await mkdtemp(join(tmpdir(), 'callboard-tutorial-'));
  await mkdir(join(directory, 'sagas'));
  const files = [...tutorial.matchAll(/`(sagas\/\w+\.yaml)`/g)].map(([, file]) => file!);
  const definitions = blocks('yaml');
  expect(files).toHaveLength(definitions.length);
  for (const [i, file] of files.entries()) await writeFile(join(directory, file), definitions[i]!);
  stack = await startStack({
    apps: [...CALLS, 'saga-orchestrator'],
    env: { CALLBOARD_SAGAS: join(directory, 'sagas') },
  });
  port = Number(new URL(stack.ready.mcp_url).port);
  const tools = new Set(calls.map(({ name }) => name));
  await waitFor(async () => [...tools].every((name) => served.has(name)) || ((served = await toolNames()), false), {
    what: 'the tools of the tutorial',
  });
});
afterAll(async () => {
  await stack?.stop();
  await rm(directory, { recursive: true, force: true });
});

let served = new Set<string>();
const toolNames = async () => {
  const { json } = await raw(port, modernRequest('tools/list', {}));
  return new Set((json.result!.tools as { name: string }[]).map(({ name }) => name));
};
const blocks = (kind: string) =>
  [...tutorial.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, text]) => text!);
const make = async (call: Call | undefined) => (await raw(port, modernRequest('tools/call', { ...call }))).json.result!;
const log = async (key: string) => {
  const lines = (await readFile(join(stack.dataDir, 'demo', 'append.log'), 'utf8')).trim().split('\n');
  const all = lines.map((line) => JSON.parse(line) as { key: string; value: string });
  return all.filter((line) => line.key === key).map(({ value }) => value);
};

describe('the tutorial of sagas', () => {
  it('opens a stage', async () => {
    expect((await make(calls[0])).structuredContent).toEqual({ opened: 'small house' });
    expect(await log('small house')).toEqual(['curtain up', 'light on']);
  });

  it('undoes what was done when a step fails', async () => {
    const result = await make(calls[1]);
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: 'saga_compensated' } } });
    expect(await log('big house')).toEqual(['curtain up', 'curtain down']);
  });

  it('opens two side by side, by a saga of sagas', async () => {
    expect((await make(calls[2])).structuredContent).toEqual({ next: 2028 });
    expect(await log('season 2027')).toEqual(['left 2027 and right 2027']);
    expect(await log('left 2027')).toEqual(['curtain up', 'light on']);
    expect(calls).toHaveLength(3);
  });
});
