import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  answerSubject,
  deadlineSubject,
  dueSubject,
  outcomeSubject,
  type CommandEnvelope,
  type Outcome,
} from '@callboard/envelope';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { AckedPublisher } from './acked-publisher.js';
import { CommandClient, type OpenInputs } from './command-client.js';
import { DeadlineKeeper } from './deadlines.js';
import { InputExchange } from './input-exchange.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { STREAM } from './topology.js';

let nats: TestNats;
let sre: JetStreamManager;
let publisher: AckedPublisher;
let outcomes: OutcomePublisher;
const toClose: { close(): void }[] = [];
const errors: unknown[] = [];

beforeEach(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  sre = await jetstreamManager(await nats.connect('sre'));
  publisher = new AckedPublisher(await nats.connect('action-runner'));
  outcomes = new OutcomePublisher(publisher, 'runner');
  toClose.push(publisher);
});
afterEach(async () => {
  // What was opened last uses what was opened first.
  for (const each of toClose.splice(0).reverse()) each.close();
  await nats.dispose();
  expect(errors.splice(0)).toEqual([]);
});

async function frontEnd(scheduleDeadlinesAfterMs?: number): Promise<CommandClient> {
  const client = await CommandClient.start(await nats.connect('mcp-frontend'), {
    instance: 'front end',
    ...(scheduleDeadlinesAfterMs !== undefined && { scheduleDeadlinesAfterMs }),
  });
  toClose.push(client);
  return client;
}

async function keeper(): Promise<void> {
  const started = await DeadlineKeeper.start(await nats.connect('mcp-frontend'), outcomes, (error) =>
    errors.push(error),
  );
  toClose.push({ close: () => started.stop() });
}

const last = (subject: string) => sre.direct.getMessage(STREAM.outcomes, { last_by_subj: subject });
const scheduled = ({ tenant_id, correlation_id }: CommandEnvelope) => last(deadlineSubject(tenant_id, correlation_id));
const outcomeOf = async ({ tenant_id, correlation_id }: CommandEnvelope) =>
  (await last(outcomeSubject(tenant_id, correlation_id)))?.json<Outcome>();

const outcomesOf = (commands: CommandEnvelope[]) =>
  Promise.all(commands.map((command) => waitFor(() => outcomeOf(command), { what: 'its outcome' })));
/** A busy machine may keep one of several waiting, and hardly all. */
const soonest = (times: number[]) => Math.min(...times);

describe('a deadline', () => {
  it('that is kept fires with nobody there, and is an outcome within a second of somebody', async () => {
    const client = await frontEnd();
    const commands = [1, 2, 3].map((n) => testCommand(`key ${n}`, {}, { deadline_ms: 1_000 }));
    for (const command of commands) await (await client.submit(command)).keep();
    client.close();
    for (const command of commands) {
      await waitFor(() => last(dueSubject(command.tenant_id, command.correlation_id)), {
        what: 'the deadline come due',
      });
      expect(await outcomeOf(command)).toBeUndefined();
    }
    await keeper();
    const there = Date.now();
    const ended = await outcomesOf(commands);
    for (const [i, command] of commands.entries()) {
      expect(ended[i]).toMatchObject({
        status: 'deadline_exceeded',
        error: { code: 'deadline_exceeded', correlation_id: command.correlation_id },
        user_id: command.user_id,
      });
      expect(ended[i]!.attempts).toBeUndefined();
    }
    expect(soonest(ended.map(({ ended_at: at }) => Date.parse(at) - there))).toBeLessThan(1_000);
  });

  it('ends a command of which nobody knows any more within a second of its time', async () => {
    const client = await frontEnd();
    await keeper();
    const commands = [1_500, 2_000, 2_500].map((ms) => testCommand(`key ${ms}`, {}, { deadline_ms: ms }));
    for (const command of commands) await (await client.submit(command)).keep();
    client.close();
    const ended = await outcomesOf(commands);
    const late = ended.map(({ ended_at: at }, i) => Date.parse(at) - Date.parse(commands[i]!.deadline_at));
    expect(soonest(late)).toBeGreaterThanOrEqual(0);
    expect(soonest(late)).toBeLessThan(1_000);
  });

  it('goes with the outcome, so that nothing is left to fire', async () => {
    const client = await frontEnd();
    await keeper();
    const command = testCommand('key', {}, { deadline_ms: 3_000 });
    const submission = await client.submit(command);
    await submission.keep();
    expect(await scheduled(command)).not.toBeNull();
    await outcomes.publish(command, { status: 'succeeded', result: {}, attempts: 1 });
    expect(await scheduled(command)).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 3_600));
    expect(await last(dueSubject(command.tenant_id, command.correlation_id))).toBeNull();
    expect(await outcomeOf(command)).toMatchObject({ status: 'succeeded' });
  });

  it('that is scheduled beside an outcome changes nothing when it fires', async () => {
    const client = await frontEnd();
    await keeper();
    const command = testCommand('key', {}, { deadline_ms: 3_000 });
    const submission = await client.submit(command);
    await outcomes.publish(command, { status: 'succeeded', result: {}, attempts: 1 });
    await submission.keep();
    await waitFor(() => last(dueSubject(command.tenant_id, command.correlation_id)), { what: 'the deadline come due' });
    await waitFor(async () => (await sre.consumers.info(STREAM.outcomes, 'deadlines')).ack_floor.stream_seq > 0, {
      what: 'the deadline taken',
    });
    expect(await outcomeOf(command)).toMatchObject({ status: 'succeeded' });
  });

  it('of a call that is waited for is scheduled once it is no longer young, and not before', async () => {
    const client = await frontEnd(1_500);
    const command = testCommand('key');
    const submission = await client.submit(command);
    expect(await scheduled(command)).toBeNull();
    await waitFor(() => scheduled(command), { what: 'the deadline scheduled' });
    submission.release();
  });

  it('is scheduled before the caller hears that its command is accepted, where that is asked for', async () => {
    const client = await frontEnd(0);
    const command = testCommand('key');
    const submission = await client.submit(command);
    expect((await scheduled(command))?.json()).toMatchObject({
      correlation_id: command.correlation_id,
      user_id: command.user_id,
      deadline_at: command.deadline_at,
    });
    submission.release();
  });

  it('survives a crash of the server', async () => {
    const client = await frontEnd();
    await keeper();
    const command = testCommand('key', {}, { deadline_ms: 3_000 });
    await (await client.submit(command)).keep();
    client.close();
    await nats.crash();
    const outcome = await waitFor(() => outcomeOf(command), { what: 'its outcome' });
    expect(outcome.status).toBe('deadline_exceeded');
  });
});

describe('a command that outlives its caller', () => {
  it('is found while it is open and when it has ended, by its tenant only', async () => {
    const client = await frontEnd();
    const command = testCommand('key');
    const { tenant_id: tenant, correlation_id: id } = command;
    await (await client.submit(command)).keep();
    expect(await client.find(tenant, id)).toMatchObject({ kind: 'open', accepted: { user_id: command.user_id } });
    expect(await client.find('other', id)).toBeUndefined();
    await outcomes.publish(command, { status: 'succeeded', result: { a: 1 }, attempts: 1 });
    expect(await client.find(tenant, id)).toMatchObject({ kind: 'ended', outcome: { result: { a: 1 } } });
    expect(await client.find(tenant, 'c_never')).toBeUndefined();
  });

  it('is waited for from another front end', async () => {
    const [one, other] = [await frontEnd(), await frontEnd()];
    const command = testCommand('key');
    await (await one.submit(command)).keep();
    one.close();
    const state = await other.find(command.tenant_id, command.correlation_id);
    if (state?.kind !== 'open') throw new Error('not open');
    const { outcome } = other.watch(state.accepted);
    await outcomes.publish(command, { status: 'succeeded', result: {}, attempts: 1 });
    expect(await outcome).toMatchObject({ status: 'succeeded' });
  });

  it('is cancelled once; one that has ended is not', async () => {
    const client = await frontEnd();
    const [open, ended] = [testCommand('a'), testCommand('b')];
    const { outcome } = await client.submit(open);
    await client.submit(ended);
    await outcomes.publish(ended, { status: 'succeeded', result: {}, attempts: 1 });
    expect(await client.cancel(open)).toBe('cancelled');
    expect(await outcome).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
    expect(await client.cancel(open)).toBe('cancelled');
    expect(await client.cancel(ended)).toBe('ended');
    expect(await outcomes.publish(open, { status: 'succeeded', result: {}, attempts: 1 })).toBe('ended');
    expect(await outcomeOf(open)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a question half-way', () => {
  it('is heard by those who wait, is open until it is answered, and is answered once', async () => {
    const client = await frontEnd();
    const inputs = await InputExchange.open(await nats.connect('action-runner'), publisher);
    toClose.push(inputs);
    const command = testCommand('key');
    const { tenant_id: tenant, correlation_id: id } = command;
    const heard: OpenInputs[] = [];
    const submission = await client.submit(command, { onInput: (open) => heard.push(open) });
    await submission.keep();
    const question = { method: 'elicitation/create', params: { message: 'May I?' } };
    await inputs.ask(command, 'may.i', question);
    await inputs.ask(command, 'may.i', { method: 'roots/list' });
    const answer = inputs.answer(command, 'may.i', new AbortController().signal);
    await waitFor(() => heard.length > 0, { what: 'the question' });
    expect(heard[0]).toEqual({ 'may.i': question });
    expect(await client.find(tenant, id)).toMatchObject({ kind: 'open', inputs: { 'may.i': question } });
    expect(await client.answer(tenant, id, 'may.i', { action: 'accept' })).toBe('stored');
    expect(await client.answer(tenant, id, 'may.i', { action: 'decline' })).toBe('answered_before');
    expect(await answer).toEqual({ action: 'accept' });
    expect(await client.find(tenant, id)).toMatchObject({ kind: 'open', inputs: {} });
    // A later attempt that asks again has the answer at once.
    expect(await inputs.answer(command, 'may.i', new AbortController().signal)).toEqual({ action: 'accept' });
    submission.release();
  });

  it('is heard by whoever joins late, and its answer by a runner that was cut off', async () => {
    const client = await frontEnd();
    const runner = await nats.connect('action-runner');
    const inputs = await InputExchange.open(runner, publisher);
    toClose.push(inputs);
    const command = testCommand('key');
    const submission = await client.submit(command);
    await submission.keep();
    await inputs.ask(command, 'q', { method: 'roots/list' });
    const answer = inputs.answer(command, 'q', new AbortController().signal);
    const state = await client.find(command.tenant_id, command.correlation_id);
    if (state?.kind !== 'open') throw new Error('not open');
    const heard: OpenInputs[] = [];
    client.watch(state.accepted, { onInput: (open) => heard.push(open) });
    await waitFor(() => heard.length > 0, { what: 'the question' });
    // Stored while the runner cannot hear it.
    const reconnecting = runner.reconnect();
    await sreAnswers(command, 'q');
    await reconnecting;
    expect(await answer).toEqual({ roots: [] });
    submission.release();
  });

  async function sreAnswers({ tenant_id, correlation_id }: CommandEnvelope, key: string): Promise<void> {
    const other = new AckedPublisher(await nats.connect('mcp-frontend'));
    await other.publish(answerSubject(tenant_id, correlation_id, key), Buffer.from('{"roots":[]}'), '', 5_000);
    other.close();
  }

  it('is no longer waited for when the command must stop', async () => {
    const inputs = await InputExchange.open(await nats.connect('action-runner'), publisher);
    toClose.push(inputs);
    const stop = new AbortController();
    const answer = inputs.answer(testCommand('key'), 'q', stop.signal);
    stop.abort(new Error('stopped'));
    await expect(answer).rejects.toThrow('stopped');
    await expect(inputs.answer(testCommand('key'), 'q', stop.signal)).rejects.toThrow('stopped');
  });
});
