/** Operators with an MCP client, on a real stack with two tenants: what policies let them see and do, and nobody else. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const SLOW_MS = 240_000;
const USERS = {
  /** Uses the tools, and is no operator. */
  bob: { tenant_id: 'acme', groups: [] },
  /** May do all that operators do. */
  ada: { tenant_id: 'acme', groups: ['sre'] },
  /** May redrive one action. */
  carol: { tenant_id: 'acme', groups: ['carpenters'] },
  /** An operator of another tenant. */
  eve: { tenant_id: 'globex', groups: ['sre'] },
} as const;
type User = keyof typeof USERS;

const POLICIES = `
@id("everybody")
permit (principal, action, resource);

@id("operators")
permit (principal, action in [Callboard::Action::"redrive", Callboard::Action::"read_audit"], resource)
when { principal.groups.contains("sre") };

@id("carpenters")
permit (principal, action == Callboard::Action::"redrive", resource == Callboard::Tool::"saw.cut")
when { principal.groups.contains("carpenters") };
`;
/** Both fail for as long as a file is not there; a gate that has failed keeps its key. */
const ACTIONS = (open: string) => `
import { existsSync } from 'node:fs';
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
const input = { type: 'object', properties: { word: { type: 'string' } } };
const retry = { max_attempts: 2, backoff_ms: 1 };
const run = ({ word = 'nothing' }) => {
  if (!existsSync(${JSON.stringify(open)})) throw new ActionError('closed for ' + word, { retryable: true });
  return 'passed with ' + word;
};
export const actions = new ActionSet([
  defineAction({ id: 'gate.pass', description: 'Passes', input, retry, attributes: { idempotent: true }, onDeadLetter: 'halt', run }),
  defineAction({ id: 'saw.cut', description: 'Cuts', input, retry, attributes: { idempotent: true }, run }),
]);
`;

interface Letter {
  letter: number;
  action: string;
  ordering_key: string;
  correlation_id: string;
  user: string;
  halts_key: boolean;
}
interface Entry {
  tenant_id: string;
  kind: string;
  what: string;
  code?: string;
  action?: string;
  stream_sequence: number;
  details?: Record<string, unknown>;
  personal?: { user_id?: string };
}

const tokens = Object.fromEntries(Object.keys(USERS).map((user) => [user, randomUUID()])) as Record<User, string>;
const clients = {} as Record<User, Client>;
let folder: string;
let stack: TestStack;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-operators-'));
  const at = (name: string) => join(folder, name);
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), at('node_modules'));
  await mkdir(at('policies'));
  const known = Object.entries(USERS).map(([user, is]) => ({
    sha256: createHash('sha256')
      .update(tokens[user as User])
      .digest('hex'),
    ...{ user_id: `user:default/${user}`, allow_unrestricted: true, ...is },
  }));
  await Promise.all([
    writeFile(at('policies/all.cedar'), POLICIES),
    writeFile(at('actions.mjs'), ACTIONS(at('open'))),
    writeFile(at('tokens.json'), JSON.stringify(known)),
  ]);
  stack = await startStack({
    apps: [...CALLS, 'audit-writer', 'operator-tools'],
    config: {
      action_modules: [at('actions.mjs')],
      policies: at('policies'),
      env: { 'mcp-frontend': { CALLBOARD_TOKENS_FILE: at('tokens.json') } },
    },
  });
  await Promise.all(
    Object.entries(tokens).map(async ([user, token]) => {
      const client = new Client({ name: user, version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
      const requestInit = { headers: { authorization: `Bearer ${token}` } };
      await client.connect(new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url), { requestInit }));
      clients[user as User] = client;
    }),
  );
}, SLOW_MS);
afterAll(async () => {
  await Promise.all(Object.values(clients).map((client) => client.close()));
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

async function ask<T>(user: User, tool: string, args: object = {}, meta: object = {}): Promise<T> {
  const called = await clients[user].callTool({ name: tool, arguments: { ...args }, _meta: { ...meta } });
  return called.structuredContent as T;
}
const code = async (user: User, tool: string, args: object = {}) =>
  (await ask<{ error: { code: string } }>(user, tool, args)).error.code;
const letters = async (user: User, args: object = {}) =>
  (await ask<{ letters: Letter[] }>(user, 'letters.list', args)).letters;
const redrive = async (user: User, ...numbers: number[]) =>
  (
    await ask<{ letters: { letter: number; status: string; code?: string; correlation_id?: string }[] }>(
      user,
      'letters.redrive',
      { letters: numbers },
    )
  ).letters;
const ordered = (key: string) => ({ 'io.callboard/ordering_key': key });
const later = { 'io.callboard/accept_async': true };

it('shows an operator the letters of his tenant that he may redrive, and nothing of what they carry', async () => {
  await ask('bob', 'gate.pass', { word: 'a secret word' }, ordered('gate'));
  await ask('bob', 'gate.pass', { word: 'behind it' }, { ...ordered('gate'), ...later });
  await ask('bob', 'saw.cut', { word: 'wood' }, ordered('bench'));
  await ask('eve', 'saw.cut', { word: 'iron' }, ordered('bench'));
  const seen = await letters('ada');
  expect(seen).toMatchObject([
    {
      action: 'gate.pass',
      ordering_key: 'gate',
      user: 'user:default/bob',
      reason: 'attempts_exhausted',
      halts_key: true,
    },
    { action: 'saw.cut', ordering_key: 'bench', user: 'user:default/bob', halts_key: false },
  ]);
  expect(JSON.stringify(seen)).not.toMatch(/word|wood/);
  expect(await letters('ada', { action: 'saw.cut' })).toEqual([seen[1]]);
  expect(await letters('carol')).toEqual([seen[1]]);
  expect(await letters('eve')).toMatchObject([{ action: 'saw.cut', user: 'user:default/eve' }]);
  // Everybody may do everything, and that names no operator.
  expect(await letters('bob')).toEqual([]);
  const first = await ask<{ letters: Letter[]; next: number }>('ada', 'letters.list', { limit: 1 });
  expect(first).toEqual({ letters: [seen[0]], next: seen[0]!.letter });
  expect(await letters('ada', { limit: 1, after: first.next })).toEqual([seen[1]]);
});

it('redrives none where one of them may not be', async () => {
  const [gate, saw] = await letters('ada');
  const both = { letters: [gate!.letter, saw!.letter] };
  expect(await code('carol', 'letters.redrive', both)).toBe('forbidden');
  expect(await code('bob', 'letters.redrive', both)).toBe('forbidden');
  expect(await letters('ada')).toEqual([gate, saw]);
});

it('knows no letter of another tenant, and none that is not there', async () => {
  const [gate] = await letters('ada');
  const unknown = [gate!.letter, 1_000_000].map((letter) => ({ letter, status: 'failed', code: 'not_found' }));
  expect(await redrive('eve', gate!.letter, 1_000_000)).toEqual(unknown);
});

it('runs each again once, by whomever and however often it is asked, in its place in the order of its key', async () => {
  const [gate, saw] = await letters('ada');
  await writeFile(join(folder, 'open'), '');
  expect(await redrive('carol', saw!.letter)).toMatchObject([{ letter: saw!.letter, status: 'redriven' }]);
  const asked = await Promise.all(Array.from({ length: 5 }, () => redrive('ada', gate!.letter)));
  const redriven = asked.flat().filter(({ status }) => status === 'redriven');
  expect(new Set(redriven.map(({ correlation_id }) => correlation_id)).size).toBe(1);
  const gone = asked.flat().filter(({ status }) => status !== 'redriven');
  expect(gone.every(({ code }) => code === 'not_found')).toBe(true);
  // As bob's, who called it first.
  const result = async () =>
    clients.bob.callTool({ name: 'callboard.result', arguments: { correlation_id: redriven[0]!.correlation_id! } });
  await waitFor(async () => JSON.stringify(await result()).includes('passed with a secret word'), {
    what: 'the result of the redriven command',
  });
  expect(await letters('ada')).toEqual([]);
  // The key goes on: what waited behind it has been done.
  await ask('bob', 'gate.pass', { word: 'the last' }, ordered('gate'));
  const ended = await waitFor(
    async () => {
      const order = await ask<{ entries: Entry[] }>('ada', 'audit.search', { kind: 'attempt', limit: 100 });
      const all = order.entries.filter(({ action, what }) => action === 'gate.pass' && what === 'ended');
      return all.length === 4 && all;
    },
    { what: 'all of it in the ledger' },
  );
  expect(ended.reverse().map(({ details }) => details!['status'])).toEqual([
    'dead_lettered',
    ...Array(3).fill('succeeded'),
  ]);
});

it('shows who may read the ledger what is on record of his tenant, and puts that on record first', async () => {
  const search = async (user: User, args: object = {}) =>
    ask<{ entries: Entry[]; next?: number }>(user, 'audit.search', args);
  const { entries } = await search('ada', { kind: 'operator', limit: 100 });
  expect(new Set(entries.map(({ tenant_id }) => tenant_id))).toEqual(new Set(['acme']));
  const done = entries.filter(({ what }) => what === 'redrive');
  expect(done.map(({ personal, action }) => [action, personal?.user_id])).toEqual(
    expect.arrayContaining([
      ['saw.cut', 'user:default/carol'],
      ['gate.pass', 'user:default/ada'],
    ]),
  );
  expect(await search('ada', { kind: 'operator', user: 'user:default/carol' })).toMatchObject({
    entries: [{ what: 'redrive', action: 'saw.cut' }],
  });
  const read = await waitFor(
    async () => {
      const all = await search('ada', { kind: 'operator', limit: 100 });
      const reads = all.entries.filter(({ what }) => what === 'audit_read');
      return reads.length > 2 && reads;
    },
    { what: 'records of reading' },
  );
  expect(read[0]).toMatchObject({ tenant_id: 'acme', personal: { user_id: 'user:default/ada' } });
  const page = await search('ada', { limit: 1 });
  expect(page.entries).toHaveLength(1);
  const next = await search('ada', { limit: 1, before: page.next! });
  expect(next.entries[0]!.stream_sequence).toBeLessThan(page.entries[0]!.stream_sequence);
  const others = await search('eve', { limit: 100 });
  expect(new Set(others.entries.map(({ tenant_id }) => tenant_id))).toEqual(new Set(['globex']));
});

it('opens the ledger for nobody else, and puts the attempt on record', async () => {
  expect(await code('bob', 'audit.search')).toBe('forbidden');
  expect(await code('carol', 'audit.search', { kind: 'call' })).toBe('forbidden');
  const denials = await waitFor(
    async () => {
      const found = await ask<{ entries: Entry[] }>('ada', 'audit.search', { kind: 'denial', limit: 100 });
      const of = (what: string) => found.entries.filter((entry) => entry.what === what);
      return of('read_audit').length === 2 && of('redrive').length === 2 && found.entries;
    },
    { what: 'the denials' },
  );
  expect(new Set(denials.map(({ personal }) => personal?.user_id))).toEqual(
    new Set(['user:default/bob', 'user:default/carol']),
  );
});

it.each([
  ['letters.list', { limit: 0 }],
  ['letters.list', { tenant: 'globex' }],
  ['letters.redrive', { letters: [] }],
  ['letters.redrive', { letters: [1.5] }],
  ['letters.redrive', { letters: Array.from({ length: 101 }, (_, i) => i + 1) }],
  ['audit.search', { tenant: 'globex' }],
  ['audit.search', { kind: 'gossip' }],
  ['audit.search', { since: 'yesterday' }],
])('refuses %s with arguments that it cannot have', async (tool, args) => {
  expect(await code('ada', tool, args)).toBe('invalid_arguments');
});
