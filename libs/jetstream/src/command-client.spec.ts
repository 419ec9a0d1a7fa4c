import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  deadlineSubject,
  idempotentCorrelationId,
  outcomeSubject,
  progressSubject,
  type CommandEnvelope,
  type JsonObject,
  type Progress,
} from '@callboard/envelope';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher } from './acked-publisher.js';
import { CommandClient } from './command-client.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { ProgressLog } from './progress-log.js';
import { STREAM } from './topology.js';
import { subjectOf } from './spec/commands.js';

let nats: TestNats;
let nc: NatsConnection;
let runner: NatsConnection;
let sre: JetStreamManager;
let client: CommandClient;
let publisher: AckedPublisher;
let outcomes: OutcomePublisher;
let progress: ProgressLog;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  nc = await nats.connect('mcp-frontend');
  runner = await nats.connect('action-runner');
  sre = await jetstreamManager(await nats.connect('sre'));
  publisher = new AckedPublisher(runner);
  outcomes = new OutcomePublisher(publisher, 'runner');
  progress = new ProgressLog(publisher);
});
beforeEach(async () => {
  client = await CommandClient.start(nc, { instance: 'front end', acceptTimeoutMs: 10_000 });
});
afterEach(() => client.close());
afterAll(async () => {
  publisher.close();
  await nats.dispose();
});

let keys = 0;
/** A command under a new idempotency key, or under one of the test's own. */
function idempotent(args: JsonObject = {}, idempotencyKey = `key-${++keys}`, more: Partial<CommandEnvelope> = {}) {
  const plain = testCommand('order', args, more);
  const scope = { tenantId: 'acme', userId: plain.user_id, action: plain, idempotencyKey };
  return { ...plain, idempotency_key: idempotencyKey, correlation_id: idempotentCorrelationId(scope) };
}

const succeed = (envelope: CommandEnvelope, result: JsonObject = {}) =>
  outcomes.publish(envelope, { status: 'succeeded', result, attempts: 1 });

async function storedCount(envelope: CommandEnvelope): Promise<number> {
  const subjects_filter = `cmd.*.${subjectOf(envelope).slice('cmd.'.length)}`;
  const { state } = await sre.streams.info(STREAM.commands, { subjects_filter });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}

describe('the deadline of a command that may outlive its caller', () => {
  const onRecord = async ({ tenant_id, correlation_id }: CommandEnvelope) =>
    (
      await sre.direct.getMessage(STREAM.outcomes, { last_by_subj: deadlineSubject(tenant_id, correlation_id) })
    )?.json();

  it('is on record when the command is accepted, where the caller says so', async () => {
    const envelope = testCommand('kept');
    await client.submit(envelope, { keep: true });
    expect(await onRecord(envelope)).toMatchObject({ deadline_at: envelope.deadline_at, user_id: envelope.user_id });
    await succeed(envelope);
  });

  it('stays that of the first call, however late another joins', async () => {
    const first = idempotent({ n: 1 });
    await client.submit(first);
    const later = { issued_at: '2099-01-01T00:00:00.000Z', deadline_at: '2099-01-01T00:01:00.000Z' };
    const joined = await client.submit({ ...first, ...later }, { keep: true });
    expect(joined).toMatchObject({ replayed: true, command: { issued_at: first.issued_at } });
    expect(await onRecord(first)).toMatchObject({ issued_at: first.issued_at, deadline_at: first.deadline_at });
    await succeed(first);
    const ended = await client.submit({ ...first, ...later }, { keep: true });
    expect(ended).toMatchObject({ replayed: true, command: { issued_at: first.issued_at } });
    expect(await onRecord(first)).toBeUndefined();
  });
});

describe('a submitted command', () => {
  it('is stored with its headers before the caller hears that it is accepted', async () => {
    const traced = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=b' };
    const envelope = { ...testCommand('user:default/jane.doe'), ...traced, priority: 'high' as const };
    const submission = await client.submit(envelope);
    expect(submission).toMatchObject({ correlationId: envelope.correlation_id, replayed: false });
    const stored = (await sre.streams.getMessage(STREAM.commands, {
      last_by_subj: `cmd.*.acme.demo.append.user:default/jane%2Edoe.${envelope.correlation_id}`,
    }))!;
    expect(stored.json()).toEqual(envelope);
    const headers = Object.fromEntries(stored.header.keys().map((name) => [name, stored.header.get(name)]));
    expect(headers).toMatchObject({
      'Content-Type': 'application/json',
      'Nats-Msg-Id': envelope.correlation_id,
      'Callboard-Priority': 'high',
      ...traced,
    });
    submission.release();
  });

  it('gets its outcome as soon as it is stored', async () => {
    const envelope = testCommand('order');
    const { outcome } = await client.submit(envelope);
    await succeed(envelope, { a: 1 });
    expect(await outcome).toMatchObject({
      outcome_version: '1.0',
      correlation_id: envelope.correlation_id,
      tenant_id: 'acme',
      tool: 'demo',
      method: 'append',
      status: 'succeeded',
      result: { a: 1 },
      attempts: 1,
      written_by: 'runner',
    });
    expect(client.waiting).toBe(0);
  });

  it('has one outcome: the first that is written', async () => {
    const envelope = testCommand('order');
    const { outcome } = await client.submit(envelope);
    expect(await succeed(envelope)).toBe('written');
    expect(await outcomes.publish(envelope, { status: 'failed', attempts: 2 })).toBe('ended');
    expect(await outcome).toMatchObject({ status: 'succeeded' });
    expect(await client.lookup('acme', envelope.correlation_id)).toMatchObject({ status: 'succeeded' });
    expect(await client.lookup('acme', 'c_nobody')).toBeUndefined();
  });

  it('is one command for all who call it the same, and each of them gets its one outcome', async () => {
    const envelope = idempotent({ n: 1 });
    const calls = Promise.all(Array.from({ length: 50 }, () => client.submit({ ...envelope })));
    const submissions = await calls;
    expect(submissions.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(await storedCount(envelope)).toBe(1);
    await succeed(envelope, { n: 1 });
    const results = await Promise.all(submissions.map(({ outcome }) => outcome));
    expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
    const late = await client.submit({ ...envelope, args: { ...envelope.args } });
    expect(late.replayed).toBe(true);
    expect(await late.outcome).toEqual(results[0]);
  });

  it('under a key that was used for something else is a conflict, before and after the first has ended', async () => {
    const envelope = idempotent({ n: 1 });
    const first = await client.submit(envelope);
    const other = idempotent({ n: 2 }, envelope.idempotency_key);
    const conflict = { code: 'idempotency_conflict', details: { correlationId: envelope.correlation_id } };
    await expect(client.submit(other)).rejects.toMatchObject(conflict);
    await expect(
      client.submit({ ...idempotent({ n: 1 }, envelope.idempotency_key), ordering_key: 'other' }),
    ).rejects.toMatchObject(conflict);
    await succeed(envelope);
    await first.outcome;
    await expect(client.submit(other)).rejects.toMatchObject(conflict);
    expect(client.waiting).toBe(0);
  });

  it('is not taken for an earlier one when only its ack was lost', async () => {
    const commands = Array.from({ length: 40 }, (_, n) =>
      n % 2 === 0 ? idempotent({ n }) : testCommand('order', { n }),
    );
    const submissions = commands.map((envelope) => client.submit(envelope));
    // Everything without an ack goes out a second time.
    await nc.reconnect();
    expect((await Promise.all(submissions)).filter(({ replayed }) => replayed)).toEqual([]);
    for (const envelope of commands) expect(await storedCount(envelope)).toBe(1);
  });

  it('that is too large is refused, and nothing waits for it', async () => {
    const envelope = testCommand('order', { text: 'x'.repeat(1024 * 1024) });
    await expect(client.submit(envelope)).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(client.waiting).toBe(0);
  });

  it('whose subject no line of the protocol can hold is refused, and cuts nobody off', async () => {
    const long = '\u6f22'.repeat(256);
    const other = testCommand('order');
    const { outcome } = await client.submit(other);
    await expect(client.submit(testCommand(long, {}, { tenant_id: long }))).rejects.toMatchObject({
      code: 'invalid_request',
    });
    expect(client.waiting).toBe(1);
    const longest = await client.submit(testCommand(long));
    longest.release();
    await succeed(other);
    expect(await outcome).toMatchObject({ status: 'succeeded' });
  });

  it('is unavailable when the server does not answer, and the same call made again finds out', async () => {
    const impatient = await CommandClient.start(nc, { instance: 'impatient', acceptTimeoutMs: 200 });
    const envelope = idempotent();
    nats.freeze();
    try {
      await expect(impatient.submit(envelope)).rejects.toMatchObject({
        code: 'unavailable',
        retryable: true,
        details: { correlationId: envelope.correlation_id },
      });
    } finally {
      nats.thaw();
    }
    const again = await client.submit(envelope);
    expect(await storedCount(envelope)).toBe(1);
    await succeed(envelope);
    expect(await again.outcome).toMatchObject({ status: 'succeeded' });
    impatient.close();
  });
});

describe('who waits for an outcome', () => {
  it('gets it although the server crashed, and although nobody was listening when it was stored', async () => {
    const [waits, missed] = [testCommand('order'), testCommand('order')];
    const [first, second] = [await client.submit(waits), await client.submit(missed)];
    const crashed = nats.crash();
    // Sent while the server is away, and stored before the waiting side is back.
    const written = succeed(missed);
    await crashed;
    await written;
    await succeed(waits);
    expect(await first.outcome).toMatchObject({ status: 'succeeded' });
    expect(await second.outcome).toMatchObject({ status: 'succeeded' });
  });

  it('writes that the deadline has passed when no runner does', async () => {
    const envelope = testCommand('order', {}, { deadline_ms: 50 });
    const { outcome } = await client.submit(envelope);
    expect(await outcome).toMatchObject({
      status: 'deadline_exceeded',
      error: { code: 'deadline_exceeded', correlation_id: envelope.correlation_id },
      written_by: 'front end',
    });
    expect(await succeed(envelope)).toBe('ended');
  });

  it('ends nothing by a deadline of its own that never was accepted', async () => {
    const envelope = idempotent({ n: 1 });
    const first = await client.submit(envelope);
    nats.freeze();
    const conflicting = client.submit(idempotent({ n: 2 }, envelope.idempotency_key, { deadline_ms: 1 }));
    const refused = expect(conflicting).rejects.toMatchObject({ code: 'idempotency_conflict' });
    await new Promise((resolve) => setTimeout(resolve, 900));
    nats.thaw();
    await refused;
    await succeed(envelope);
    expect(await first.outcome).toMatchObject({ status: 'succeeded' });
  });

  it('may stop waiting; the command goes on', async () => {
    const envelope = testCommand('order');
    const submission = await client.submit(envelope);
    submission.release();
    expect(client.waiting).toBe(0);
    expect(await succeed(envelope)).toBe('written');
  });

  it('is told when the front end stops, also who comes too late', async () => {
    const own = await CommandClient.start(nc, { instance: 'stopping' });
    const { outcome } = await own.submit(testCommand('order'));
    own.close();
    await expect(outcome).rejects.toMatchObject({ code: 'unavailable' });
    await expect(own.submit(testCommand('order'))).rejects.toMatchObject({ code: 'unavailable' });
    expect(own.waiting).toBe(0);
  });

  it('is told when what is stored is no outcome, and the others go on waiting', async () => {
    const [broken, sound] = [testCommand('order'), testCommand('order')];
    const submissions = [await client.submit(broken), await client.submit(sound)] as const;
    runner.publish(outcomeSubject('acme', broken.correlation_id), '{"status":"surprising"}');
    await expect(submissions[0].outcome).rejects.toMatchObject({ code: 'internal' });
    await succeed(sound);
    expect(await submissions[1].outcome).toMatchObject({ status: 'succeeded' });
  });
});

describe('progress', () => {
  const fact = (envelope: CommandEnvelope, n: number) =>
    progress.publish(
      envelope,
      { kind: 'progress', correlation_id: envelope.correlation_id, attempt: 1, progress: n },
      n,
    );
  const numberOf = (said: Progress) => (said.kind === 'progress' ? said.progress : said.kind);

  it('is heard once and in order, before the outcome, also by who joins late and over a crash', async () => {
    const envelope = idempotent();
    const [early, late]: unknown[][] = [[], []];
    const first = await client.submit(envelope, { onProgress: (said) => early!.push(numberOf(said)) });
    for (let n = 1; n <= 10; n++) await fact(envelope, n);
    const second = await client.submit(envelope, { onProgress: (said) => late!.push(numberOf(said)) });
    for (let n = 11; n <= 20; n++) await fact(envelope, n);
    const crashed = nats.crash();
    for (let n = 21; n <= 30; n++) await fact(envelope, n);
    await crashed;
    await succeed(envelope);
    await Promise.all([first.outcome, second.outcome]);
    const all = Array.from({ length: 30 }, (_, i) => i + 1);
    expect([early, late]).toEqual([all, all]);
  });

  it('that a listener cannot take, or nobody can read, disturbs neither the others nor the outcome', async () => {
    const [first, second] = [testCommand('order'), testCommand('order')];
    const heard: unknown[] = [];
    const failing = await client.submit(first, {
      onProgress: () => {
        throw new Error('a broken listener');
      },
    });
    const sound = await client.submit(second, { onProgress: (said) => heard.push(numberOf(said)) });
    await fact(first, 1);
    await fact(second, 1);
    await runner.request(progressSubject('acme', second.correlation_id), 'no JSON');
    await fact(second, 2);
    await Promise.all([succeed(first), succeed(second)]);
    expect(await failing.outcome).toMatchObject({ status: 'succeeded' });
    expect(await sound.outcome).toMatchObject({ status: 'succeeded' });
    expect(heard).toEqual([1, 2]);
    expect(nc.stats().inMsgs).toBeGreaterThan(0);
  });
});

describe('a full command stream', () => {
  it('is overload, with a time to come back', async () => {
    const small = await startTestNats({ topology: { partitions: 1, maxBytes: 200_000 } });
    try {
      const own = await CommandClient.start(await small.connect('mcp-frontend'), { instance: 'front end' });
      const large = { text: 'x'.repeat(60_000) };
      const submissions = await Promise.allSettled(
        Array.from({ length: 5 }, () => own.submit(testCommand('order', large))),
      );
      const refused = submissions.filter((submission) => submission.status === 'rejected');
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.length).toBeLessThan(5);
      for (const { reason } of refused)
        expect(reason).toMatchObject({ code: 'overloaded', retryable: true, details: { retryAfterMs: 5_000 } });
      await waitFor(() => own.waiting === submissions.length - refused.length, { what: 'only the accepted waiting' });
      own.close();
    } finally {
      await small.dispose();
    }
  });
});
