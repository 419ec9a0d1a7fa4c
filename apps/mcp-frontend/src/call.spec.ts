import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { defineAction, defineResource, type ActionDefinition, type RegisteredAction } from '@callboard/actions';
import { idempotentCorrelationId, parseEnvelope, type CommandEnvelope, type JsonObject } from '@callboard/envelope';
import { AckedPublisher, OutcomePublisher, STREAM, type CommandClient, type Ending } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats, testPrincipal } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { Admission } from './admission.js';
import type { Invocation, Invoker } from './call.js';
import { FairShare } from './fair-share.js';
import { RESULT_TOOL } from './result-tool.js';
import { startInvoker } from './spec-invoker.js';
import type { Departure } from './waiting.js';

const CORRELATION_ID = 'io.callboard/correlation_id';
const REPLAYED = 'io.callboard/replayed';
const principal = testPrincipal('acme', 'user:default/jane');

let nats: TestNats;
let client: CommandClient;
let invoker: Invoker;
let admission: Admission;
let outcomes: OutcomePublisher;
let sre: JetStreamManager;
let before: number;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  ({ commands: client, invoker, admission } = await startInvoker(await nats.connect('mcp-frontend')));
  outcomes = new OutcomePublisher(new AckedPublisher(await nats.connect('action-runner')), 'runner');
  sre = await jetstreamManager(await nats.connect('sre'));
});
beforeEach(async () => {
  before = (await sre.streams.info(STREAM.commands)).state.last_seq;
});
afterAll(async () => {
  client.close();
  await nats.dispose();
});

const registered = ({ descriptor }: ActionDefinition): RegisteredAction => ({
  ...descriptor,
  service: 'spec',
  instances: 1,
});
const input = { type: 'object', properties: { key: { type: 'string' } } };
const tool = registered(
  defineAction({
    id: 'git.clone',
    description: '',
    input,
    ordering: { argument: 'key' },
    deadlineMs: 5_000,
    run: () => '',
  }),
);
const resource = registered(
  defineResource({ name: 'readme', uri: 'file:///readme', description: '', run: () => ({}) }),
);

function call(more: Partial<Invocation> = {}): Invocation {
  return {
    principal,
    action: tool,
    args: { key: 'repo' },
    meta: {},
    header: () => undefined,
    inputCapabilities: [],
    ...more,
  };
}
const meta = (fields: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [`io.callboard/${name}`, value]));

/** The next command that is stored; the spec plays the runner. */
async function nextCommand(): Promise<CommandEnvelope> {
  const message = await waitFor(
    () => sre.direct.getMessage(STREAM.commands, { seq: before + 1 }).catch(() => undefined),
    {
      what: 'a command',
    },
  );
  return { ...parseEnvelope(message.data) };
}

async function answered(invocation: Invocation, ending: Ending): Promise<[CommandEnvelope, Promise<JsonObject>]> {
  const result = invoker.invoke(invocation);
  result.catch(() => undefined);
  const command = await nextCommand();
  await outcomes.publish(command, ending);
  return [command, result];
}

const succeeded: Ending = { status: 'succeeded', result: { content: [] }, attempts: 1 };

describe('the envelope of a call', () => {
  it('has the documented defaults where the caller says nothing', async () => {
    const [command, result] = await answered(call(), succeeded);
    expect(command).toEqual({
      envelope_version: '1.0',
      correlation_id: expect.stringMatching(/^c_/),
      tenant_id: 'acme',
      user_id: 'user:default/jane',
      caller: { via: 'static', server: '/mcp' },
      tool: 'git',
      method: 'clone',
      args: { key: 'repo' },
      ordering_key: 'git:repo',
      deadline_ms: 5_000,
      priority: 'normal',
      accept_partials: false,
      accept_async: false,
      issued_at: expect.stringMatching(/Z$/),
      deadline_at: expect.stringMatching(/Z$/),
    });
    expect(Date.parse(command.deadline_at) - Date.parse(command.issued_at)).toBe(5_000);
    expect(await result).toEqual({ content: [], _meta: { [CORRELATION_ID]: command.correlation_id } });
  });

  it('has the groups that the principal is a member of', async () => {
    const groups = ['group:default/team-a', 'group:default/team-b'];
    const [command, result] = await answered(call({ principal: { ...principal, groups } }), succeeded);
    expect(command.groups).toEqual(groups);
    await result;
  });

  it('has what the caller says, and the id that its idempotency key stands for', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const said = meta({ ordering_key: 'mine', idempotency_key: 'k1', deadline_ms: 900, priority: 'low', saga_id: 's' });
    const [command, result] = await answered(
      call({
        meta: { ...said, traceparent, tracestate: 'a=b' },
        inputCapabilities: ['elicitation'],
        onProgress: () => undefined,
      }),
      succeeded,
    );
    await result;
    expect(command).toMatchObject({
      correlation_id: idempotentCorrelationId({
        ...principal,
        action: { tool: 'git', method: 'clone' },
        idempotencyKey: 'k1',
      }),
      idempotency_key: 'k1',
      ordering_key: 'mine',
      deadline_ms: 900,
      priority: 'low',
      saga_id: 's',
      accept_partials: true,
      input_capabilities: ['elicitation'],
      traceparent,
      tracestate: 'a=b',
    });
  });

  it.each([
    ['of another form', { traceparent: 'x\r\nNats-Rollup: all', tracestate: 'a=b' }],
    ['that is no text', { traceparent: 7 }],
  ])('leaves a trace context %s out', async (_, context) => {
    const [command, result] = await answered(call({ meta: context }), succeeded);
    await result;
    expect(command.traceparent).toBeUndefined();
    expect(command.tracestate).toBeUndefined();
  });

  it('of another round of input is another command, the same however often the round is called', async () => {
    const said = meta({ idempotency_key: 'rounds' });
    const [first, one] = await answered(call({ meta: said }), succeeded);
    await one;
    before += 1;
    const round = call({ meta: said, inputResponses: { name: 'x' }, requestState: '{"state":"s"}' });
    const [second, two] = await answered(round, succeeded);
    await two;
    expect(second.correlation_id).not.toBe(first.correlation_id);
    expect(second).toMatchObject({ input_responses: { name: 'x' }, request_state: 's' });
    expect(await invoker.invoke(round)).toMatchObject({ _meta: { [REPLAYED]: true } });
  });
});

describe('the result of a call', () => {
  it('that joined an earlier command says so, with the same id', async () => {
    const said = call({ meta: meta({ idempotency_key: 'k2' }) });
    const [command, first] = await answered(said, succeeded);
    expect(((await first)['_meta'] as JsonObject)[REPLAYED]).toBeUndefined();
    expect(await invoker.invoke(said)).toEqual({
      content: [],
      _meta: { [CORRELATION_ID]: command.correlation_id, [REPLAYED]: true },
    });
  });

  it.each([
    ['arguments that do not match', call({ args: { key: 7 } }), 'invalid_arguments'],
    ['a messaging field that is wrong', call({ meta: meta({ priority: 'urgent' }) }), 'invalid_messaging_field'],
  ])('with %s is a tool error with an id, and nothing is stored', async (_, invocation, code) => {
    const result = await invoker.invoke(invocation);
    expect(result).toMatchObject({
      isError: true,
      content: [{ type: 'text', text: expect.stringContaining(code) }],
      structuredContent: { error: { code, retryable: false, correlation_id: expect.stringMatching(/^c_/) } },
      _meta: { [CORRELATION_ID]: expect.stringMatching(/^c_/) },
    });
    expect((await sre.streams.info(STREAM.commands)).state.last_seq).toBe(before);
  });

  it('of a tool that failed is a tool error with the code and the id of its outcome', async () => {
    const error = { code: 'gone', message: 'the repository is gone', retryable: false };
    const [command, result] = await answered(call(), { status: 'failed', error, attempts: 1 });
    expect(await result).toEqual({
      isError: true,
      content: [{ type: 'text', text: 'gone: the repository is gone' }],
      structuredContent: { error: { ...error, correlation_id: command.correlation_id } },
      _meta: { [CORRELATION_ID]: command.correlation_id },
    });
  });

  it.each([
    ['deadline_exceeded', 'deadline_exceeded'],
    ['a code of the action', 'action_failed'],
    ['toString', 'action_failed'],
  ])('of a resource that failed with %s is a protocol error', async (code, told) => {
    const invocation = call({ action: resource, args: { uri: 'file:///readme' } });
    const error = { code, message: 'why', retryable: false };
    const [, result] = await answered(invocation, { status: 'failed', error, attempts: 1 });
    await expect(result).rejects.toMatchObject({ name: 'CallboardError', code: told, message: 'why' });
  });

  it('keeps the _meta that the action gave', async () => {
    const result = { content: [], _meta: { 'example.com/a': 1, [CORRELATION_ID]: 'forged' } };
    const [command, told] = await answered(call(), { status: 'succeeded', result, attempts: 1 });
    expect((await told)['_meta']).toEqual({ 'example.com/a': 1, [CORRELATION_ID]: command.correlation_id });
  });
});

describe('a caller that goes away', () => {
  const leaving = (more: Partial<Invocation> = {}) => {
    let leave: ((how: Departure) => void) | undefined;
    const result = invoker.invoke(call({ ...more, onGone: (callback) => (leave = callback) }));
    result.catch(() => undefined);
    return { result, leave: async (how: Departure) => (await waitFor(() => leave, { what: 'the way out' }))(how) };
  };

  it('and no longer wants the result has its command cancelled', async () => {
    const { result, leave } = leaving();
    const command = await nextCommand();
    await leave('cancelled');
    expect(await result).toMatchObject({ isError: true, structuredContent: { error: { code: 'cancelled' } } });
    const outcome = await waitFor(() => client.lookup(command.tenant_id, command.correlation_id), { what: 'the end' });
    expect(outcome).toMatchObject({ status: 'cancelled', written_by: 'spec front end' });
    await waitFor(() => admission.open === 0, { what: 'no open command' });
    expect(client.waiting).toBe(0);
  });

  it.each<[string, Departure, JsonObject]>([
    ['but is only cut off from this replica', 'cut_off', {}],
    ['but named an idempotency key', 'cancelled', { idempotency_key: 'may come back' }],
    ['but would have been satisfied with a handle', 'cancelled', { accept_async: true }],
  ])('%s is not waited for any more; the command goes on, and is counted', async (_, how, fields) => {
    const { result, leave } = leaving({ meta: meta(fields) });
    const command = await nextCommand();
    await leave(how);
    expect(await result).toMatchObject({ isError: true, structuredContent: { error: { code: 'cancelled' } } });
    await waitFor(() => client.find(command.tenant_id, command.correlation_id), { what: 'its deadline on record' });
    expect(admission.open).toBe(1);
    expect(await outcomes.publish(command, succeeded)).toBe('written');
    await waitFor(() => admission.open === 0, { what: 'no open command' });
    expect(client.waiting).toBe(0);
  });

  it('before its command is stored has it cancelled all the same', async () => {
    const result = invoker.invoke(call({ onGone: (leave) => leave('cancelled') }));
    const command = await nextCommand();
    expect(await result).toMatchObject({ isError: true });
    const outcome = await waitFor(() => client.lookup(command.tenant_id, command.correlation_id), { what: 'the end' });
    expect(outcome.status).toBe('cancelled');
  });
});

describe('a tenant that calls more often than its quota allows', () => {
  it('is told when to come again; nothing is accepted, and it is on record', async () => {
    const own = await startInvoker(await nats.connect('mcp-frontend'), {
      instance: 'quota',
      quota: { calls: { perSecond: 0.1, burst: 1 } },
    });
    try {
      const status = { ...call(), action: RESULT_TOOL, args: { correlation_id: 'c_none' } };
      await own.invoker.invoke(status);
      const refused = await own.invoker.invoke(call());
      expect(refused).toMatchObject({
        isError: true,
        structuredContent: { error: { code: 'rate_limited', retryable: true, retry_after_ms: expect.any(Number) } },
      });
      await expect(own.invoker.invoke(call({ action: resource }))).rejects.toMatchObject({ code: 'rate_limited' });
      expect((await sre.streams.info(STREAM.commands)).state.last_seq).toBe(before);
      expect(own.audit.facts).toContainEqual(
        expect.objectContaining({ kind: 'limit', what: 'refused', code: 'rate_limited', tenantId: 'acme' }),
      );
    } finally {
      own.commands.close();
    }
  });
});

describe('a call that waits for the turn of its tenant', () => {
  let own: Awaited<ReturnType<typeof startInvoker>>;
  let turns: FairShare;
  let leave: ((how: Departure) => void) | undefined;
  /** Gives back the one place that its tenant has. */
  let goOn: () => void;

  beforeEach(async () => {
    turns = new FairShare({ underWay: { value: 1, accepted: () => undefined }, linePerTenant: 1 });
    const place = new Promise<never>((_, reject) => (goOn = () => reject(new Error('given back'))));
    for (const tenant of ['other', 'acme']) {
      turns.take(tenant, () => place, { deadlineAt: Infinity }).catch(() => undefined);
    }
    own = await startInvoker(await nats.connect('mcp-frontend'), { instance: 'in line', turns });
    leave = undefined;
  });
  afterEach(() => own.commands.close());

  const lineUp = (more: Partial<Invocation> = {}) =>
    own.invoker.invoke(call({ onGone: (gone) => (leave = gone), ...more }));
  const stored = async () => (await sre.streams.info(STREAM.commands)).state.last_seq - before;
  const refused = (code: string) => ({
    isError: true,
    structuredContent: { error: expect.objectContaining({ code }) },
  });

  it('counts as one that has not ended, and is accepted when its turn comes', async () => {
    const result = lineUp();
    expect([turns.inLine, own.admission.open, await stored()]).toEqual([1, 1, 0]);
    goOn();
    await outcomes.publish(await nextCommand(), succeeded);
    expect(await result).toMatchObject({ content: [] });
    expect([turns.inLine, own.admission.open]).toEqual([0, 0]);
  });

  it('is not accepted when its caller goes away before', async () => {
    const result = lineUp();
    leave!('cancelled');
    expect(await result).toMatchObject(refused('cancelled'));
    goOn();
    expect([turns.inLine, own.admission.open, await stored()]).toEqual([0, 0, 0]);
  });

  it.each<[string, Departure, JsonObject]>([
    ['named an idempotency key', 'cancelled', { idempotency_key: 'comes back to it' }],
    ['would have been satisfied with a handle', 'cancelled', { accept_async: true }],
    ['is only cut off from this replica', 'cut_off', {}],
  ])('is accepted all the same when its caller %s', async (_, how, fields) => {
    lineUp({ meta: meta(fields) }).catch(() => undefined);
    leave!(how);
    expect(turns.inLine).toBe(1);
    goOn();
    await outcomes.publish(await nextCommand(), succeeded);
    await waitFor(() => own.admission.open === 0, { what: 'no open command' });
  });

  it('is refused beyond the line, and may come again with the same key', async () => {
    const first = lineUp({ meta: meta({ idempotency_key: 'again' }) });
    const refusal = await lineUp({ meta: meta({ idempotency_key: 'second' }) });
    expect(refusal).toMatchObject(refused('overloaded'));
    expect(refusal).toMatchObject({ structuredContent: { error: { retryable: true, retry_after_ms: 1_000 } } });
    expect(own.admission.open).toBe(1);
    goOn();
    await outcomes.publish(await nextCommand(), succeeded);
    expect(await first).toMatchObject({ content: [] });
    before += 1;
    const again = lineUp({ meta: meta({ idempotency_key: 'second' }) });
    await outcomes.publish(await nextCommand(), succeeded);
    expect(await again).toMatchObject({ content: [] });
  });

  it('does not wait where another replica had it accepted', async () => {
    const result = lineUp({ accepted: true });
    await outcomes.publish(await nextCommand(), succeeded);
    expect(await result).toMatchObject({ content: [] });
  });
});
