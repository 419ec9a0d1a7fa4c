import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { defineAction, inputRequired, type ActionDefinition, type RegisteredAction } from '@callboard/actions';
import type { JsonObject, Progress } from '@callboard/envelope';
import type { Ending } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats, testPrincipal } from '@callboard/testing';
import { TaskRequired, type Invocation } from './call.js';
import { RESULT_TOOL } from './result-tool.js';
import { SpecRunner, elicit, startInvoker, text, type SpecInvoker } from './spec-invoker.js';

const CORRELATION_ID = 'io.callboard/correlation_id';
const jane = testPrincipal('acme', 'user:default/jane');
const mallory = testPrincipal('acme', 'user:default/mallory');
const WINDOW_MS = 150;

let nats: TestNats;
/** Two replicas: what one began the other can tell. */
let a: SpecInvoker;
let b: SpecInvoker;
let runner: SpecRunner;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  a = await startInvoker(await nats.connect('mcp-frontend'), { instance: 'a', syncWindowMs: WINDOW_MS });
  b = await startInvoker(await nats.connect('mcp-frontend'), { instance: 'b', syncWindowMs: WINDOW_MS });
  runner = await SpecRunner.start(nats);
});
afterEach(() => {
  expect([a.faults, b.faults]).toEqual([[], []]);
});
afterAll(async () => {
  a.commands.close();
  b.commands.close();
  runner.close();
  await nats.dispose();
});

const registered = ({ descriptor }: ActionDefinition): RegisteredAction => ({
  ...descriptor,
  service: 'spec',
  instances: 1,
});
const tool = (id: string, more: Partial<Parameters<typeof defineAction>[0]> = {}) =>
  registered(
    defineAction({ id, description: '', input: { type: 'object' }, deadlineMs: 30_000, run: () => '', ...more }),
  );
const anyTool = tool('demo.any');
const requiredTool = tool('demo.required', { task: 'required' });

const call = (more: Partial<Invocation> = {}): Invocation => ({
  principal: jane,
  action: anyTool,
  args: { n: 1 },
  meta: {},
  header: () => undefined,
  inputCapabilities: [],
  ...more,
});
const accepting = { meta: { 'io.callboard/accept_async': true } };
const fetching = (correlation_id: string, more: Partial<Invocation> = {}, wait_ms = 50) =>
  call({ action: RESULT_TOOL, args: { correlation_id, wait_ms }, ...more });

const yes = { action: 'accept', content: { ok: true } };
const failed = (error: JsonObject): Partial<Ending> => ({
  status: 'failed',
  error: { code: 'gone', message: 'it is gone', retryable: false, ...error },
});
const nobody = expect.objectContaining({
  isError: true,
  structuredContent: { error: expect.objectContaining({ code: 'not_found' }) },
});

describe('a call that was made with accept_async', () => {
  it('has its result when that comes soon enough', async () => {
    const result = a.invoker.invoke(call(accepting));
    await runner.end(await runner.next());
    expect(await result).toMatchObject(text('done'));
  });

  it('is answered with its id otherwise, under which any replica has the result for its principal', async () => {
    const accepted = await a.invoker.invoke(call(accepting));
    const command = await runner.next();
    const id = command.correlation_id;
    expect(accepted).toMatchObject({
      content: [{ type: 'text', text: expect.stringContaining(`callboard.result with {"correlation_id":"${id}"}`) }],
      structuredContent: { status: 'accepted', correlation_id: id },
      _meta: { [CORRELATION_ID]: id },
    });
    expect(accepted.isError).toBeUndefined();
    expect(a.admission.open).toBe(1);

    expect((await b.invoker.invoke(fetching(id))).structuredContent).toEqual({ status: 'running', correlation_id: id });
    const waiting = b.invoker.invoke(fetching(id, {}, 10_000));
    await runner.end(command);
    expect(await waiting).toMatchObject({ ...text('done'), _meta: { [CORRELATION_ID]: id } });
    expect(await a.invoker.invoke(fetching(id))).toMatchObject(text('done'));
    expect(await a.invoker.invoke(fetching(id, { principal: mallory }))).toEqual(nobody);
    await waitFor(() => a.admission.open === 0, { what: 'no open command' });
  });

  it('shows its last progress while it runs', async () => {
    const accepted = a.invoker.invoke(call(accepting));
    const command = await runner.next();
    for (const progress of [1, 2]) await runner.progress(command, progress, 3);
    await accepted;
    const heard: unknown[] = [];
    const onProgress = (told: unknown) => heard.push(told);
    const running = await b.invoker.invoke(fetching(command.correlation_id, { onProgress }, 300));
    expect(running.structuredContent).toMatchObject({ progress: { progress: 2, total: 3, message: 'step 2' } });
    expect(heard).toHaveLength(2);
    await runner.end(command);
  });

  it('joins the command of its idempotency key, and says so', async () => {
    const meta = { ...accepting.meta, 'io.callboard/idempotency_key': 'later' };
    const first = await a.invoker.invoke(call({ meta }));
    const second = await b.invoker.invoke(call({ meta }));
    expect(second.structuredContent).toEqual(first.structuredContent);
    expect(second._meta).toMatchObject({ 'io.callboard/replayed': true });
    await runner.end(await runner.next());
  });

  it.each([
    ['that never was', 'c_nothing'],
    ['that is no id', 'x'.repeat(5_000)],
    ['that is empty', ''],
  ])('has no result under an id %s', async (_, id) => {
    expect(await a.invoker.invoke(fetching(id))).toEqual(nobody);
  });

  it('fetches only with arguments that fit', async () => {
    const wrong = await a.invoker.invoke(call({ action: RESULT_TOOL, args: { wait_ms: -1 } }));
    expect(wrong).toMatchObject({ isError: true, structuredContent: { error: { code: 'invalid_arguments' } } });
  });
});

describe('a call of a client that takes tasks', () => {
  const asTask = { acceptsTask: true };

  it('has its result when that comes soon enough', async () => {
    const result = a.invoker.invoke(call(asTask));
    await runner.end(await runner.next());
    expect(await result).toMatchObject(text('done'));
  });

  it('becomes a task otherwise, which any replica knows at once, for its principal', async () => {
    const created = await a.invoker.invoke(call(asTask));
    const command = await runner.next();
    const taskId = command.correlation_id;
    const task = {
      taskId,
      createdAt: command.issued_at,
      lastUpdatedAt: command.issued_at,
      ttlMs: 86_400_000,
      pollIntervalMs: 500,
    };
    expect(created).toEqual({ resultType: 'task', status: 'working', ...task, _meta: { [CORRELATION_ID]: taskId } });
    expect(await b.tasks.get(jane, taskId)).toEqual({ status: 'working', ...task });
    await expect(b.tasks.get(mallory, taskId)).rejects.toMatchObject({ code: -32602, message: 'Unknown task' });
    await expect(b.tasks.get({ ...jane, tenantId: 'other' }, taskId)).rejects.toMatchObject({ code: -32602 });
    await runner.end(command);
    const done = await b.tasks.get(jane, taskId);
    expect(done).toMatchObject({
      ...{ status: 'completed', createdAt: command.issued_at },
      result: { resultType: 'complete', ...text('done'), _meta: { [CORRELATION_ID]: taskId } },
    });
    expect(Date.parse(String(done.lastUpdatedAt))).toBeGreaterThan(Date.parse(command.issued_at));
  });

  it('is the same task when it is made again under its idempotency key, and says so', async () => {
    const again = call({ ...asTask, meta: { 'io.callboard/idempotency_key': 'one task' } });
    const [first, second] = [await a.invoker.invoke(again), await b.invoker.invoke(again)];
    const { taskId, createdAt } = first;
    expect(second).toMatchObject({ taskId, createdAt, _meta: { 'io.callboard/replayed': true } });
    await runner.end(await runner.next());
  });

  it.each([
    ['required', requiredTool],
    ['long-running', tool('demo.long', { longRunning: true })],
  ])('becomes one at once when the action is %s', async (_, action) => {
    const slow = await startInvoker(await nats.connect('mcp-frontend'), { syncWindowMs: 60_000 });
    expect(await slow.invoker.invoke(call({ ...asTask, action }))).toMatchObject({ resultType: 'task' });
    await runner.end(await runner.next());
    slow.commands.close();
  });

  it('is waited for when the action is never a task', async () => {
    const result = a.invoker.invoke(call({ ...asTask, action: tool('demo.never', { task: 'never' }) }));
    const command = await runner.next();
    await new Promise((resolve) => setTimeout(resolve, 2 * WINDOW_MS));
    await runner.end(command);
    expect(await result).toMatchObject(text('done'));
  });

  it('is refused when the action must be a task and the client takes none, unless it is accepted for later', async () => {
    await expect(a.invoker.invoke(call({ action: requiredTool }))).rejects.toBeInstanceOf(TaskRequired);
    expect(await a.invoker.invoke(call({ action: requiredTool, ...accepting }))).toMatchObject({
      structuredContent: { status: 'accepted' },
    });
    await runner.end(await runner.next());
  });

  it.each<[string, Partial<Ending>, JsonObject]>([
    ['a failure of the tool', failed({}), { status: 'completed', result: { isError: true, resultType: 'complete' } }],
    [
      'a failure that is to be a protocol error',
      failed({ rpc_code: -32603 }),
      { status: 'failed', error: { code: -32603, message: 'it is gone' } },
    ],
    ['a cancellation', { status: 'cancelled' }, { status: 'cancelled' }],
    [
      'a deadline',
      { status: 'deadline_exceeded', error: { code: 'deadline_exceeded', message: 'late', retryable: false } },
      { status: 'completed', result: { isError: true } },
    ],
  ])('shows %s as the call would have', async (_, ending, shown) => {
    const created = await a.invoker.invoke(call({ ...asTask, action: requiredTool }));
    await runner.end(await runner.next(), { result: undefined as never, ...ending });
    const task = await b.tasks.get(jane, String(created.taskId));
    expect(task).toMatchObject(shown);
    expect(['result', 'error', 'inputRequests'].filter((member) => member in task)).toEqual(
      ['result', 'error'].filter((member) => member in shown),
    );
  });

  it('is cancelled by its principal on any replica, as often as it is asked', async () => {
    const { taskId } = await a.invoker.invoke(call({ ...asTask, action: requiredTool }));
    await expect(b.tasks.cancel(mallory, String(taskId))).rejects.toMatchObject({ code: -32602 });
    await runner.next();
    await b.tasks.cancel(jane, String(taskId));
    expect(await a.tasks.get(jane, String(taskId))).toMatchObject({ status: 'cancelled' });
    await a.tasks.cancel(jane, String(taskId));
    await waitFor(() => a.admission.open === 0, { what: 'no open command' });
  });

  it('that asks half-way is input_required until all is answered, and each answer counts once', async () => {
    const { taskId } = await a.invoker.invoke(call({ ...asTask, action: requiredTool }));
    const id = String(taskId);
    const command = await runner.next();
    await runner.ask(command, 'first', 'second');
    expect(await b.tasks.get(jane, id)).toMatchObject({
      status: 'input_required',
      inputRequests: { first: elicit('first'), second: elicit('second') },
    });
    await b.tasks.update(jane, id, { first: yes, unknown: yes, second: 'no object' });
    const partly = await a.tasks.get(jane, id);
    expect([partly.status, Object.keys(partly.inputRequests as JsonObject)]).toEqual(['input_required', ['second']]);
    await expect(a.tasks.update(mallory, id, { second: yes })).rejects.toMatchObject({ code: -32602 });
    await a.tasks.update(jane, id, { first: { action: 'decline' }, second: yes });
    expect(await b.tasks.get(jane, id)).toMatchObject({ status: 'working' });
    expect(await runner.stored(`answer.acme.${id}.first`)).toEqual(yes);
    await runner.end(command);
    await a.tasks.update(jane, id, { second: yes });
  });

  it('becomes a task when it asks, even if that is at once', async () => {
    const patient = await startInvoker(await nats.connect('mcp-frontend'), { syncWindowMs: 60_000 });
    const created = patient.invoker.invoke(call(asTask));
    const command = await runner.next();
    await runner.ask(command, 'sure');
    const { taskId } = await created;
    expect(await a.tasks.get(jane, String(taskId))).toMatchObject({ status: 'input_required' });
    await runner.end(command);
    patient.commands.close();
  });

  it('that ends by asking goes on as one task: the next command is made once, from the answers', async () => {
    const { taskId } = await a.invoker.invoke(call({ ...asTask, action: requiredTool, args: { file: 'x' } }));
    const id = String(taskId);
    const first = await runner.next();
    const asked = inputRequired({ inputRequests: { one: elicit('one'), two: elicit('two') }, requestState: 'step 1' });
    await runner.end(first, { result: asked });
    expect(await b.tasks.get(jane, id)).toMatchObject({
      ...{ taskId: id, status: 'input_required', createdAt: first.issued_at },
      inputRequests: { one: elicit('one'), two: elicit('two') },
    });
    await b.tasks.update(jane, id, { one: yes });
    expect((await a.tasks.get(jane, id)).inputRequests).toEqual({ two: elicit('two') });
    await Promise.all([a.tasks.update(jane, id, { two: yes }), b.tasks.update(jane, id, { two: yes })]);
    expect(await b.tasks.get(jane, id)).toMatchObject({ taskId: id, status: 'working', createdAt: first.issued_at });
    const second = await runner.next();
    expect(second).toMatchObject({
      correlation_id: expect.stringMatching(/^i_/),
      args: { file: 'x' },
      request_state: 'step 1',
      input_responses: { one: yes, two: yes },
    });
    expect(await runner.waiting()).toBe(0);
    await runner.end(second);
    expect(await a.tasks.get(jane, id)).toMatchObject({ taskId: id, status: 'completed', result: text('done') });
  });

  it('that asks again under a key of before asks under another: a client answers each key once', async () => {
    const { taskId } = await a.invoker.invoke(call({ ...asTask, action: requiredTool }));
    const id = String(taskId);
    const asking = { result: inputRequired({ inputRequests: { name: elicit('name') } }) };
    await runner.end(await runner.next(), asking);
    await b.tasks.update(jane, id, { name: { action: 'decline' } });
    const second = await runner.next();
    await runner.ask(second, 'name');
    expect((await b.tasks.get(jane, id)).inputRequests).toEqual({ 'name.2': elicit('name') });
    await b.tasks.update(jane, id, { name: yes, 'name.2': yes });
    expect(await runner.stored(`answer.acme.${second.correlation_id}.name`)).toEqual(yes);
    await runner.end(second, asking);
    expect((await a.tasks.get(jane, id)).inputRequests).toBeUndefined();
    const third = await runner.next();
    expect(third.input_responses).toEqual({ name: yes });
    await runner.end(third);
    expect(await a.tasks.get(jane, id)).toMatchObject({ status: 'completed' });
  });

  it('that waits for answers to its end can be cancelled, and does not go on', async () => {
    const { taskId } = await a.invoker.invoke(call({ ...asTask, action: requiredTool }));
    const id = String(taskId);
    await runner.end(await runner.next(), { result: inputRequired({ inputRequests: { one: elicit('one') } }) });
    expect(await b.tasks.get(jane, id)).toMatchObject({ status: 'input_required' });
    await b.tasks.cancel(jane, id);
    expect(await a.tasks.get(jane, id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a question of a running command', () => {
  const able = { inputCapabilities: ['elicitation'] as const };

  it('is put to a caller that waits, and its answer, on any replica, brings the result of the same command', async () => {
    const asked = a.invoker.invoke(call(able));
    const command = await runner.next();
    await runner.ask(command, 'sure');
    const question = await asked;
    expect(question).toEqual({
      resultType: 'input_required',
      inputRequests: { sure: elicit('sure') },
      requestState: expect.any(String),
    });
    const requestState = String(question.requestState);
    // Without an answer it is asked again.
    expect(await b.invoker.invoke(call({ ...able, requestState, inputResponses: {} }))).toEqual(question);
    const result = b.invoker.invoke(call({ ...able, requestState, inputResponses: { sure: yes } }));
    await runner.stored(`answer.acme.${command.correlation_id}.sure`);
    await runner.end(command);
    expect(await result).toMatchObject({ ...text('done'), _meta: { [CORRELATION_ID]: command.correlation_id } });
    expect(await runner.waiting()).toBe(0);
    await waitFor(() => a.admission.open === 0, { what: 'no open command' });
  });

  it('does not repeat the progress that was told before it was asked', async () => {
    const heard: unknown[] = [];
    const onProgress = (fact: Progress) => heard.push(fact.kind === 'progress' && fact.progress);
    const asked = a.invoker.invoke(call({ ...able, onProgress }));
    const command = await runner.next();
    await runner.progress(command, 1, 3);
    await waitFor(() => heard.length === 1, { what: 'progress' });
    await runner.ask(command, 'sure');
    const round = { requestState: String((await asked).requestState), inputResponses: { sure: yes } };
    const result = b.invoker.invoke(call({ ...able, ...round, onProgress }));
    await runner.stored(`answer.acme.${command.correlation_id}.sure`);
    await runner.progress(command, 2, 3);
    await waitFor(() => heard.length > 1, { what: 'more progress' });
    await runner.end(command);
    await result;
    expect(heard).toEqual([1, 2]);
  });

  it('that the caller cannot answer cancels its command', async () => {
    const asked = a.invoker.invoke(call());
    const command = await runner.next();
    await runner.ask(command, 'sure');
    expect(await asked).toEqual({ resultType: 'input_required', inputRequests: { sure: elicit('sure') } });
    const outcome = await waitFor(() => a.commands.lookup('acme', command.correlation_id), { what: 'the end' });
    expect(outcome.status).toBe('cancelled');
  });

  it('can be withdrawn by its caller, which cancels the command unless that was to go on', async () => {
    for (const [meta, status] of [
      [{}, 'cancelled'],
      [{ 'io.callboard/idempotency_key': 'goes on' }, undefined],
    ] as const) {
      const asked = a.invoker.invoke(call({ ...able, meta }));
      const command = await runner.next();
      await runner.ask(command, 'sure');
      b.invoker.withdraw(jane, String((await asked).requestState));
      if (status) await waitFor(() => b.commands.lookup('acme', command.correlation_id), { what: 'the end' });
      expect((await b.commands.lookup('acme', command.correlation_id))?.status).toBe(status);
      await runner.end(command);
    }
  });

  it('of a call that was accepted is asked by callboard.result', async () => {
    const { structuredContent } = await a.invoker.invoke(call({ ...able, ...accepting }));
    const id = String((structuredContent as JsonObject).correlation_id);
    const command = await runner.next();
    await runner.ask(command, 'sure');
    expect((await b.invoker.invoke(fetching(id))).structuredContent).toMatchObject({ status: 'input_required' });
    const question = await b.invoker.invoke(fetching(id, able));
    expect(question).toMatchObject({ resultType: 'input_required', inputRequests: { sure: elicit('sure') } });
    const round = { ...able, requestState: String(question.requestState), inputResponses: { sure: yes } };
    const result = a.invoker.invoke(fetching(id, round, 10_000));
    await runner.end(command);
    expect(await result).toMatchObject(text('done'));
  });
});

describe('a front end that stops while a call waits', () => {
  it('tells the id of its command, which goes on, and whose result is there for who asks', async () => {
    const stopping = await startInvoker(await nats.connect('mcp-frontend'));
    const result = stopping.invoker.invoke(call());
    const command = await runner.next();
    await stopping.commands.letGo('it stops');
    expect(await result).toMatchObject({
      isError: true,
      structuredContent: {
        error: { code: 'unavailable', message: 'it stops', correlation_id: command.correlation_id },
      },
    });
    stopping.commands.close();
    const fetched = a.invoker.invoke(fetching(command.correlation_id, {}, 10_000));
    await runner.end(command);
    expect(await fetched).toMatchObject(text('done'));
  });
});

describe('nats-server', () => {
  it('may be killed: who asks for a task meanwhile waits until it is back, or is told to ask again', async () => {
    const { taskId } = await a.invoker.invoke(call({ acceptsTask: true, action: requiredTool }));
    const command = await runner.next();
    const back = nats.crash();
    const asked = await b.tasks.get(jane, String(taskId)).catch((error: unknown) => error);
    if (asked instanceof Error) expect(asked).toMatchObject({ code: 'unavailable', details: { retryAfterMs: 1_000 } });
    await back;
    const task = { taskId, status: 'working' };
    expect(asked instanceof Error ? await b.tasks.get(jane, String(taskId)) : asked).toMatchObject(task);
    await runner.end(command);
    expect(await a.tasks.get(jane, String(taskId))).toMatchObject({ status: 'completed' });
  });
});

describe('who follows a task', () => {
  it('is told of it as it is and at every change, once each, until it has ended', async () => {
    const { taskId } = await a.invoker.invoke(call({ acceptsTask: true, action: requiredTool }));
    const id = String(taskId);
    const command = await runner.next();
    const told: JsonObject[] = [];
    const stop = b.tasks.follow(jane, id, (task) => told.push(task));
    const statuses = () => told.map(({ status }) => status);
    await waitFor(() => told.length === 1, { what: 'the task' });
    await runner.ask(command, 'sure');
    await waitFor(() => told.length === 2, { what: 'the question' });
    await a.tasks.update(jane, id, { sure: yes });
    await waitFor(() => told.length === 3, { what: 'that it goes on' });
    await runner.end(command);
    await waitFor(() => told.length === 4, { what: 'the end' });
    expect(statuses()).toEqual(['working', 'input_required', 'working', 'completed']);
    expect(told[3]).toEqual(await a.tasks.get(jane, id));
    stop();
    expect(b.commands.waiting).toBe(0);
  });
});
