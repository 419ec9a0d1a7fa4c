/** The commands of the pages of `docs/runbook`, run as they stand there against a real stack with the stock `nats` CLI. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectNats, declareTopology, applyTopology } from '@callboard/jetstream';
import { resolveNatsServer } from '@callboard/nats-server';
import {
  bash,
  isAlive,
  missing,
  operatorTools,
  startStack,
  stepsOf,
  waitFor,
  type TestStack,
} from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { inRepository, readPage, repositoryFiles } from './pages.js';
import { startServers, type Servers } from './spec-servers.js';

const SLOW_MS = 180_000;
/** Pages whose blocks go on with the files of those before. */
const LEAVES = new Set(['restore', 'key-rotation']);

const FOLDER = 'docs/runbook';
/** In this order: those at the end stop the stack, and start it again. */
const PAGES = [
  'README',
  'streams',
  'redrive',
  'sagas',
  'replay',
  'filter-failing-closed',
  'backstage-down',
  'erase-a-person',
  'key-rotation',
  'restore',
  'nats-node-loss',
  'drain',
  'scale',
  'upgrade',
  'partition-change',
];

/** One that cannot undo its first step at once, and one that asks. */
const SAGAS = {
  make: `id: booking.make
version: 1
description: Books a seat, and cannot pay for it.
steps:
  - name: book
    action: demo.append
    args: { key: '\${{ saga.id }}', value: booked }
    compensation:
      action: demo.fail
      args: { id: '\${{ saga.id }}', times: 1, retryable: false }
  - { name: pay, action: demo.fail, args: { id: 'pay \${{ saga.id }}', times: 1, retryable: false } }
`,
  keep: `id: booking.keep
version: 1
description: Books a seat, and asks whether it is to be kept.
steps:
  - name: book
    action: demo.append
    args: { key: '\${{ saga.id }}', value: booked }
    compensation: { action: demo.append, args: { key: '\${{ saga.id }}', value: given back } }
  - { name: agree, approval: Keep it?, approvers: ['user:default/jane'] }
`,
};

const tools = await operatorTools();
const pages = await Promise.all(
  PAGES.map(async (name) => ({ name, steps: stepsOf(await readPage(`${FOLDER}/${name}.md`)) })),
);
if (typeof tools === 'string') {
  process.stderr.write(`SKIPPED: the commands of ${PAGES.length} pages of ${FOLDER} were not run: ${tools}\n`);
}

describe(FOLDER, () => {
  it('has commands on every page, and every page in its index', async () => {
    const there = repositoryFiles(`${FOLDER}/`).filter((path) => !path.includes('/alerts/'));
    expect(there.sort()).toEqual(PAGES.map((name) => `${FOLDER}/${name}.md`).sort());
    expect(pages.filter(({ steps }) => steps.length === 0)).toEqual([]);
    const index = await readPage(`${FOLDER}/README.md`);
    expect(PAGES.filter((name) => name !== 'README' && !index.includes(`](${name}.md)`))).toEqual([]);
  });
});

(typeof tools === 'string' ? describe.skip : describe)(`${FOLDER}, with the nats CLI`, () => {
  let folder: string;
  let stack: TestStack;
  let scratch: Servers;
  let cluster: Servers;
  const env: Record<string, string> = {};

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-runbook-'));
    // `npx callboard` and `./.callboard` are where the page says.
    await symlink(fileURLToPath(inRepository('node_modules')), join(folder, 'node_modules'));
    const definitions = join(folder, 'sagas');
    await mkdir(definitions);
    for (const [name, text] of Object.entries(SAGAS)) await writeFile(join(definitions, `${name}.yaml`), text);
    stack = await startStack({ dataDir: join(folder, '.callboard'), env: { CALLBOARD_SAGAS: definitions } });
    const binary = (await resolveNatsServer()).path;
    [scratch, cluster] = await Promise.all([
      startServers(binary, join(folder, 'scratch'), 1),
      startServers(binary, join(folder, 'cluster'), 3),
    ]);
    const nc = await connectNats({ servers: cluster.urls.join(','), user: 'anyone', name: 'spec' });
    await applyTopology(nc, declareTopology({ partitions: 1, replicas: 3, maxBytes: 2 ** 20 }));
    await nc.close();
    Object.assign(env, await somethingToFind(folder, stack), {
      PATH: `${dirname((tools as { nats: string }).nats)}:${process.env['PATH']}`,
      HOME: folder,
      NATS_URL: stack.ready.nats_url,
      NATS_CREDS: stack.ready.nats_users['sre']!.creds,
      SCRATCH_URL: scratch.urls[0]!,
      SYS_USER: 'sys',
      SYS_PASSWORD: 'sys',
    });
  }, SLOW_MS);
  afterAll(async () => {
    await Promise.all([stopStack(folder, stack), scratch.stop(), cluster.stop()]);
    await rm(folder, { recursive: true, force: true });
  }, SLOW_MS);

  it.each(
    pages.flatMap(({ name, steps }) =>
      steps.map((step, i) => [`${name} ${i + 1}: ${step.heading}`, name, step] as const),
    ),
  )(
    'block %s',
    async (title, page, { kind, commands, expected }) => {
      // What one step leaves for the next is in the folder of its page; the rest want an empty one.
      const DIR = join(folder, LEAVES.has(page) ? page : `dir-${title.split(':', 1)[0]!.replace(' ', '-')}`);
      await mkdir(DIR, { recursive: true });
      const own: Record<string, string> = { DIR };
      if (kind === 'cluster') Object.assign(own, { NATS_URL: cluster.urls.join(','), NATS_CREDS: '' });
      // The first one is redriven by then.
      if (commands.includes('rmm DEAD_LETTERS')) own['LETTER'] = '2';
      // Each decision ends the saga that it is about.
      if (commands.includes('sagas skip')) own['SAGA'] = env['SAGA_TO_SKIP']!;
      if (commands.includes('sagas abort $SAGA')) own['SAGA'] = env['SAGA_TO_ABORT']!;
      const { code, printed } = await bash(commands, folder, { ...process.env, ...env, ...own });
      const met = (kind === 'denied') === (code !== 0);
      const absent = missing(expected, printed);
      expect({ commands, printed, met, absent }).toEqual({ commands, printed, met: true, absent: undefined });
    },
    SLOW_MS,
  );
});

/** Pages have started it again by then, as a process of its own. */
async function stopStack(folder: string, stack: TestStack): Promise<void> {
  const ready = join(folder, '.callboard', 'ready.json');
  const text = await readFile(ready, 'utf8').catch(() => undefined);
  const pid = text === undefined ? undefined : (JSON.parse(text) as { supervisor_pid: number }).supervisor_pid;
  if (pid !== undefined && pid !== stack.ready.supervisor_pid) {
    process.kill(pid, 'SIGTERM');
    await waitFor(() => !isAlive(pid), { what: 'the end of the stack that a page has started', timeoutMs: SLOW_MS });
  }
  await stack.stop();
}

/** Calls the stack, so that there is a key with some commands, one that runs, and dead letters. */
async function somethingToFind(folder: string, stack: TestStack): Promise<Record<string, string>> {
  const call = async (name: string, args: object, meta: object) => {
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
          ...meta,
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
  const ofKey = (name: string, args: object, key: string) => call(name, args, { 'io.callboard/ordering_key': key });
  const [ID] = [
    await ofKey('demo.append', { key: 'tour', value: 'one' }, 'demo:tour'),
    await ofKey('demo.append', { key: 'tour', value: 'two' }, 'demo:tour'),
    await ofKey('demo.append', { key: 'tour', value: 'three' }, 'demo:tour'),
  ];
  const [sagas] = await Promise.all([
    sagasToFind(folder, (name) => call(name, {}, { 'io.callboard/accept_async': true })),
    ...['a', 'b', 'c'].map((id) => ofKey('demo.fail', { id, times: 5, retryable: true }, `demo:${id}`)),
  ]);
  // Runs until the page cancels it; who called it hears of that.
  void ofKey('demo.sleep', { ms: 59_000 }, 'demo:sleep').catch(() => undefined);
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
      ...sagas,
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

/** Three sagas that are halted, and two that wait for an answer. */
async function sagasToFind(folder: string, begin: (name: string) => Promise<string>): Promise<Record<string, string>> {
  const accepted = (name: string) =>
    waitFor(() => begin(name).catch(() => undefined), { what: `a call of ${name}`, timeoutMs: SLOW_MS });
  const ids = await Promise.all(['make', 'make', 'make', 'keep', 'keep'].map((name) => accepted(`booking.${name}`)));
  const [SAGA, SAGA_TO_SKIP, SAGA_TO_ABORT, WAITING, STOPPED] = ids as [string, string, string, string, string];
  const halted = async () => {
    const { code, printed } = await bash('npx callboard sagas list --phase halted --json', folder, process.env);
    return code === 0 && (JSON.parse(printed) as { total: number }).total === 3;
  };
  await waitFor(halted, { what: 'sagas that are halted', timeoutMs: SLOW_MS });
  return { SAGA, SAGA_TO_SKIP, SAGA_TO_ABORT, WAITING, STOPPED };
}
