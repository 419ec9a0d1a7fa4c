import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ActionSet, defineAction } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { Listening } from './spec-listening.js';
import { modernRequest, raw, startSpecFront, type RawAnswer, type SpecFront, type SpecHeaders } from './spec-front.js';
import { SpecRunner, elicit, startInvoker, text, type SpecInvoker } from './spec-invoker.js';

const EXTENSION = 'io.modelcontextprotocol/tasks';
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId';
const capable = (capabilities: JsonObject) => ({ 'io.modelcontextprotocol/clientCapabilities': capabilities });
const TASKS = capable({ elicitation: {}, extensions: { [EXTENSION]: {} } });
const yes = { action: 'accept', content: {} };

const actions = new ActionSet([
  defineAction({ id: 'spec.job', description: 'A task', input: { type: 'object' }, task: 'required', run: () => '' }),
]);

let nats: TestNats;
let runner: SpecRunner;
let invokers: SpecInvoker[];
/** Two replicas. */
let a: SpecFront;
let b: SpecFront;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  runner = await SpecRunner.start(nats);
  const start = async () => startInvoker(await nats.connect('mcp-frontend'), { syncWindowMs: 150 });
  invokers = [await start(), await start()];
  [a, b] = (await Promise.all(invokers.map((commands) => startSpecFront({ commands, actions })))) as [
    SpecFront,
    SpecFront,
  ];
});
afterAll(async () => {
  await Promise.all([a.stop(), b.stop()]);
  for (const { commands } of invokers) commands.close();
  runner.close();
  await nats.dispose();
});

const ask = (
  front: SpecFront,
  method: string,
  params: JsonObject,
  meta: JsonObject = TASKS,
  headers: SpecHeaders = {},
) => raw(front.port, modernRequest(method, params, { meta, headers }));
const call = (front: SpecFront, name: string, meta: JsonObject = TASKS, more: JsonObject = {}) =>
  ask(front, 'tools/call', { name, arguments: {}, ...more }, meta);

describe('the tasks extension', () => {
  it('is declared to clients of the 2026 revision, and only as an extension', async () => {
    const { capabilities } = (await ask(a, 'server/discover', {})).json.result as { capabilities: JsonObject };
    expect(capabilities.extensions).toEqual({ [EXTENSION]: {} });
    expect(capabilities.tasks).toBeUndefined();
  });

  it('makes a task, which another replica shows, updates, cancels', async () => {
    const created = (await call(a, 'spec.job')).json.result!;
    const { taskId } = created;
    expect(created).toMatchObject({
      ...{ resultType: 'task', status: 'working' },
      _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'callboard' } },
    });
    const command = await runner.next();
    expect(command.correlation_id).toBe(taskId);
    await runner.ask(command, 'sure');
    const shown = (await ask(b, 'tasks/get', { taskId })).json.result!;
    expect(shown).toMatchObject({
      resultType: 'complete',
      status: 'input_required',
      inputRequests: { sure: elicit('sure') },
    });
    const acknowledged = { resultType: 'complete', _meta: expect.anything() };
    const updated = await ask(b, 'tasks/update', { taskId, inputResponses: { sure: yes, other: 7 } });
    expect(updated.json.result).toEqual(acknowledged);
    expect((await ask(b, 'tasks/get', { taskId })).json.result?.status).toBe('working');
    expect((await ask(b, 'tasks/cancel', { taskId })).json.result).toEqual(acknowledged);
    expect((await ask(a, 'tasks/get', { taskId })).json.result?.status).toBe('cancelled');
  });

  it.each(['tasks/get', 'tasks/update', 'tasks/cancel'])('%s is refused to who did not declare it', async (method) => {
    const answer = await ask(a, method, { taskId: 'c_x', inputResponses: {} }, {});
    expect([answer.status, answer.json.error]).toMatchObject([
      400,
      { code: -32021, data: { requiredCapabilities: { extensions: { [EXTENSION]: {} } } } },
    ]);
  });

  it.each<[string, string, JsonObject]>([
    ['an unknown id', 'tasks/get', { taskId: 'c_unknown' }],
    ['an unknown id', 'tasks/cancel', { taskId: 'c_unknown' }],
    ['an unknown id', 'tasks/update', { taskId: 'c_unknown', inputResponses: {} }],
    ['an id that is no subject', 'tasks/get', { taskId: 'a b.>' }],
    ['no answers', 'tasks/update', { taskId: 'c_unknown' }],
    ['answers of another shape', 'tasks/update', { taskId: 'c_unknown', inputResponses: [] }],
  ])('%s: %s is refused as invalid params', async (_, method, params) => {
    const answer = await ask(a, method, params);
    expect([answer.status, answer.json.error?.code]).toEqual([200, -32602]);
  });

  it.each<[string, SpecHeaders]>([
    ['says another', { 'mcp-name': 'c_other' }],
    ['is missing', { 'mcp-name': undefined }],
  ])('a Mcp-Name that %s is a header mismatch', async (_, headers) => {
    for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
      const answer = await ask(a, method, { taskId: 'c_unknown', inputResponses: {} }, TASKS, headers);
      expect([answer.status, answer.json.error?.code]).toEqual([400, -32020]);
    }
  });

  it.each(['tasks/list', 'tasks/result'])('does not have %s', async (method) => {
    const answer = await ask(a, method, { taskId: 'c_unknown' });
    expect([answer.status, answer.json.error?.code]).toEqual([404, -32601]);
  });

  it('is asked for by an action that must be a task, of who does not declare it', async () => {
    const answer = await call(a, 'spec.job', capable({}));
    expect([answer.status, answer.json.error]).toMatchObject([
      400,
      { code: -32021, data: { requiredCapabilities: { extensions: { [EXTENSION]: {} } } } },
    ]);
    expect(await runner.waiting()).toBe(0);
  });
});

const listen = (port: number, notifications: JsonObject, meta: JsonObject = TASKS) =>
  new Listening(port, notifications, { meta });

describe('notifications/tasks', () => {
  let taskId: string;
  beforeEach(async () => {
    taskId = String((await call(a, 'spec.job')).json.result!.taskId);
  });

  it('tell every change of the tasks that are the listener’s, on any replica, after an acknowledgement that names them', async () => {
    const command = await runner.next();
    const listening = listen(b.port, { taskIds: [taskId, 'c_unknown', taskId] });
    const [acknowledged, first] = await listening.until(2);
    expect(acknowledged).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: { taskIds: [taskId] }, _meta: { [SUBSCRIPTION]: 0 } },
    });
    const working = (await ask(a, 'tasks/get', { taskId })).json.result!;
    const { resultType: _, _meta: __, ...task } = working;
    expect(first).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/tasks',
      params: { ...task, _meta: { [SUBSCRIPTION]: 0 } },
    });
    await runner.ask(command, 'sure');
    await listening.until(3);
    await ask(a, 'tasks/update', { taskId, inputResponses: { sure: yes } });
    await listening.until(4);
    await runner.end(command);
    const frames = await listening.until(5);
    expect(frames.slice(1).map(({ params }) => params?.status)).toEqual([
      'working',
      'input_required',
      'working',
      'completed',
    ]);
    expect(frames[4]!.params).toMatchObject({ result: { resultType: 'complete', ...text('done') } });
    listening.close();
    await waitFor(() => b.listens.taken === 0, { what: 'what was taken to come free' });
    expect(frames).toHaveLength(5);
  });

  it('come beside what else the request subscribes to, and the stream ends in order when its replica stops', async () => {
    await runner.end(await runner.next());
    const commands = await startInvoker(await nats.connect('mcp-frontend'));
    const front = await startSpecFront({ commands, actions });
    const listening = listen(front.port, {
      taskIds: [taskId],
      toolsListChanged: true,
      promptsListChanged: false,
    });
    const [acknowledged] = await listening.until(2);
    expect(acknowledged!.params?.notifications).toEqual({ taskIds: [taskId], toolsListChanged: true });
    front.bus.publish({ kind: 'prompts_list_changed' });
    front.bus.publish({ kind: 'tools_list_changed' });
    await listening.until(3);
    await front.stop();
    const frames = await listening.until(4);
    expect(frames[2]).toMatchObject({
      method: 'notifications/tools/list_changed',
      params: { _meta: { [SUBSCRIPTION]: 0 } },
    });
    expect(frames[3]).toMatchObject({ id: 0, result: { resultType: 'complete', _meta: { [SUBSCRIPTION]: 0 } } });
    commands.commands.close();
  });

  it('are refused without the extension, and for what is no list of ids', async () => {
    await runner.end(await runner.next());
    const listen = (notifications: JsonObject, meta?: JsonObject) =>
      ask(a, 'subscriptions/listen', { notifications }, meta);
    const refused = await listen({ taskIds: [taskId] }, {});
    expect([refused.status, refused.json.error?.code]).toEqual([400, -32021]);
    for (const wrong of ['c_x', [7], Array.from({ length: 65 }, (_, n) => `c_${n}`)]) {
      expect((await listen({ taskIds: wrong })).json.error?.code).toBe(-32602);
    }
    expect((await listen({ taskIds: [], toolsListChanged: 'yes' })).json.error?.code).toBe(-32602);
    expect(a.listens.taken).toBe(0);
  });

  it('are not kept for a client that does not read: it is cut off, and may listen again', async () => {
    await runner.end(await runner.next());
    const uri = 'spec://large';
    const listening = listen(b.port, { taskIds: [taskId], resourceSubscriptions: [uri] });
    await listening.until(2);
    listening.pause();
    const params = { text: 'x'.repeat(1024 * 1024) };
    for (let mebibytes = 0; mebibytes < 64 && b.listens.taken > 0; mebibytes++) {
      b.bus.publish({ kind: 'resource_updated', uri, params });
      await new Promise(setImmediate);
    }
    await waitFor(() => b.listens.taken === 0, { what: 'the end of the stream' });
    listening.close();
  });

  it('cost a place each', async () => {
    await runner.end(await runner.next());
    const taskIds = Array.from({ length: 16 }, (_, n) => `c_${n}`);
    const answer = await ask(a, 'subscriptions/listen', { notifications: { taskIds } });
    expect([answer.status, answer.json.error?.data]).toMatchObject([503, { code: 'overloaded' }]);
  });
});

describe('a client that closes its response stream', () => {
  const begin = (front: SpecFront, meta: JsonObject = {}, method = 'tools/call'): Socket => {
    const params = method === 'tools/call' ? { name: 'demo.hangs', arguments: {} } : { uri: 'spec://note/1' };
    const socket = connect(front.port, '127.0.0.1');
    socket.write(modernRequest(method, params, { meta }));
    return socket;
  };

  it.each(['tools/call', 'resources/read'])('has cancelled its command: %s', async (method) => {
    const socket = begin(a, {}, method);
    const command = await runner.next();
    socket.destroy();
    expect(await runner.stored(`out.default.${command.correlation_id}`)).toMatchObject({ status: 'cancelled' });
  });

  it.each([
    ['it named an idempotency key', { 'io.callboard/idempotency_key': 'comes back' }],
    ['it would have taken a handle', { 'io.callboard/accept_async': true }],
  ])('has not when %s: the command goes on', async (_, meta) => {
    const socket = begin(a, meta);
    const command = await runner.next();
    socket.destroy();
    await runner.stored(`deadline.default.${command.correlation_id}`);
    expect(await runner.end(command)).toBe('written');
  });

  it('has not when it was this replica that stopped', async () => {
    const commands = await startInvoker(await nats.connect('mcp-frontend'));
    const front = await startSpecFront({ commands, actions });
    const socket = begin(front);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    const command = await runner.next();
    await front.stop();
    await closed;
    await runner.stored(`deadline.default.${command.correlation_id}`);
    expect(await runner.end(command)).toBe('written');
    commands.commands.close();
  });
});

describe('a question of a running command', () => {
  it('goes out sealed with the name of the command, and the answer, on another replica, brings its result', async () => {
    const elicitation = capable({ elicitation: {} });
    const asked = call(a, 'demo.hangs', elicitation);
    const command = await runner.next();
    await runner.ask(command, 'sure');
    const question = (await asked).json.result!;
    expect(question).toMatchObject({ resultType: 'input_required', inputRequests: { sure: elicit('sure') } });
    expect(JSON.stringify(question)).not.toContain(command.correlation_id);
    const answer = { requestState: question.requestState, inputResponses: { sure: yes } };
    const stolen = await call(b, 'demo.echo', elicitation, answer);
    expect(stolen.json.error?.code).toBe(-32602);
    const answered = call(b, 'demo.hangs', elicitation, answer);
    expect(await runner.stored(`answer.default.${command.correlation_id}.sure`)).toEqual(yes);
    await runner.end(command);
    expect((await answered).json.result).toMatchObject({ resultType: 'complete', ...text('done') });
    expect(await runner.waiting()).toBe(0);
  });

  it('that its caller cannot answer is refused by name, and its command cancelled', async () => {
    const asked = call(a, 'demo.hangs', capable({}));
    const command = await runner.next();
    await runner.ask(command, 'sure');
    const refused: RawAnswer = await asked;
    expect([refused.status, refused.json.error]).toMatchObject([
      400,
      { code: -32021, data: { requiredCapabilities: { elicitation: {} } } },
    ]);
    expect(await runner.stored(`out.default.${command.correlation_id}`)).toMatchObject({ status: 'cancelled' });
  });
});

describe('too many commands of one principal', () => {
  it('are overloaded, tasks counted too, until one of them ends', async () => {
    const commands = await startInvoker(await nats.connect('mcp-frontend'), {
      quota: { commandsPerPrincipal: 2 },
      syncWindowMs: 50,
    });
    const front = await startSpecFront({ commands, actions });
    expect((await call(front, 'spec.job')).json.result?.resultType).toBe('task');
    expect((await call(front, 'demo.hangs', { 'io.callboard/accept_async': true })).json.result).toMatchObject({
      structuredContent: { status: 'accepted' },
    });
    const [first, second] = [await runner.next(), await runner.next()];
    expect((await call(front, 'demo.hangs')).json.result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'overloaded', retryable: true, retry_after_ms: 1_000 } },
    });
    expect(await runner.waiting()).toBe(0);
    await runner.end(first);
    await waitFor(() => commands.admission.open === 1, { what: 'a place' });
    const third = call(front, 'demo.hangs');
    await runner.end(await runner.next());
    expect((await third).json.result).toMatchObject(text('done'));
    await runner.end(second);
    await front.stop();
    commands.commands.close();
  });
});
