/** The commands of `docs/runbook.md`, run as they stand there against a real stack with the stock `nats` CLI. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectNats, declareTopology, applyTopology } from '@callboard/jetstream';
import { resolveNatsCli, resolveNatsServer } from '@callboard/nats-server';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bash, missing, stepsOf } from './commands.js';
import { readPage, inRepository } from './pages.js';
import { startServers, type Servers } from './spec-servers.js';

const SLOW_MS = 120_000;

/** What the steps need, as far as it is there. */
async function toolsMissing(): Promise<string | { cli: string }> {
  for (const program of ['bash', 'jq', 'openssl']) {
    const { code } = await bash(`command -v ${program}`, '/', process.env).catch(() => ({ code: -1 }));
    if (code !== 0) return `${program} is not installed`;
  }
  try {
    return { cli: await resolveNatsCli((line) => process.stderr.write(`${line}\n`)) };
  } catch (error) {
    return (error as Error).message;
  }
}

const tools = await toolsMissing();
const steps = stepsOf(await readPage('docs/runbook.md'));
if (typeof tools === 'string') {
  process.stderr.write(`SKIPPED: ${steps.length} blocks of docs/runbook.md were not run: ${tools}\n`);
}

describe('docs/runbook.md', () => {
  it('has a block of commands under every operation', () => {
    expect(new Set(steps.map(({ heading }) => heading)).size).toBe(16);
    expect(steps.filter(({ commands }) => !/\bnats\b|callboard/.test(commands))).toEqual([]);
  });
});

(typeof tools === 'string' ? describe.skip : describe)('docs/runbook.md, with the nats CLI', () => {
  let folder: string;
  let stack: TestStack;
  let scratch: Servers;
  let cluster: Servers;
  const env: Record<string, string> = {};

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-runbook-'));
    // `npx callboard` and `./.callboard` are where the page says.
    await symlink(fileURLToPath(inRepository('node_modules')), join(folder, 'node_modules'));
    stack = await startStack({ dataDir: join(folder, '.callboard') });
    const binary = (await resolveNatsServer()).path;
    [scratch, cluster] = await Promise.all([
      startServers(binary, join(folder, 'scratch'), 1),
      startServers(binary, join(folder, 'cluster'), 3),
    ]);
    const nc = await connectNats({ servers: cluster.urls.join(','), user: 'anyone', name: 'spec' });
    await applyTopology(nc, declareTopology({ partitions: 1, replicas: 3, maxBytes: 2 ** 20 }));
    await nc.close();
    Object.assign(env, await somethingToFind(stack), {
      PATH: `${dirname((tools as { cli: string }).cli)}:${process.env['PATH']}`,
      HOME: folder,
      NATS_URL: stack.ready.nats_url,
      NATS_CREDS: stack.ready.nats_users['sre']!.creds,
      SCRATCH_URL: scratch.urls[0]!,
      SYS_USER: 'sys',
      SYS_PASSWORD: 'sys',
    });
  }, SLOW_MS);
  afterAll(async () => {
    await Promise.all([stack.stop(), scratch.stop(), cluster.stop()]);
    await rm(folder, { recursive: true, force: true });
  }, SLOW_MS);

  it.each(steps.map((step, i) => [`${i + 1}: ${step.heading}`, step] as const))(
    'block %s',
    async (name, { kind, commands, expected }) => {
      // What one step leaves for the next is in one folder; the rest want an empty one.
      const DIR = join(folder, /\$DIR\/commands-copy/.test(commands) ? 'dir' : `dir-${name.split(':', 1)[0]}`);
      await mkdir(DIR, { recursive: true });
      const own: Record<string, string> = { DIR };
      if (kind === 'cluster') Object.assign(own, { NATS_URL: cluster.urls.join(','), NATS_CREDS: '' });
      // The first one is redriven by then.
      if (commands.includes('rmm DEAD_LETTERS')) own['LETTER'] = '2';
      const { code, printed } = await bash(commands, folder, { ...process.env, ...env, ...own });
      const met = (kind === 'denied') === (code !== 0);
      const absent = missing(expected, printed);
      expect({ commands, printed, met, absent }).toEqual({ commands, printed, met: true, absent: undefined });
    },
    SLOW_MS,
  );
});

/** Calls the stack, so that there is a key with some commands, one that runs, and dead letters. */
async function somethingToFind(stack: TestStack): Promise<Record<string, string>> {
  const call = async (name: string, args: object, key: string) => {
    const body = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        name,
        arguments: args,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
          'io.modelcontextprotocol/clientCapabilities': {},
          'io.callboard/ordering_key': key,
        },
      },
    };
    const headers = {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28',
      'Mcp-Method': 'tools/call',
      'Mcp-Name': name,
    };
    const response = await fetch(stack.ready.mcp_url, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await response.text();
    const id = /"io\.callboard\/correlation_id":"([^"]+)"/.exec(text)?.[1];
    if (!id) throw new Error(`${name} was not accepted: ${text}`);
    return id;
  };
  const [ID] = [
    await call('demo.append', { key: 'tour', value: 'one' }, 'demo:tour'),
    await call('demo.append', { key: 'tour', value: 'two' }, 'demo:tour'),
    await call('demo.append', { key: 'tour', value: 'three' }, 'demo:tour'),
  ];
  await Promise.all(['a', 'b', 'c'].map((id) => call('demo.fail', { id, times: 5, retryable: true }, `demo:${id}`)));
  // Runs until the page cancels it; who called it hears of that.
  void call('demo.sleep', { ms: 59_000 }, 'demo:sleep').catch(() => undefined);
  const nc = await connectNats({
    servers: stack.ready.nats_url,
    user: 'sre',
    credsFile: stack.ready.nats_users['sre']!.creds,
    name: 'spec',
  });
  try {
    const stored = async (subject: string) => {
      const request = JSON.stringify({ last_by_subj: subject });
      const answer = await nc.request('$JS.API.DIRECT.GET.COMMANDS', request, { timeout: 5_000 });
      return answer.headers?.get('Nats-Subject') ? answer.headers : undefined;
    };
    const command = (await stored(`cmd.*.*.*.*.*.${ID}`))!;
    const running = await waitFor(() => stored('cmd.*.*.demo.sleep.>'), { what: 'the running command' });
    return {
      ID: ID!,
      TENANT: 'default',
      KEY: 'demo:tour',
      PARTITION: command.get('Nats-Subject').split('.')[1]!,
      SEQ: command.get('Nats-Sequence'),
      LETTER: '1',
      RUNNING: running.get('Nats-Subject').split('.').at(-1)!,
      TICKET: 'OPS-7',
    };
  } finally {
    await nc.close();
  }
}
