/** Policies, as clients of a real stack meet them. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { CALLS, readAudit, startStack, waitFor, type TestStack } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { modernRequest, raw } from './spec-front.js';

const TASKS = {
  'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
};
const USERS = ['ada', 'bob'] as const;
/** Tokens of Carol's: for all that she may do, and for less. */
const OF_CAROL = { 'carol-at-work': ['stage', 'look'], 'carol-on-the-way': ['look'] };
type User = (typeof USERS)[number] | keyof typeof OF_CAROL;
const OPS = '/mcp/ops';
const PLAY = `
id: stage.play
version: 1
description: A step for everybody, one for those who come by /mcp/ops, and one for those with the scope.
input: { type: object, properties: { key: { type: string } }, required: [key] }
steps:
  - name: curtain
    action: demo.append
    args: { key: '\${{ input.key }}', value: up }
    compensation: { action: demo.append, args: { key: '\${{ input.key }}', value: down } }
  - name: pause
    action: demo.sleep
    args: { ms: 1 }
  - name: call
    action: demo.echo
    args: { text: places }
`;

let folder: string;
let stack: TestStack;
let sre: NatsConnection;
let port: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-access-'));
  const tokenOf = (token: string, name: string, more: object = { allow_unrestricted: true }) => ({
    sha256: createHash('sha256').update(token).digest('hex'),
    tenant_id: 'acme',
    user_id: `user:default/${name}`,
    ...more,
  });
  const tokens = [
    ...USERS.map((name) => tokenOf(name, name)),
    ...Object.entries(OF_CAROL).map(([token, scopes]) => tokenOf(token, 'carol', { scopes, client_id: 'stagehand' })),
  ];
  const config = {
    policies: folder,
    sagas: join(folder, 'sagas'),
    servers: join(folder, 'servers.yaml'),
    env: { 'mcp-frontend': { CALLBOARD_TOKENS_FILE: join(folder, 'tokens.json') } },
  };
  await mkdir(join(folder, 'sagas'));
  await writeFile(join(folder, 'sagas', 'play.yaml'), PLAY);
  await writeFile(join(folder, 'servers.yaml'), 'servers: [{ name: ops }]');
  await writeFile(join(folder, 'tokens.json'), JSON.stringify(tokens));
  await writeFile(join(folder, 'stack.yaml'), JSON.stringify(config));
  await writeFile(join(folder, 'policies.cedar'), FIRST);
  stack = await startStack({ apps: [...CALLS, 'saga-orchestrator'], args: ['--config', join(folder, 'stack.yaml')] });
  port = Number(new URL(stack.ready.mcp_url).port);
  sre = await stack.connect('sre');
});
afterAll(async () => {
  await sre.close();
  await stack.stop();
  await rm(folder, { recursive: true });
});

const of = (user: User) => `principal == Callboard::User::"acme/user:default/${user}"`;
const TOOL = (id: string) => `resource == Callboard::Tool::"${id}"`;
const ACTION = (name: string) => `action == Callboard::Action::"${name}"`;
/** Ada may do everything; Bob may read, append, and follow what is pushed. */
const FIRST = `
@id("ada") permit (${of('ada')}, action, resource);
@id("connect") permit (principal, ${ACTION('connect')}, resource);
@id("builtin") permit (principal, ${ACTION('call')}, resource) when { resource.builtin };
@id("bob-reads") permit (${of('bob')}, ${ACTION('call')}, resource) when { resource.read_only };
@id("bob-appends") permit (${of('bob')}, ${ACTION('call')}, ${TOOL('demo.append')});
@id("bob-fetches") permit (${of('bob')}, ${ACTION('read_result')}, resource);
@id("bob-hears-pushes")
permit (${of('bob')}, action in [Callboard::Action::"read_events", Callboard::Action::"subscribe"], resource)
when { resource.topic == "push" };
@id("bob-ends-no-sagas") forbid (${of('bob')}, ${ACTION('call')}, ${TOOL('callboard.saga.abort')});
@id("carol") permit (principal == Callboard::User::"acme/user:default/carol", action, resource);
@id("sleeps-at-ops")
forbid (principal == Callboard::User::"acme/user:default/carol", ${ACTION('call')}, ${TOOL('demo.sleep')})
when { context.server != "/mcp/ops" };
@id("calls-with-scope")
forbid (principal == Callboard::User::"acme/user:default/carol", ${ACTION('call')}, ${TOOL('demo.echo')})
unless {
  principal.via == "static" && principal has client && principal.client == "stagehand" &&
  principal has scopes && principal.scopes.contains("stage")
};
@id("nobody-is-urgent") forbid (principal, ${ACTION('call')}, resource) when { context.priority == "high" };
`;
const WITHOUT_APPENDING = FIRST.split('\n')
  .filter((line) => !line.includes('bob-appends'))
  .join('\n');

async function putPolicies(text: string): Promise<void> {
  await writeFile(join(folder, 'next'), text);
  await rename(join(folder, 'next'), join(folder, 'policies.cedar'));
}

const headersOf = (user: User) => ({ authorization: `Bearer ${user}` });
async function ask(user: User, method: string, params: JsonObject = {}, meta: JsonObject = {}, path = '/mcp') {
  return (await raw(port, modernRequest(method, params, { meta, path, headers: headersOf(user) }))).json;
}
const call = async (user: User, name: string, args: JsonObject = {}, meta: JsonObject = {}, path = '/mcp') =>
  (await ask(user, 'tools/call', { name, arguments: args }, meta, path)).result!;
const errorOf = (result: JsonObject) =>
  (result.structuredContent as { error?: JsonObject } | undefined)?.error ?? 'no error';
const toolsOf = async (user: User) =>
  ((await ask(user, 'tools/list')).result!.tools as { name: string }[]).map(({ name }) => name);
const appended = async (key: string) => {
  const log = await readFile(join(stack.dataDir, 'demo', 'append.log'), 'utf8').catch(() => '');
  return log.split('\n').filter((line) => line.includes(`"${key}"`)).length;
};
const FORBIDDEN = { code: 'forbidden', message: 'Policy does not allow this', retryable: false };

describe('what policies do not allow', () => {
  it('is not listed, and refused when it is called all the same', async () => {
    const [ada, bob] = [await toolsOf('ada'), await toolsOf('bob')];
    expect(ada).toEqual(expect.arrayContaining(['demo.echo', 'demo.append', 'demo.fail', 'callboard.result']));
    expect(bob).toEqual(expect.arrayContaining(['demo.echo', 'demo.append', 'callboard.result']));
    expect(bob).not.toContain('demo.fail');
    const ofSagas = await call('bob', 'callboard.saga.abort', { saga_id: 's' });
    expect(errorOf(ofSagas)).toMatchObject(FORBIDDEN);
    const refused = await call('bob', 'demo.fail', { id: 'a', times: 0 });
    expect(refused.isError).toBe(true);
    expect(errorOf(refused)).toMatchObject(FORBIDDEN);
    expect(await call('bob', 'demo.echo', { text: 'allowed' })).toMatchObject({ content: [{ text: 'allowed' }] });
  });

  it('is not read as a resource either, though there is none of that name', async () => {
    const read = (user: User) => ask(user, 'resources/read', { uri: 'saga://none' });
    expect((await read('bob')).error?.data).toMatchObject(FORBIDDEN);
    expect((await read('ada')).error?.data).toMatchObject({ code: 'not_found' });
  });

  it('is refused by how it is called too, and leaves no command', async () => {
    const refused = await call('bob', 'demo.append', { key: 'urgent', value: 1 }, { 'io.callboard/priority': 'high' });
    expect(errorOf(refused)).toMatchObject(FORBIDDEN);
    expect(await appended('urgent')).toBe(0);
  });

  it('is on record with the policies that decided, which its caller is not told', async () => {
    const refused = await call('ada', 'demo.echo', { text: 'a' }, { 'io.callboard/priority': 'high' });
    expect(JSON.stringify(refused)).not.toContain('nobody-is-urgent');
    const jsm = await jetstreamManager(sre);
    const denials = await waitFor(
      async () => {
        const records = (await readAudit(jsm)).filter(({ kind }) => kind === 'denial');
        return records.some(({ action, personal }) => action === 'demo.echo' && personal.user_id) && records;
      },
      { what: 'the record' },
    );
    expect(denials).toContainEqual(
      expect.objectContaining({
        what: 'call',
        tenant_id: 'acme',
        action: 'demo.echo',
        code: 'forbidden',
        details: { policies: ['nobody-is-urgent'] },
        personal: expect.objectContaining({ user_id: 'user:default/ada', via: 'static' }),
      }),
    );
  });

  it('is no task to be cancelled, though its result may be read', async () => {
    const created = await call('bob', 'demo.sleep', { ms: 3_000 }, TASKS);
    expect(created.resultType).toBe('task');
    const { taskId } = created;
    const cancelled = await ask('bob', 'tasks/cancel', { taskId }, TASKS);
    expect(cancelled.error?.data).toMatchObject({ code: 'forbidden' });
    expect((await ask('bob', 'tasks/get', { taskId }, TASKS)).result).toMatchObject({ status: 'working' });
  });

  it('are events that nobody hears of', async () => {
    const read = await call('bob', 'events.read', { sources: ['github'], topics: ['secret'] });
    expect(errorOf(read)).toMatchObject(FORBIDDEN);
    const subscribed = await call('bob', 'events.subscribe', { name: 's', sources: ['github'], topics: ['secret'] });
    expect(errorOf(subscribed)).toMatchObject(FORBIDDEN);
    expect(errorOf(await call('bob', 'events.read', { sources: ['github'], topics: ['push'] }))).toBe('no error');
  });
});

describe('a step of a saga is decided as if its caller had called it itself', () => {
  const notDone = (step: string) => ({
    code: 'saga_compensated',
    message: expect.stringContaining(`the step ${step} ended failed (forbidden)`),
  });
  const sleep = { tool: 'demo', method: 'sleep', args: { ms: 1 } };
  const joining = (saga: string, compensation: JsonObject) => ({
    'io.callboard/saga_id': saga,
    'io.callboard/compensation': compensation,
  });
  beforeAll(async () => {
    await waitFor(async () => (await toolsOf('ada')).includes('stage.play'), { what: 'the saga' });
  });

  it('by the server, the client and the scopes with which a declared saga was called', async () => {
    const at = (path: string, user: User = 'carol-at-work') =>
      call(user, 'stage.play', { key: `${user} ${path}` }, {}, path);
    expect(errorOf(await at(OPS))).toBe('no error');
    expect(errorOf(await at('/mcp'))).toMatchObject(notDone('pause'));
    const withLess = await at(OPS, 'carol-on-the-way');
    expect(errorOf(withLess)).toMatchObject(notDone('call'));
    expect(errorOf(await call('carol-on-the-way', 'demo.echo', { text: 'a' }, {}, OPS))).toMatchObject(FORBIDDEN);
    expect(await appended('carol-at-work /mcp/ops')).toBe(1);
    expect(await appended('carol-at-work /mcp')).toBe(2);
  });

  it('also when it undoes a call, whoever ends the saga and from wherever', async () => {
    await call('carol-at-work', 'demo.append', { key: 'undone', value: 1 }, joining('undone', sleep), OPS);
    const args = { saga_id: 'undone', wait_ms: 20_000 };
    const { structuredContent } = await call('carol-on-the-way', 'callboard.saga.abort', args);
    expect(structuredContent).toMatchObject({ phase: 'compensated', steps: [{ undone: 'undone' }] });
  });

  it('so a call is not accepted that would be undone by what its caller may not call', async () => {
    const refused = await call('carol-at-work', 'demo.append', { key: 'kept', value: 1 }, joining('kept', sleep));
    expect(errorOf(refused)).toMatchObject(FORBIDDEN);
    const nothing = joining('kept', { tool: 'demo', method: 'nothing', args: {} });
    const unknown = await call('carol-at-work', 'demo.append', { key: 'kept', value: 1 }, nothing);
    expect(errorOf(unknown)).toMatchObject({ code: 'unknown_action' });
    expect(await appended('kept')).toBe(0);
  });
});

describe('policies that change while everything runs', () => {
  beforeEach(() => putPolicies(FIRST));

  it('are told to those who listen, who are then shown something else', async () => {
    await waitFor(async () => (await toolsOf('bob')).includes('demo.append'), { what: 'the first policies' });
    const socket = connect(port, '127.0.0.1');
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    const notifications = { toolsListChanged: true };
    socket.write(modernRequest('subscriptions/listen', { notifications }, { headers: headersOf('bob') }));
    await waitFor(() => heard.includes('acknowledged'), { what: 'the acknowledgement' });
    await putPolicies(WITHOUT_APPENDING);
    await waitFor(() => heard.includes('notifications/tools/list_changed'), { what: 'the change' });
    expect(await toolsOf('bob')).not.toContain('demo.append');
    expect(await toolsOf('ada')).toContain('demo.append');
    socket.destroy();
  });

  it('end a command that was accepted before and has not begun: it never does', async () => {
    await waitFor(async () => (await toolsOf('bob')).includes('demo.append'), { what: 'the first policies' });
    const key = { 'io.callboard/ordering_key': 'withdrawn', 'io.callboard/accept_async': true };
    await call('ada', 'demo.sleep', { ms: 5_000 }, key);
    const accepted = await call('bob', 'demo.append', { key: 'withdrawn', value: 1 }, key);
    const { correlation_id } = accepted.structuredContent as { correlation_id: string };
    expect(accepted.structuredContent).toMatchObject({ status: 'accepted' });
    await putPolicies(WITHOUT_APPENDING);
    const result = await waitFor(
      async () => {
        const told = await call('bob', 'callboard.result', { correlation_id, wait_ms: 10_000 });
        return told.isError === true && told;
      },
      { what: 'the outcome' },
    );
    expect(errorOf(result)).toMatchObject({ code: 'forbidden', correlation_id });
    expect(await appended('withdrawn')).toBe(0);
  });

  it('and are not valid leave those before in force', async () => {
    await waitFor(async () => (await toolsOf('bob')).includes('demo.append'), { what: 'the first policies' });
    await putPolicies('@id("broken") permit (principal, action, resource) when { resource.nonsense };');
    const { metrics } = await stack.readReady();
    await waitFor(
      async () => (await (await fetch(metrics['mcp-frontend']![0]!)).text()).includes('callboard_policies_broken 1'),
      { what: 'the alarm' },
    );
    const { origin } = new URL(metrics['mcp-frontend']![0]!);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    expect(await toolsOf('bob')).toContain('demo.append');
    expect(await toolsOf('bob')).not.toContain('demo.fail');
  });
});
