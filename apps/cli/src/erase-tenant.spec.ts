/**
 * `callboard tenants export` and `erase`, on a real stack with two tenants that use all of it. Words that nobody else says are planted wherever a tenant
 * can put one, and looked for in every stream and bucket afterwards.
 */
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUCKET, KeyValueStore, STREAM, declareTopology, messagesAt } from '@callboard/jetstream';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { callboard, connect } from './spec-callboard.js';
import type { ExportManifest } from './tenants/export-tenant.js';

const SLOW_MS = 300_000;
const GONE = 'acme';
const STAYS = 'globex';
const TENANTS = [GONE, STAYS];
/** One tool, one command that fails and one that undoes: what a saga leaves behind. */
const SAGA = `id: stage.open
version: 1
description: Opens the stage.
input: { type: object, properties: { word: { type: string } }, required: [word] }
steps:
  - { name: build, action: demo.echo, args: { text: '\${{ input.word }}' } }
`;
const WAITING = SAGA.replace('stage.open', 'stage.ask').replace(
  /  - \{ name: build.*\n/,
  "  - { name: ask, approval: '${{ input.word }}', approvers: [group:default/sre] }\n",
);

const tokens = Object.fromEntries(TENANTS.map((tenant) => [tenant, randomUUID()]));
const word = (tenant: string, what: string) => `canary-${tenant}-${what}`;

let folder: string;
let stack: TestStack;
let connections: NatsConnection[];
/** As `sre`, and as the filter, which alone may read what it has not passed. */
let sre: JetStreamManager;
let filter: JetStreamManager;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-erase-'));
  await mkdir(join(folder, 'sagas'));
  await writeFile(join(folder, 'sagas', 'open.yaml'), SAGA);
  await writeFile(join(folder, 'sagas', 'ask.yaml'), WAITING);
  const tokensFile = TENANTS.map((tenant) => ({
    sha256: createHash('sha256').update(tokens[tenant]!).digest('hex'),
    ...{ tenant_id: tenant, user_id: `user:default/${word(tenant, 'user')}`, allow_unrestricted: true },
  }));
  await writeFile(join(folder, 'tokens.json'), JSON.stringify(tokensFile));
  const sources = TENANTS.map((tenant) => ({
    ...{ name: tenant, type: 'cloudevents', tenant, token: { env: `TOKEN_${tenant.toUpperCase()}` }, key: ['/stage'] },
  }));
  await writeFile(join(folder, 'sources.yaml'), JSON.stringify({ sources }));
  stack = await startStack({
    readyWithinMs: 150_000,
    apps: [
      ...['mcp-frontend', 'action-runner', 'event-ingestor', 'pii-filter'],
      ...['saga-orchestrator', 'audit-writer'],
    ],
    config: {
      sagas: join(folder, 'sagas'),
      sources: join(folder, 'sources.yaml'),
      env: {
        'mcp-frontend': { CALLBOARD_TOKENS_FILE: join(folder, 'tokens.json') },
        'event-ingestor': Object.fromEntries(TENANTS.map((t) => [`TOKEN_${t.toUpperCase()}`, tokens[t]!])),
      },
    },
  });
  const users = await Promise.all(['sre', 'pii-filter'].map((user) => stack.connect(user)));
  connections = users;
  [sre, filter] = (await Promise.all(users.map((nc) => jetstreamManager(nc, { checkAPI: false })))) as [
    JetStreamManager,
    JetStreamManager,
  ];
}, SLOW_MS);
afterAll(async () => {
  await Promise.all((connections ?? []).map((nc) => nc.close()));
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

const run = (...args: string[]) => callboard(...args, '--data-dir', stack.dataDir);

interface Found {
  stream: string;
  sequence: number;
  text: string;
}

/** Every message that there is, whoever may read it, that holds a text: in its subject, its headers or its data. */
async function everythingWith(text: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const { config } of declareTopology().streams) {
    const forTheFilter = ['EVENTS_RAW', 'EVENTS_HELD', 'KV_PSEUDONYM_KEYS'].includes(config.name);
    for await (const message of messagesAt(forTheFilter ? filter : sre, config.name, '>')) {
      const all = [message.subject, ...[...message.header].flat(2), Buffer.from(message.data).toString('utf8')].join(
        '\n',
      );
      if (all.includes(text)) found.push({ stream: config.name, sequence: message.seq, text: all });
    }
  }
  return found;
}

const streamsOf = (found: Found[]) => [...new Set(found.map(({ stream }) => stream))].sort();

async function call(tenant: string, name: string, args: object, meta: object = {}) {
  const client = await connect(stack.ready.mcp_url, tokens[tenant]!);
  try {
    return await client.callTool({ name, arguments: { ...args }, _meta: { ...meta } });
  } finally {
    await client.close();
  }
}

async function sendEvent(tenant: string, what: string, more: object): Promise<void> {
  const event = { specversion: '1.0', id: word(tenant, what), source: '/spec', type: `spec.${tenant}`, ...more };
  const answer = await fetch(`${stack.ready.ingest_url}/events/${tenant}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens[tenant]!}`, 'content-type': 'application/cloudevents+json' },
    body: JSON.stringify(event),
  });
  expect([answer.status, await answer.text()]).toEqual([202, expect.anything()]);
}

/** Uses everything once. */
async function plant(tenant: string): Promise<void> {
  const meta = {
    'io.callboard/ordering_key': word(tenant, 'ordering-key'),
    'io.callboard/idempotency_key': word(tenant, 'idempotency-key'),
  };
  await waitFor(async () => !(await call(tenant, 'demo.echo', { text: word(tenant, 'argument') }, meta)).isError, {
    what: `a call of ${tenant}`,
  });
  const failed = await call(tenant, 'demo.fail', { id: word(tenant, 'letter'), times: 99, retryable: true });
  expect(failed.isError).toBe(true);
  expect((await call(tenant, 'stage.open', { word: word(tenant, 'saga') })).isError).toBeFalsy();
  const subscription = { name: word(tenant, 'subscription').slice(0, 64), topics: [`spec.${tenant}`] };
  expect((await call(tenant, 'events.subscribe', subscription)).isError).toBeFalsy();
  await sendEvent(tenant, 'event', { data: { stage: word(tenant, 'event-key'), says: word(tenant, 'event-data') } });
  const odd = {
    datacontenttype: 'application/octet-stream',
    data_base64: Buffer.from(word(tenant, 'held')).toString('base64'),
  };
  await sendEvent(tenant, 'held-id', odd);
  // A session of before 2026, whose log is stored.
  const session = new Client({ name: 'spec', version: '1.0.0' });
  const headers = { authorization: `Bearer ${tokens[tenant]!}` };
  await session.connect(new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url), { requestInit: { headers } }));
  await session.callTool({ name: 'demo.echo', arguments: { text: word(tenant, 'session') } });
  await session.close();
  const scheduled = await run(
    ...['commands', 'schedule', 'create', 'nightly', 'demo.echo', '--tenant', tenant],
    ...['--args', JSON.stringify({ text: word(tenant, 'scheduled') }), '--at', '2099-01-01T00:00:00Z'],
  );
  expect(scheduled.code).toBe(0);
  await plantDirectly(tenant);
}

/** What takes a Backstage, a far side, a halted key or words of an action to come about. */
async function plantDirectly(tenant: string): Promise<void> {
  const as = async (user: string, use: (nc: NatsConnection) => Promise<unknown>) => {
    const nc = await stack.connect(user);
    await use(nc);
    await nc.close();
  };
  await as('action-runner', async (nc) => {
    const halt = { correlation_id: 'c_0', action: 'demo.echo', at: new Date().toISOString() };
    const halts = await KeyValueStore.open(nc, BUCKET.halts);
    await halts.put(`${tenant}.${word(tenant, 'halt')}`, Buffer.from(JSON.stringify(halt)));
    await jetstream(nc).publish(`dispatch.queue.${tenant}.c_0.1`, word(tenant, 'dispatch'));
    await jetstream(nc).publish(`progress.${tenant}.c_0`, word(tenant, 'progress'));
  });
  await as('notifier', async (nc) => {
    const digests = await KeyValueStore.open(nc, BUCKET.digests);
    await digests.put(`${tenant}.user.budget.all`, Buffer.from(JSON.stringify({ items: [word(tenant, 'digest')] })));
    await jetstream(nc).publish(`budget.hourly.${tenant}.${word(tenant, 'budget')}`, '{}');
  });
}

/** All streams in which a tenant that uses everything has something. */
const EVERYWHERE = [
  ...['BUDGETS', 'COMMANDS', 'DEAD_LETTERS', 'DISPATCH', 'EVENTS', 'EVENTS_HELD'],
  ...['KV_DIGESTS', 'KV_HALTS', 'KV_MCP_SESSIONS', 'KV_SUBSCRIPTIONS'],
  ...['OUTCOMES', 'PROGRESS', 'SAGAS', 'SCHEDULES', 'SESSIONS'],
];

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

it(
  'everything is exported that is kept of a tenant, and nothing of another',
  async () => {
    await Promise.all(TENANTS.map(plant));
    for (const tenant of TENANTS) {
      await waitFor(
        async () => {
          const streams = streamsOf(await everythingWith(`canary-${tenant}`));
          return EVERYWHERE.every((stream) => streams.includes(stream));
        },
        { what: `canaries of ${tenant} everywhere` },
      );
    }
    const to = join(folder, 'export');
    const { code, stdout, stderr } = await run('tenants', 'export', GONE, '--to', to, '--json');
    expect([code, stderr]).toEqual([0, '']);
    const manifest = JSON.parse(stdout) as ExportManifest;
    expect(JSON.parse(await readFile(join(to, 'manifest.json'), 'utf8'))).toEqual(manifest);
    expect(manifest.left_out.filter(({ messages }) => messages !== undefined)).toEqual([
      expect.objectContaining({ what: 'EVENTS_RAW', messages: 0 }),
      expect.objectContaining({ what: 'EVENTS_HELD', messages: 1 }),
    ]);
    expect((await readdir(to)).sort()).toEqual([...manifest.files.map(({ file }) => file), 'manifest.json'].sort());

    let exported = '';
    for (const { file, lines, bytes, sha256, first_sequence, last_sequence } of manifest.files) {
      const content = await readFile(join(to, file));
      expect([file, content.length, createHash('sha256').update(content).digest('hex')]).toEqual([file, bytes, sha256]);
      const parsed = content
        .toString('utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, number>);
      const sequences = parsed.map(({ sequence, stream_sequence }) => sequence ?? stream_sequence!);
      expect([file, parsed.length]).toEqual([file, lines]);
      if (lines > 0) expect([Math.min(...sequences), Math.max(...sequences)]).toEqual([first_sequence, last_sequence]);
      else expect([file, first_sequence]).toEqual([file, undefined]);
      exported += content.toString('utf8');
    }
    // Whatever of it is stored is there, but for what only the filter may read; and as many messages as hold a canary at least.
    const kept = (await everythingWith(`canary-${GONE}`)).filter(({ stream }) => stream !== 'EVENTS_HELD');
    const canaries = new Set(kept.flatMap(({ text }) => text.match(new RegExp(`canary-${GONE}-[a-z-]+`, 'g')) ?? []));
    expect(canaries.size).toBeGreaterThan(15);
    for (const canary of canaries) expect([canary, exported.includes(canary)]).toEqual([canary, true]);
    const lines = Object.fromEntries(manifest.files.map(({ stream, lines }) => [stream ?? 'LEDGER', lines]));
    for (const stream of EVERYWHERE.filter((name) => name !== 'EVENTS_HELD')) {
      const holding = kept.filter((message) => message.stream === stream).length;
      expect([stream, lines[stream]! >= holding]).toEqual([stream, true]);
    }
    expect(lines['LEDGER']).toBeGreaterThan(5);
    expect(exported).not.toContain(`canary-${STAYS}`);
    expect(exported).not.toContain(STAYS);

    const again = await run('tenants', 'export', GONE, '--to', to);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('is not empty')]);
    const { stdout: records } = await run('audit', 'search', '--kind', 'operator', '--json');
    expect(records).toContain('"what":"export"');
    expect(records).toContain('"what":"audit_read"');
  },
  SLOW_MS,
);

it(
  'one that is erased is nowhere any more, while another goes on and loses nothing',
  async () => {
    const unsure = await run('tenants', 'erase', GONE, '--confirm', STAYS);
    expect([unsure.code, unsure.stderr]).toEqual([1, expect.stringContaining('nothing was erased')]);

    // Something has not ended.
    const meta = { 'io.callboard/accept_async': true };
    const slow = await call(GONE, 'demo.sleep', { ms: 3_600_000 }, { ...meta, 'io.callboard/deadline_ms': 3_600_000 });
    const { correlation_id: id } = slow.structuredContent as { correlation_id: string };
    await call(GONE, 'stage.ask', { word: word(GONE, 'question') }, meta);
    const refused = await run('tenants', 'erase', GONE, '--confirm', GONE);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(id)]);
    expect(refused.stderr).toContain('1 commands and 1 sagas have not ended');
    expect(streamsOf(await everythingWith(`canary-${GONE}`))).toEqual(expect.arrayContaining(EVERYWHERE));

    const before = (await everythingWith(`canary-${STAYS}`)).filter(({ stream }) => stream !== STREAM.audit);
    let stopped = false;
    let calls = 0;
    const others = (async () => {
      for (; !stopped; calls++) {
        const { isError } = await call(
          STAYS,
          'demo.echo',
          { text: `call ${calls}` },
          { 'io.callboard/ordering_key': 'one' },
        );
        expect(isError).toBeFalsy();
      }
    })();
    // Cut short as soon as its commands are gone, and done again.
    const erase = ['tenants', 'erase', GONE, '--confirm', GONE, '--cancel', '--json'];
    const cut = spawn(process.execPath, [CLI, ...erase, '--data-dir', stack.dataDir], { stdio: 'ignore' });
    const ended = new Promise((resolve) => cut.once('exit', resolve));
    await waitFor(async () => (await commandsOf(GONE)) === 0, { what: 'no more commands' });
    cut.kill('SIGKILL');
    await ended;
    const { code, stdout, stderr } = await run(...erase);
    expect([code, stderr]).toEqual([0, '']);
    expect(Object.keys((JSON.parse(stdout) as { erased: object }).erased)).toEqual(expect.arrayContaining(EVERYWHERE));
    stopped = true;
    await others;
    expect(calls).toBeGreaterThan(5);

    expect(await everythingWith(`canary-${GONE}`)).toEqual([]);
    const after = new Set(
      (await everythingWith(`canary-${STAYS}`)).map(({ stream, sequence }) => `${stream} ${sequence}`),
    );
    expect(before.filter(({ stream, sequence }) => !after.has(`${stream} ${sequence}`))).toEqual([]);
    // Nobody in the ledger is from there any more, and it is whole.
    const entries = (await run('audit', 'search', '--tenant', GONE, '--json')).stdout;
    expect(entries.includes('canary')).toBe(false);
    expect(entries).toContain('"kind":"call"');
    expect((await run('audit', 'search', '--tenant', STAYS, '--json')).stdout).toContain(word(STAYS, 'user'));
    expect(JSON.parse((await run('audit', 'verify', '--json')).stdout)).toMatchObject({ ok: true, findings: [] });
    expect((await run('audit', 'search', '--kind', 'operator', '--json')).stdout).toContain('"what":"data"');

    // No file outside of the store of the streams, and of what the actions did, holds a word of it.
    const files = (await filesBelow(stack.dataDir)).filter((file) => !/\/(nats\/store|demo)\//.test(file));
    for (const file of files) {
      expect([file, (await readFile(file)).includes(`canary-${GONE}`)]).toEqual([file, false]);
    }
    // What the filter alone may read was overwritten there too.
    for (const stream of ['EVENTS_HELD', 'KV_PSEUDONYM_KEYS']) {
      const blocks = (await filesBelow(join(stack.dataDir, 'nats', 'store'))).filter((file) =>
        file.includes(`/${stream}/`),
      );
      expect(blocks.length).toBeGreaterThan(0);
      for (const file of blocks)
        expect([file, (await readFile(file)).includes(`canary-${GONE}-held`)]).toEqual([file, false]);
    }
  },
  SLOW_MS,
);

const CLI = fileURLToPath(new URL('./main.js', import.meta.url));

async function commandsOf(tenant: string): Promise<number> {
  const { state } = await sre.streams.info(STREAM.commands, { subjects_filter: `cmd.*.${tenant}.>` });
  return Object.keys(state.subjects ?? {}).length;
}
