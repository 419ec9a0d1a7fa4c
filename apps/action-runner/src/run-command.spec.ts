import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Question } from '@callboard/access';
import {
  ActionError,
  ActionSet,
  defineAction,
  type ActionContext,
  type ActionReturn,
  type Reconciled,
} from '@callboard/actions';
import type { Found } from '@callboard/adapters';
import { SecretTexts } from '@callboard/config';
import { LIMITS, commandSubject, type CommandEnvelope, type Outcome } from '@callboard/envelope';
import {
  BUCKET,
  AckedPublisher,
  AuditTrail,
  AttemptLog,
  CommandClient,
  CommandConsumer,
  DeadLetterPublisher,
  Halts,
  haltKey,
  InputExchange,
  KeyValueStore,
  OutcomePublisher,
  ProgressLog,
  STREAM,
} from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';
import { readAudit, startTestNats, stopAudit, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { RunnerMetrics } from './metrics.js';
import { CommandRunner } from './run-command.js';

const SECRET = 'hunter2';
const metrics = new RunnerMetrics();

type Run = (args: Record<string, unknown>, context: ActionContext) => ActionReturn | Promise<ActionReturn>;

let nats: TestNats;
let frontend: NatsConnection;
let client: CommandClient;
let sre: JetStreamManager;
let consumers: CommandConsumer[] = [];
const connections = new WeakMap<CommandConsumer, NatsConnection>();
let opened: { close(): void }[] = [];
const logged: unknown[] = [];
/** Where actions are that this runner does not have. */
const elsewhere = new Map<string, Found>();
/** What the action of the present test does. */
let run: Run;
/** Where the secrets of actions are. */
const secretsEnv: NodeJS.ProcessEnv = {};
/** What the policies say. */
let allows: (question: Question) => boolean;
beforeEach(() => {
  allows = () => true;
});

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  frontend = await nats.connect('mcp-frontend');
  client = await CommandClient.start(frontend, { instance: 'front end' });
  sre = await jetstreamManager(await nats.connect('sre'));
});
afterEach(async () => {
  await Promise.all(consumers.map((consumer) => consumer.drain(0)));
  consumers = [];
  for (const each of opened) each.close();
  opened = [];
});
afterAll(async () => {
  client.close();
  await nats.dispose();
});

const input = { type: 'object', properties: { n: { type: 'number' } } };
const act: Run = (args, context) => run(args, context);
const actions = new ActionSet([
  defineAction({ id: 'demo.once', description: '', input, run: act }),
  defineAction({ id: 'demo.reads', description: '', input, attributes: { read_only: true }, run: act }),
  defineAction({
    id: 'demo.thrice',
    description: '',
    input,
    attributes: { idempotent: true },
    retry: { max_attempts: 3, backoff_ms: 10, max_backoff_ms: 20 },
    run: act,
  }),
  defineAction({
    id: 'demo.secretive',
    description: '',
    input,
    attributes: { idempotent: true },
    retry: { max_attempts: 3, backoff_ms: 10, max_backoff_ms: 20 },
    secrets: { token: 'env:SPEC_TOKEN', key: 'env:SPEC_KEY' },
    run: act,
  }),
]);

/** @param mute it never gets an outcome stored */
async function startRunner(instance = 'runner', { mute = false } = {}): Promise<CommandConsumer> {
  const nc = await nats.connect('action-runner');
  const publisher = new AckedPublisher(nc);
  const inputs = await InputExchange.open(nc, publisher);
  const halts = await Halts.open(nc, (tenant, key, { resume_with: first }) => {
    if (first !== undefined) consumer?.putFirst(tenant, key, first);
  });
  opened.push(inputs, halts);
  const outcomes = new OutcomePublisher(publisher, instance);
  if (mute) outcomes.publish = () => nc.closed().then(() => Promise.reject(new Error('closed')));
  const note = (fields: unknown, text: string) => logged.push([fields, text]);
  const commands = new CommandRunner({
    actions,
    elsewhere: (id) => elsewhere.get(id),
    outcomes,
    attempts: await AttemptLog.open(nc, publisher),
    progress: new ProgressLog(publisher),
    inputs,
    halts,
    deadLetters: new DeadLetterPublisher(publisher),
    gate: { allows: (question) => allows(question) },
    audit: new AuditTrail(nc, { app: 'action-runner', instance }, 500),
    secrets: new SecretTexts('.', undefined, secretsEnv),
    metrics,
    log: { info: note, warn: note, error: note } as unknown as Logger,
  });
  let consumer: CommandConsumer | undefined = undefined;
  consumer = await CommandConsumer.start(nc, {
    instance,
    partitions: 1,
    concurrencyPerPartition: 16,
    windowBytesPerPartition: 16 * 1_048_576,
    handle: (delivery) => commands.run(delivery),
    goesFirst: (tenant, key) => halts.get(tenant, key)?.resume_with,
    onStuck: () => logged.push('stuck'),
    onError: (error) => logged.push(error),
  });
  consumers.push(consumer);
  connections.set(consumer, nc);
  return consumer;
}

/** As if the process had been killed: nothing more of it is heard, and nothing of it is stored. */
async function kill(consumer: CommandConsumer): Promise<void> {
  await connections.get(consumer)!.close();
  await consumer.drain(0);
}

const once = (key: string, args = {}, more: Partial<CommandEnvelope> = {}) =>
  testCommand(key, args, { method: 'once', ...more });
const thrice = (key: string, args = {}, more: Partial<CommandEnvelope> = {}) =>
  testCommand(key, args, { method: 'thrice', ...more });

async function outcomeOf(envelope: CommandEnvelope): Promise<Outcome> {
  return (await client.submit(envelope)).outcome;
}

/** What is stored of a command's attempts and its outcome, in the order in which it was stored. */
async function facts({ tenant_id: tenant, correlation_id: id }: CommandEnvelope): Promise<string[]> {
  const stored = await Promise.all(
    Array.from({ length: (await sre.streams.info(STREAM.outcomes)).state.last_seq }, (_, i) =>
      sre.direct.getMessage(STREAM.outcomes, { seq: i + 1 }),
    ),
  );
  return stored.flatMap((message) => {
    if (!message?.subject.includes(`.${tenant}.${id}`)) return [];
    const fact = message.json<{ kind?: string; attempt?: number; status?: string }>();
    return fact.status || fact.kind ? [fact.status ?? `${fact.kind} ${fact.attempt}`] : [];
  });
}

async function deadLetterOf(envelope: CommandEnvelope) {
  const subject = `dlq.${STREAM.commands}.cmd.0.${subjectTail(envelope)}`;
  return (await sre.direct.getMessage(STREAM.deadLetters, { last_by_subj: subject }))?.json<Record<string, unknown>>();
}

function subjectOf(envelope: CommandEnvelope): string {
  const { tenant_id: tenantId, ordering_key: orderingKey, correlation_id: correlationId } = envelope;
  return commandSubject({ ...envelope, tenantId, orderingKey, correlationId });
}
const subjectTail = (envelope: CommandEnvelope) => subjectOf(envelope).slice('cmd.'.length);

describe('a command whose action succeeds', () => {
  it.each<[string, ActionReturn, object]>([
    ['text', 'done', { content: [{ type: 'text', text: 'done' }] }],
    ['an object', { a: 1 }, { content: [{ type: 'text', text: '{"a":1}' }], structuredContent: { a: 1 } }],
    ['a whole result', { content: [], isError: true }, { content: [], isError: true }],
    [
      'a question',
      { resultType: 'input_required', requestState: 's' },
      { resultType: 'input_required', requestState: 's' },
    ],
  ])('ends succeeded with %s as its MCP result', async (_, returned, result) => {
    run = () => returned;
    await startRunner();
    const outcome = await outcomeOf(once('key'));
    expect(outcome).toMatchObject({ status: 'succeeded', result, attempts: 1, written_by: 'runner' });
    expect(outcome.error).toBeUndefined();
  });

  it('tells its progress in order, and before its outcome', async () => {
    run = (_, context) => {
      for (let i = 1; i <= 50; i++) context.progress(i, 50);
      context.log('info', { holds: 1n });
      return 'done';
    };
    await startRunner();
    const envelope = once('key');
    const heard: unknown[] = [];
    const { outcome } = await client.submit(envelope, {
      onProgress: (fact) => heard.push(fact.kind === 'progress' && fact.progress),
    });
    expect(await outcome).toMatchObject({ status: 'succeeded' });
    const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
    expect(heard).toEqual(numbers);
  });
});

describe('a secret that an action declares', () => {
  const secretive = (more: Partial<CommandEnvelope> = {}) =>
    testCommand('secretive', {}, { tool: 'demo', method: 'secretive', ...more });
  /** One that JSON writes otherwise, and that begins as another. */
  const [TOKEN, KEY] = ['s3cret-"token"', 's3cret-"token"\nand-more'];

  beforeEach(() => {
    Object.assign(secretsEnv, { SPEC_TOKEN: TOKEN, SPEC_KEY: KEY });
    logged.length = 0;
  });

  /** All that is kept, and what was logged. */
  const kept = async () => {
    const texts = [JSON.stringify(logged)];
    for (const stream of [STREAM.commands, STREAM.outcomes, STREAM.progress, STREAM.deadLetters, STREAM.audit]) {
      const { first_seq: first, last_seq: last } = (await sre.streams.info(stream)).state;
      for (let seq = Math.max(first, 1); seq <= last; seq++) {
        texts.push((await sre.direct.getMessage(stream, { seq }))?.string() ?? '');
      }
    }
    return texts.join('\n');
  };

  it('is there for its handler, and in nothing that its attempt says', async () => {
    let seen: string[] = [];
    run = async (_, context) => {
      seen = [await context.secret('token'), await context.secret('key')];
      context.progress(1, 2, `with ${seen[0]}`);
      context.log('info', { [seen[0]!]: seen }, seen[1]);
      return { said: seen, [seen[1]!]: { text: `Bearer ${seen[1]}`, json: JSON.stringify(seen) } };
    };
    await startRunner();
    const heard: unknown[] = [];
    const { outcome } = await client.submit(secretive(), { onProgress: (fact) => heard.push(fact) });
    const { result } = await outcome;
    expect(seen).toEqual([TOKEN, KEY]);
    expect(result).toMatchObject({
      structuredContent: {
        said: ['[secret]', '[secret]'],
        '[secret]': { text: 'Bearer [secret]', json: '["[secret]","[secret]"]' },
      },
    });
    expect(heard).toMatchObject([
      { message: 'with [secret]' },
      { data: { '[secret]': ['[secret]', '[secret]'] }, logger: '[secret]' },
    ]);
    expect(await kept()).not.toContain('s3cret');
  });

  it.each<[string, (secret: string) => Error, object]>([
    [
      'foreseen',
      (secret) => new ActionError(`${secret} is wrong`, { code: `no_${secret}` }),
      { code: 'no_[secret]', message: '[secret] is wrong' },
    ],
    [
      'unforeseen',
      (secret) => Object.assign(new Error(`bad\n    at ${secret}`), { name: secret }),
      { code: 'dead_lettered' },
    ],
  ])('is not in an error, %s', async (_, thrown, error) => {
    run = async (_args, context) => {
      throw thrown(await context.secret('token'));
    };
    await startRunner();
    expect(await outcomeOf(secretive())).toMatchObject({ error });
    expect(await kept()).not.toContain('s3cret');
  });

  it('that cannot be had is tried again, and is the one of now', async () => {
    delete secretsEnv['SPEC_TOKEN'];
    const seen: string[] = [];
    run = async (_, context) => {
      if (context.attempt === 2) secretsEnv['SPEC_TOKEN'] = 'another';
      seen.push(await context.secret('token'));
      return 'done';
    };
    await startRunner();
    expect(await outcomeOf(secretive())).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(seen).toEqual(['another']);
    expect(logged).toContainEqual([
      expect.objectContaining({ action: 'demo.secretive', secret: 'token', why: 'the variable SPEC_TOKEN is not set' }),
      'a secret of an action cannot be had now',
    ]);
  });

  it('that is too short to be cut out is not given away', async () => {
    secretsEnv['SPEC_TOKEN'] = '12345';
    run = (_, context) => context.secret('token');
    await startRunner();
    expect(await outcomeOf(secretive())).toMatchObject({
      status: 'dead_lettered',
      error: { message: 'The secret token cannot be had now' },
    });
    expect(JSON.stringify(logged)).toContain('it has fewer than 6 characters');
  });

  it('is the only one that there is for it', async () => {
    run = (_, context) => context.secret('toString');
    await startRunner();
    expect(await outcomeOf(secretive())).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: {
        message: 'The action asks for a secret that is not in its option secrets; there are: token, key',
        retryable: false,
      },
    });
    expect(await outcomeOf(once('secretive'))).toMatchObject({
      error: { message: expect.stringMatching(/there are: none$/) },
    });
  });
});

describe('a command while the audit stream takes no records', () => {
  const records = async ({ correlation_id: id }: CommandEnvelope) =>
    (await readAudit(sre)).filter((record) => record.correlation_id === id).map(({ kind, what }) => `${kind} ${what}`);

  it('has no effect, and runs when the stream takes records again', async () => {
    let ran = 0;
    run = () => (ran++, 'done');
    await startRunner();
    const restore = await stopAudit(nats);
    const command = once('key');
    const submission = await client.submit(command);
    await waitFor(() => logged.some((line) => JSON.stringify(line).includes('could not be kept')), {
      what: 'the runner to have tried',
    });
    expect(ran).toBe(0);
    await restore();
    expect(await submission.outcome).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(ran).toBe(1);
    await waitFor(async () => (await records(command)).length === 2, { what: 'both records' });
    expect(await records(command)).toEqual(['attempt begun', 'attempt ended']);
  });

  it('ends by its deadline without an effect', async () => {
    let ran = 0;
    run = () => (ran++, 'done');
    await startRunner();
    const restore = await stopAudit(nats, 'full');
    const outcome = await outcomeOf(once('key', {}, { deadline_ms: 300 }));
    await restore();
    expect([outcome.status, ran]).toEqual(['deadline_exceeded', 0]);
    run = () => 'next';
    expect(await outcomeOf(once('key'))).toMatchObject({ status: 'succeeded' });
    expect(ran).toBe(0);
  });

  it('tells nobody what it has read', async () => {
    let ran = 0;
    run = () => (ran++, 'read');
    await startRunner();
    const restore = await stopAudit(nats);
    const submission = await client.submit(testCommand('key', {}, { method: 'reads' }));
    await waitFor(() => ran === 1, { what: 'the action' });
    expect(await client.lookup('acme', submission.correlationId)).toBeUndefined();
    await restore();
    expect(await submission.outcome).toMatchObject({ status: 'succeeded' });
  });
});

describe('a command that policy no longer allows', () => {
  it('ends failed with forbidden, and is never begun', async () => {
    let ran = 0;
    const asked: Question[] = [];
    run = () => (ran++, 'done');
    allows = (question) => (asked.push(question), false);
    await startRunner();
    const caller = { via: 'jwt', server: '/mcp/ops', client_id: 'assistant', scopes: ['read'] };
    const outcome = await outcomeOf(once('key', {}, { groups: ['sre'], caller, priority: 'high' }));
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'forbidden', retryable: false }, attempts: 0 });
    expect([ran, await facts(outcome as unknown as CommandEnvelope)]).toEqual([0, ['failed']]);
    const { tenant_id: tenantId, user_id: userId } = outcome;
    expect(asked).toMatchObject([
      {
        principal: { tenantId, userId, groups: ['sre'], via: 'jwt', clientId: 'assistant', scopes: ['read'] },
        action: 'call',
        resource: { type: 'Tool', id: 'demo.once' },
        circumstances: { server: '/mcp/ops', priority: 'high' },
      },
    ]);
  });

  it('is not tried again, and says that it had begun', async () => {
    let ran = 0;
    run = () => {
      ran++;
      allows = () => false;
      throw new ActionError('busy', { retryable: true });
    };
    await startRunner();
    const outcome = await outcomeOf(thrice('key'));
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'forbidden' }, attempts: 1 });
    expect(ran).toBe(1);
  });
});

describe('a command that cannot be run', () => {
  it.each([
    ['unknown_action', testCommand('key', {}, { method: 'nowhere' })],
    ['invalid_arguments', once('key', { n: SECRET })],
  ])('ends failed with %s, and its action is not called', async (code, envelope) => {
    let called = false;
    run = () => {
      called = true;
      return '';
    };
    await startRunner();
    const outcome = await outcomeOf(envelope);
    expect(outcome).toMatchObject({ status: 'failed', error: { code, retryable: false }, attempts: 0 });
    expect(JSON.stringify(outcome)).not.toContain(SECRET);
    expect(called).toBe(false);
  });

  it('is a dead letter when it is no command at all, and does not hold its key back', async () => {
    run = () => 'done';
    const [garbage, other, large] = [once('garbage'), once('garbage'), once('garbage')];
    frontend.publish(subjectOf(garbage), `no JSON, but ${'"'.repeat(200_000)}`);
    frontend.publish(subjectOf(other), JSON.stringify({ ...other, tenant_id: 'umbrella' }));
    frontend.publish(subjectOf(large), JSON.stringify({ ...large, args: { text: 'x'.repeat(LIMITS.envelopeBytes) } }));
    await startRunner();
    expect(await outcomeOf(once('garbage'))).toMatchObject({ status: 'succeeded' });
    for (const [envelope, code] of [
      [garbage, 'invalid_request'],
      [other, 'invalid_request'],
      [large, 'payload_too_large'],
    ] as const) {
      const outcome = await client.lookup('acme', envelope.correlation_id);
      expect(outcome).toMatchObject({ status: 'dead_lettered', error: { code }, attempts: 0, tool: 'demo' });
      expect(await deadLetterOf(envelope)).toMatchObject({ reason: code, attempts: 0, stream: 'COMMANDS' });
    }
    expect(await deadLetterOf(garbage)).toMatchObject({ message: expect.stringMatching(/^no JSON, but """/) });
    expect(await deadLetterOf(other)).toMatchObject({ envelope: { tenant_id: 'umbrella' } });
    // Nothing is told to the tenant that the envelope only claims.
    expect(await client.lookup('umbrella', other.correlation_id)).toBeUndefined();
  });
});

describe('a command whose action fails', () => {
  it('ends failed with the code and message that its author chose', async () => {
    run = () => {
      throw new ActionError('the repository is gone', { code: 'gone' });
    };
    await startRunner();
    expect(await outcomeOf(thrice('key'))).toMatchObject({
      status: 'failed',
      error: { code: 'gone', message: 'the repository is gone', retryable: false },
      attempts: 1,
    });
  });

  it('unforeseen tells neither its caller nor the log what was thrown', async () => {
    logged.length = 0;
    run = () => {
      throw new Error(`no such user\n  ${SECRET}`);
    };
    await startRunner();
    const outcome = await outcomeOf(once('key'));
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'action_failed' }, attempts: 1 });
    expect(JSON.stringify([outcome, logged])).not.toContain(SECRET);
    expect(logged).toEqual([
      [expect.objectContaining({ thrown: 'Error', action: 'demo.once' }), 'an attempt failed unforeseen'],
    ]);
  });

  it.each<[string, () => unknown]>([
    ['nothing', () => undefined],
    ['null', () => null],
    ['a number', () => 7],
    ['a list', () => ['text']],
    ['what JSON cannot hold', () => ({ n: 1n })],
    ['a result that JSON cannot hold', () => ({ content: [{ n: 1n }] })],
    [
      'a circle',
      () => {
        const circle: Record<string, unknown> = {};
        circle['self'] = circle;
        return circle;
      },
    ],
  ])('by returning %s ends failed, after one attempt, and its key goes on', async (_, returned) => {
    run = ({ n }) => (n === 0 ? (returned() as string) : 'done');
    await startRunner();
    const first = outcomeOf(thrice('key', { n: 0 }));
    expect(await outcomeOf(thrice('key', { n: 1 }))).toMatchObject({ status: 'succeeded' });
    expect(await first).toMatchObject({ status: 'failed', error: { code: 'action_failed' }, attempts: 1 });
  });

  it('with a result larger than an outcome may be ends failed, and says so', async () => {
    run = () => 'x'.repeat(LIMITS.outcomeBytes);
    await startRunner();
    const outcome = await outcomeOf(once('key'));
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'payload_too_large' } });
    expect(outcome.result).toBeUndefined();
  });

  it('for now is tried again, each failure on record, while other keys go on', async () => {
    const seen: number[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    run = async ({ n }, { attempt }) => {
      if (n !== 0) return 'done';
      seen.push(attempt);
      if (attempt === 2) await released;
      if (attempt < 3) throw new ActionError('later', { retryable: true });
      return 'done';
    };
    await startRunner();
    const envelope = thrice('key', { n: 0 });
    const outcome = outcomeOf(envelope);
    await waitFor(() => seen.length === 2, { what: 'the second attempt' });
    expect(await facts(envelope)).toEqual(['failed 1']);
    expect(await outcomeOf(thrice('other', { n: 1 }))).toMatchObject({ attempts: 1 });
    release();
    expect(await outcome).toMatchObject({ status: 'succeeded', attempts: 3 });
    expect(seen).toEqual([1, 2, 3]);
    expect(await facts(envelope)).toEqual(['failed 1', 'failed 2', 'succeeded']);
  });

  it('is not tried again before the far side wants it, and the record says when', async () => {
    const began: number[] = [];
    run = (_, { attempt }) => {
      began.push(Date.now());
      if (attempt === 1) throw new ActionError('later', { retryable: true, retryAfterMs: 700 });
      return 'done';
    };
    await startRunner();
    // The policy alone would wait for 20 ms at most.
    expect(await outcomeOf(thrice('patient'))).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(began[1]! - began[0]!).toBeGreaterThanOrEqual(690);
  });

  it('to the last becomes a dead letter with its whole envelope, however large, and its key goes on', async () => {
    run = ({ n }) => {
      if (n === 0) throw new ActionError(SECRET, { code: 'busy', retryable: true });
      return 'done';
    };
    await startRunner();
    // Many quotes: as a text within JSON this would outgrow what a message may hold.
    const args = { n: 0, list: Array<string>(150_000).fill('"') };
    const envelope = thrice('key', args);
    expect(await outcomeOf(envelope)).toMatchObject({
      status: 'dead_lettered',
      error: { code: 'dead_lettered', message: SECRET },
      attempts: 3,
    });
    expect(await deadLetterOf(envelope)).toMatchObject({
      reason: 'attempts_exhausted',
      attempts: 3,
      last_error: { code: 'busy' },
      subject: `cmd.0.${subjectTail(envelope)}`,
      envelope: { ...envelope },
    });
    expect(await outcomeOf(thrice('key', { n: 1 }))).toMatchObject({ status: 'succeeded' });
  });
});

describe('a deadline', () => {
  it('that has passed before a command begins ends it without an attempt', async () => {
    const begun: unknown[] = [];
    run = async ({ n }) => {
      begun.push(n);
      await delay(150);
      return 'done';
    };
    await startRunner();
    const first = outcomeOf(once('key', { n: 0 }));
    const late = outcomeOf(once('key', { n: 1 }, { deadline_ms: 50 }));
    expect(await late).toMatchObject({
      status: 'deadline_exceeded',
      error: { code: 'deadline_exceeded' },
      attempts: 0,
      written_by: 'runner',
    });
    expect(await first).toMatchObject({ status: 'succeeded' });
    expect(begun).toEqual([0]);
  });

  it('that passes while an action runs aborts it, and its key goes on only when the action has stopped', async () => {
    const order: string[] = [];
    let stop!: () => void;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    run = async ({ n }, { signal, deadlineAt }) => {
      if (n === 1) {
        order.push('next begins');
        return 'done';
      }
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      order.push(`aborted ${Date.now() >= deadlineAt.getTime() - 5}`);
      await stopped;
      order.push('stopped');
      return 'too late';
    };
    await startRunner();
    const first = outcomeOf(once('key', { n: 0 }, { deadline_ms: 1_500 }));
    const next = outcomeOf(once('key', { n: 1 }));
    expect(await first).toMatchObject({ status: 'deadline_exceeded', attempts: 1 });
    expect(order).toEqual(['aborted true']);
    stop();
    expect(await next).toMatchObject({ status: 'succeeded' });
    expect(order).toEqual(['aborted true', 'stopped', 'next begins']);
  });

  it('that passes while another attempt is awaited ends the command', async () => {
    run = () => {
      throw new ActionError('later', { retryable: true });
    };
    const slow = defineAction({
      id: 'demo.slow',
      description: '',
      input,
      retry: { max_attempts: 3, backoff_ms: 60_000, max_backoff_ms: 60_000 },
      run: act,
    });
    actions.add(slow);
    await startRunner();
    const envelope = testCommand('key', {}, { method: 'slow', deadline_ms: 1_500 });
    expect(await outcomeOf(envelope)).toMatchObject({ status: 'deadline_exceeded', attempts: 1, written_by: 'runner' });
    actions.remove('demo.slow');
  });
});

describe('a command whose runner stops', () => {
  it('is counted on from the attempts of the runner before', async () => {
    const attempts: number[] = [];
    let hang = true;
    run = async (_, { attempt, signal }) => {
      attempts.push(attempt);
      if (attempt === 2 && hang) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw new Error('aborted');
      }
      if (attempt === 1) throw new ActionError('later', { retryable: true });
      return 'done';
    };
    const first = await startRunner('first');
    const outcome = outcomeOf(thrice('key'));
    await waitFor(() => attempts.length === 2, { what: 'the second attempt' });
    await first.drain(0);
    hang = false;
    await startRunner('second');
    expect(await outcome).toMatchObject({ status: 'succeeded', attempts: 3, written_by: 'second' });
    expect(attempts).toEqual([1, 2, 3]);
  });

  it('while it waits for another attempt is left to the next runner, which waits for the rest of the time', async () => {
    const attempts: number[] = [];
    let failedAt = 0;
    let repeatedAt = 0;
    run = (_, { attempt }) => {
      attempts.push(attempt);
      if (attempt === 1) {
        failedAt = Date.now();
        throw new ActionError('later', { retryable: true });
      }
      repeatedAt = Date.now();
      return 'done';
    };
    actions.add(
      defineAction({
        id: 'demo.slow',
        description: '',
        input,
        retry: { max_attempts: 3, backoff_ms: 3_000, max_backoff_ms: 3_000 },
        run: act,
      }),
    );
    const first = await startRunner('first');
    const outcome = outcomeOf(testCommand('key', {}, { method: 'slow' }));
    await waitFor(() => attempts.length === 1, { what: 'the first attempt' });
    await first.drain(30_000);
    await startRunner('second');
    expect(await outcome).toMatchObject({ status: 'succeeded', attempts: 2, written_by: 'second' });
    // Half of it at least, with the jitter.
    expect(repeatedAt - failedAt).toBeGreaterThanOrEqual(1_490);
    actions.remove('demo.slow');
  });

  it('has its outcome written all the same when the action succeeds although its lease is gone', async () => {
    let begun = false;
    run = async (_, { signal }) => {
      begun = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return 'done';
    };
    const runner = await startRunner();
    const { outcome } = await client.submit(once('key'));
    await waitFor(() => begun, { what: 'the action running' });
    await runner.drain(0);
    expect(await outcome).toMatchObject({ status: 'succeeded', attempts: 1 });
  });
});

describe('a command whose runner was killed half-way', () => {
  const reconciled: unknown[] = [];
  let told: Reconciled | Error = 'unknown';

  beforeAll(() => {
    actions.add(
      defineAction({
        id: 'demo.careful',
        description: '',
        input,
        retry: { max_attempts: 4, backoff_ms: 10, max_backoff_ms: 20 },
        run: act,
        reconcile: (_, { attempt }) => {
          reconciled.push(attempt);
          if (told instanceof Error) throw told;
          return told;
        },
      }),
    );
  });
  afterAll(() => void actions.remove('demo.careful'));

  /** Hands a command to a runner that is killed while the action runs; returns what comes of it, and how often the action ran. */
  async function killedHalfWay(
    method: string,
  ): Promise<{ outcome: Outcome; begun: number[]; envelope: CommandEnvelope }> {
    const begun: number[] = [];
    reconciled.length = 0;
    let hang = true;
    run = async (_, { attempt, signal }) => {
      begun.push(attempt);
      if (!hang) return 'done';
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('killed');
    };
    const first = await startRunner('first');
    const envelope = testCommand('key', {}, { method });
    const outcome = outcomeOf(envelope);
    await waitFor(() => begun.length === 1, { what: 'the action running' });
    await kill(first);
    hang = false;
    await startRunner('second');
    return { outcome: await outcome, begun, envelope };
  }

  it('is run again when its action is idempotent', async () => {
    expect(await killedHalfWay('thrice')).toMatchObject({
      outcome: { status: 'succeeded', attempts: 2 },
      begun: [1, 2],
    });
  });

  it('ends in doubt, and is not run again, when its action must not be repeated', async () => {
    const { outcome, begun, envelope } = await killedHalfWay('once');
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'in_doubt', retryable: false }, attempts: 1 });
    expect(begun).toEqual([1]);
    expect(await facts(envelope)).toEqual(['begun 1', 'failed']);
  });

  it('is run again when its action can tell that it had no effect', async () => {
    told = 'not_done';
    const { outcome, begun } = await killedHalfWay('careful');
    expect(outcome).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect([begun, reconciled]).toEqual([[1, 2], [1]]);
  });

  it('ends with the result that its action finds', async () => {
    told = { result: 'found' };
    const { outcome, begun } = await killedHalfWay('careful');
    expect(outcome).toMatchObject({ status: 'succeeded', result: { content: [{ type: 'text', text: 'found' }] } });
    expect([begun, reconciled]).toEqual([[1], [1]]);
  });

  it.each<[string, Reconciled | Error]>([
    ['says that it cannot tell', 'unknown'],
    ['fails unforeseen when it is asked', new Error('oops')],
  ])('ends in doubt when its action %s', async (_, answer) => {
    told = answer;
    const { outcome, begun } = await killedHalfWay('careful');
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'in_doubt' } });
    expect(begun).toEqual([1]);
  });

  it('is run, not doubted, when it had not begun, however much had been read ahead', async () => {
    let begun = 0;
    run = async ({ n }, { signal }) => {
      begun += 1;
      if (n !== 0) return 'done';
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('killed');
    };
    const first = await startRunner('first');
    const hanging = outcomeOf(once('key', { n: 0 }));
    await waitFor(() => begun === 1, { what: 'the first running' });
    const waiting = Promise.all([1, 2, 3].map((n) => outcomeOf(once('key', { n }))));
    await waitFor(() => first.buffered === 4, { what: 'the others read ahead' });
    await kill(first);
    await startRunner('second');
    expect(await hanging).toMatchObject({ error: { code: 'in_doubt' } });
    for (const outcome of await waiting) expect(outcome).toMatchObject({ status: 'succeeded', attempts: 1 });
  });

  it('while it was giving up makes no more attempts, and has given up', async () => {
    const begun: number[] = [];
    run = (_, { attempt }) => {
      begun.push(attempt);
      throw new ActionError('busy', { retryable: true });
    };
    const first = await startRunner('first', { mute: true });
    const envelope = thrice('key');
    const outcome = outcomeOf(envelope);
    await waitFor(() => deadLetterOf(envelope), { what: 'the dead letter' });
    await kill(first);
    await startRunner('second');
    expect(await outcome).toMatchObject({ status: 'dead_lettered', attempts: 3, written_by: 'second' });
    expect(begun).toEqual([1, 2, 3]);
  });

  it('again and again gives up, however patient its action is', async () => {
    let begun = 0;
    run = async (_, { signal }) => {
      begun += 1;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('killed');
    };
    const envelope = thrice('key');
    const outcome = outcomeOf(envelope);
    for (let n = 1; n <= 3; n++) {
      const runner = await startRunner(`runner ${n}`);
      await waitFor(() => begun === n, { what: `attempt ${n}` });
      await kill(runner);
    }
    await startRunner('last');
    expect(await outcome).toMatchObject({ status: 'dead_lettered', attempts: 3 });
    expect(begun).toBe(3);
  });
});

describe('a command that is cancelled', () => {
  it('before it begins never does', async () => {
    const begun: unknown[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    run = async ({ n }) => {
      begun.push(n);
      if (n === 0) await released;
      return 'done';
    };
    const runner = await startRunner();
    const first = outcomeOf(once('key', { n: 0 }));
    const envelope = once('key', { n: 1 });
    const second = await client.submit(envelope);
    await waitFor(() => runner.buffered === 2, { what: 'both read' });
    expect(await client.cancel(envelope)).toBe('cancelled');
    expect(await second.outcome).toMatchObject({ status: 'cancelled' });
    release();
    await first;
    expect(await outcomeOf(once('key', { n: 2 }))).toMatchObject({ status: 'succeeded' });
    expect(begun).toEqual([0, 2]);
  });

  it('while it runs is told to stop; its key goes on when it has, and what it brings late changes nothing', async () => {
    const order: unknown[] = [];
    let stop!: () => void;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    run = async ({ n }, { signal }) => {
      order.push(n);
      if (n !== 0) return 'done';
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      order.push((signal.reason as Error).message);
      await stopped;
      return 'too late';
    };
    await startRunner();
    logged.length = 0;
    const envelope = once('key', { n: 0 });
    const submission = await client.submit(envelope);
    const next = outcomeOf(once('key', { n: 1 }));
    await waitFor(() => order.length === 1, { what: 'the action running' });
    expect(await client.cancel(envelope)).toBe('cancelled');
    expect(await submission.outcome).toMatchObject({ status: 'cancelled' });
    await waitFor(() => order.length === 2, { what: 'the action told' });
    stop();
    expect(await next).toMatchObject({ status: 'succeeded' });
    expect(order).toEqual([0, 'The command was cancelled', 1]);
    expect(await client.lookup('acme', envelope.correlation_id)).toMatchObject({ status: 'cancelled' });
    expect(logged).toContainEqual([
      { correlation_id: envelope.correlation_id },
      'a result came after its command had ended',
    ]);
  });

  it('while it waits for another attempt makes none', async () => {
    let begun = 0;
    run = () => {
      begun += 1;
      throw new ActionError('later', { retryable: true });
    };
    actions.add(
      defineAction({
        id: 'demo.patient',
        description: '',
        input,
        retry: { max_attempts: 3, backoff_ms: 60_000, max_backoff_ms: 60_000 },
        run: act,
      }),
    );
    const runner = await startRunner();
    const envelope = testCommand('key', {}, { method: 'patient' });
    const submission = await client.submit(envelope);
    await waitFor(() => begun === 1 && runner.running === 0, { what: 'the first attempt over, and its place free' });
    await client.cancel(envelope);
    expect(await submission.outcome).toMatchObject({ status: 'cancelled' });
    await waitFor(() => runner.buffered === 0, { what: 'the command gone' });
    expect(begun).toBe(1);
    actions.remove('demo.patient');
  });
});

describe('an action that asks half-way', () => {
  const ask = { method: 'elicitation/create', params: { message: 'Go on?' } };

  it('goes on with the answer, holds no place while it waits, and asks once over a change of runner', async () => {
    const effects: unknown[] = [];
    run = async ({ n }, context) => {
      if (n !== 0) return 'done';
      const { go } = await context.ask({ go: ask });
      effects.push(go);
      return 'went on';
    };
    const first = await startRunner('first');
    const envelope = thrice('key', { n: 0 }, { input_capabilities: ['elicitation'] });
    const heard: unknown[] = [];
    const { outcome } = await client.submit(envelope, { onInput: (open) => heard.push(open) });
    await waitFor(() => heard.length > 0, { what: 'the question' });
    expect(heard[0]).toEqual({ go: ask });
    await waitFor(() => first.running === 0, { what: 'its place free' });
    await kill(first);
    await startRunner('second');
    await client.answer('acme', envelope.correlation_id, 'go', { action: 'accept' });
    expect(await outcome).toMatchObject({ status: 'succeeded', written_by: 'second' });
    expect(effects).toEqual([{ action: 'accept' }]);
  });

  it('fails when the caller cannot answer, and is told to stop at its deadline', async () => {
    run = async (_, context) => {
      await context.ask({ go: ask });
      return 'done';
    };
    await startRunner();
    expect(await outcomeOf(once('a'))).toMatchObject({ status: 'failed', error: { code: 'input_unavailable' } });
    const patient = once('b', {}, { input_capabilities: ['elicitation'], deadline_ms: 300 });
    expect(await outcomeOf(patient)).toMatchObject({ status: 'deadline_exceeded' });
    expect(await outcomeOf(once('b'))).toMatchObject({ status: 'failed' });
  });
});

describe('a key that halts after a dead letter', () => {
  const seen: unknown[] = [];
  let halts: Halts;
  let decisions: KeyValueStore;

  beforeAll(async () => {
    actions.add(
      defineAction({
        id: 'demo.strict',
        description: '',
        input,
        attributes: { idempotent: true },
        retry: { max_attempts: 2, backoff_ms: 1, max_backoff_ms: 1 },
        onDeadLetter: 'halt',
        run: act,
      }),
    );
    const operator = await nats.connect('operator');
    halts = await Halts.open(operator);
    decisions = await KeyValueStore.open(operator, BUCKET.halts);
  });
  afterAll(() => {
    halts.close();
    actions.remove('demo.strict');
  });

  const strict = (key: string, n: number) => testCommand(key, { n }, { method: 'strict' });

  async function halted(key: string): Promise<{ later: Promise<Outcome>[]; runner: CommandConsumer }> {
    seen.length = 0;
    run = ({ n }) => {
      seen.push(n);
      if (n === 0) throw new ActionError('busy', { retryable: true });
      return 'done';
    };
    const runner = await startRunner();
    const first = await client.submit(strict(key, 0));
    const later = [1, 2].map((n) => outcomeOf(strict(key, n)));
    expect(await first.outcome).toMatchObject({ status: 'dead_lettered' });
    await waitFor(() => halts.get('acme', key)?.correlation_id === first.correlationId, { what: 'the halt' });
    expect(await outcomeOf(strict(`other than ${key}`, 3))).toMatchObject({ status: 'succeeded' });
    expect(seen).toEqual([0, 0, 3]);
    return { later, runner };
  }

  /** As redriving a letter does. */
  async function putFirst(key: string, { correlation_id: resume_with }: CommandEnvelope): Promise<void> {
    const halt = { ...halts.get('acme', key)!, resume_with };
    await decisions.put(haltKey('acme', key), Buffer.from(JSON.stringify(halt)));
  }

  it('goes on when an operator takes the halt away, also after a change of runner', async () => {
    const { later, runner } = await halted('discarded');
    await kill(runner);
    await startRunner('second');
    await halts.release('acme', 'discarded');
    for (const outcome of await Promise.all(later)) expect(outcome).toMatchObject({ status: 'succeeded' });
    expect(seen).toEqual([0, 0, 3, 1, 2]);
  });

  it('goes on with the command that an operator puts first, and then with the rest', async () => {
    const { later } = await halted('redriven');
    const again = strict('redriven', 9);
    await putFirst('redriven', again);
    expect(await outcomeOf(again)).toMatchObject({ status: 'succeeded' });
    for (const outcome of await Promise.all(later)) expect(outcome).toMatchObject({ status: 'succeeded' });
    expect(seen).toEqual([0, 0, 3, 9, 1, 2]);
    await waitFor(() => halts.get('acme', 'redriven') === undefined, { what: 'the halt gone' });
  });

  it('goes on when what goes first has ended and nobody said so', async () => {
    const { later } = await halted('unsaid');
    const again = strict('unsaid', 9);
    await client.submit(again);
    // Nobody runs it, so nobody lets the key go on; as when its runner dies after the outcome.
    expect(await client.cancel(again)).toBe('cancelled');
    await putFirst('unsaid', again);
    for (const outcome of await Promise.all(later)) expect(outcome).toMatchObject({ status: 'succeeded' });
    expect(seen).toEqual([0, 0, 3, 1, 2]);
    await waitFor(() => halts.get('acme', 'unsaid') === undefined, { what: 'the halt gone' });
  });

  it('goes on with a command that stands behind more of its key than a runner keeps', async () => {
    const { later } = await halted('long');
    const waiting = Array.from({ length: 300 }, (_, index) => client.submit(strict('long', 10 + index)));
    later.push(...(await Promise.all(waiting)).map(({ outcome }) => outcome));
    const again = strict('long', 9);
    const { outcome } = await client.submit(again);
    await putFirst('long', again);
    expect(await outcome).toMatchObject({ status: 'succeeded' });
    expect(seen.slice(0, 4)).toEqual([0, 0, 3, 9]);
    await Promise.all(later);
    // Each once.
    expect(seen.slice(4).sort((a, b) => Number(a) - Number(b))).toEqual([
      1,
      2,
      ...Array.from({ length: 300 }, (_, n) => n + 10),
    ]);
  });
});

describe('a command whose action another runner has, or will have again in a moment', () => {
  const moved = (key: string, more: Partial<CommandEnvelope> = {}) =>
    testCommand(key, {}, { method: 'moved', ...more });
  afterEach(() => {
    elsewhere.clear();
    actions.remove('demo.moved');
  });

  it.each(['elsewhere', 'lately'] as const)('waits until it is here, and holds back no other key: %s', async (kind) => {
    elsewhere.set('demo.moved', { kind });
    const order: string[] = [];
    run = ({ n }) => `${order.push(String(n))}`;
    await startRunner();
    const first = outcomeOf(moved('moved'));
    const second = outcomeOf(once('moved', { n: 2 }));
    expect(await outcomeOf(once('another', { n: 1 }))).toMatchObject({ status: 'succeeded' });
    actions.add(defineAction({ id: 'demo.moved', description: '', input, run: () => `${order.push('moved')}` }));
    expect(await first).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(await second).toMatchObject({ status: 'succeeded' });
    expect(order).toEqual(['1', 'moved', '2']);
  });

  it('waits no longer than its deadline', async () => {
    elsewhere.set('demo.moved', { kind: 'elsewhere' });
    await startRunner();
    const outcome = await outcomeOf(moved('moved', { deadline_ms: 300 }));
    expect(outcome).toMatchObject({ status: 'deadline_exceeded' });
  });

  it('ends when it is nowhere any more', async () => {
    elsewhere.set('demo.moved', { kind: 'lately' });
    await startRunner();
    const outcome = outcomeOf(moved('moved'));
    await outcomeOf(once('another', { n: 1 }));
    elsewhere.clear();
    expect(await outcome).toMatchObject({ status: 'failed', error: { code: 'unknown_action' }, attempts: 0 });
  });

  it('is run by the process that takes it over NATS, where there is one', async () => {
    const action = defineAction({ id: 'demo.moved', description: '', input, run: () => 'far away' });
    elsewhere.set('demo.moved', { kind: 'here', action });
    await startRunner();
    expect(await outcomeOf(moved('moved'))).toMatchObject({
      status: 'succeeded',
      result: { content: [{ type: 'text', text: 'far away' }] },
    });
  });
});
