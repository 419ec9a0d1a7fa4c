/** Budgets of notifications: exact, whoever takes from them and whoever dies. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { BACKSTAGE, describeWith, startBackstage, waitFor, type TestBackstage } from '@callboard/testing';
import {
  ADA,
  BEN,
  connectSender,
  errorOf,
  shownTo,
  startNotifierStack,
  to,
  type NotifierStack,
  type SpecSender,
} from './spec-notifications.js';

describeWith([BACKSTAGE], 'a budget of notifications', () => {
  let backstage: TestBackstage;
  let running: NotifierStack;
  let senders: SpecSender[] = [];
  beforeAll(async () => {
    backstage = await startBackstage();
  }, 240_000);
  afterAll(async () => {
    await Promise.all(senders.map((sender) => sender.close()));
    await running?.stop();
    await backstage?.dispose();
  });

  const begin = async (file: object, options: { notifiers?: number; clients?: number; token?: string } = {}) => {
    await Promise.all(senders.map((sender) => sender.close()));
    await running?.stop();
    running = await startNotifierStack(backstage, { file, ...options });
    senders = await Promise.all(Array.from({ length: options.clients ?? 1 }, () => connectSender(running.stack)));
    return senders[0]!;
  };
  const topicOf = async (user: string, topic: string) =>
    (await shownTo(backstage, user, `&topic=${topic}`)).map(({ payload }) => payload.title);
  const kill = async (app: string) => {
    const pids = (await running.stack.readReady()).processes[app]!;
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await waitFor(
      async () => {
        const now = (await running.stack.readReady()).processes[app]!;
        return now.length === pids.length && now.every((pid) => !pids.includes(pid));
      },
      { what: `another ${app}` },
    );
  };

  it('of a hundred lets exactly a hundred of twenty clients through, over three notifiers', async () => {
    await begin({ budgets: [{ level: 'tenant', max: 100, per: '1h' }] }, { notifiers: 3, clients: 20 });
    const results = await Promise.all(
      senders.flatMap((sender, c) =>
        Array.from({ length: 8 }, (_, n) => sender.send({ title: `${c}-${n}`, topic: 'hundred', recipients: to(ADA) })),
      ),
    );
    const refused = results.filter(({ isError }) => isError).map(errorOf);
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['rate_limited']));
    expect(results.length - refused.length).toBe(100);
    expect(await topicOf(ADA, 'hundred')).toHaveLength(100);
  });

  it('that has no room says which one, and when to come again, and is asked no second time', async () => {
    const sender = await begin({
      budgets: [
        { level: 'client', max: 3, per: '1h' },
        { level: 'recipient', max: 1, per: '2h', name: 'one-each' },
        { level: 'client', max: 1, per: '1d', severity: ['critical'] },
      ],
    });
    const send = (user: string, severity = 'normal') =>
      sender.send({ title: 'Counted', topic: 'levels', severity, recipients: to(user) });
    expect((await send(ADA)).isError).toBeFalsy();
    const again = errorOf(await send(ADA));
    expect(again).toMatchObject({ code: 'rate_limited', retryable: true });
    expect(again.message).toContain('one-each');
    expect(again.retry_after_ms).toBeGreaterThan(3_600_000);
    // Nothing was taken from the others: the client has two left.
    expect((await send(BEN, 'critical')).isError).toBeFalsy();
    expect(errorOf(await send('user:default/cleo', 'critical')).message).toContain('client-critical-per-1d');
    expect((await send('user:default/cleo')).isError).toBeFalsy();
    expect(errorOf(await send('user:default/dora')).message).toContain('client-per-1h');
  });

  it('is taken from once by a call that is made again', async () => {
    const sender = await begin({ budgets: [{ level: 'client', max: 2, per: '1h' }] });
    const key = { 'io.callboard/idempotency_key': randomUUID(), 'io.callboard/ordering_key': 'again' };
    const args = { title: 'Again', recipients: to(ADA) };
    await sender.send(args, key);
    await sender.send(args, key);
    expect((await sender.send({ title: 'Second', recipients: to(ADA) })).isError).toBeFalsy();
    expect(errorOf(await sender.send({ title: 'Third', recipients: to(ADA) })).code).toBe('rate_limited');
  });

  it('has back what was taken for a notification that Backstage refused', async () => {
    const sender = await begin({ budgets: [{ level: 'client', max: 1, per: '1h' }] }, { token: 'of-nobody' });
    for (let n = 0; n < 3; n++) {
      const refused = errorOf(await sender.send({ title: 'Refused', recipients: to(ADA) }));
      expect(refused).toMatchObject({ code: 'unauthorized', retryable: false });
      expect(refused.message).toMatch(/^Backstage refused the notification: HTTP 401/);
    }
  });

  it('survives the death of every notifier and of nats-server', async () => {
    const sender = await begin({ budgets: [{ level: 'client', max: 4, per: '1h' }] }, { notifiers: 2 });
    const send = () => sender.send({ title: 'Survivor', topic: 'survivors', recipients: to(ADA, BEN) });
    await Promise.all([send(), send()]);
    await kill('notifier');
    expect((await send()).isError).toBeFalsy();
    await kill('nats-server');
    const results = await Promise.all([send(), send(), send()]);
    expect(results.filter(({ isError }) => isError).map((result) => errorOf(result).code)).toEqual([
      'rate_limited',
      'rate_limited',
    ]);
    expect(await topicOf(BEN, 'survivors')).toHaveLength(4);
  });

  it('caps the severity of a client', async () => {
    const sender = await begin({ severity: { clients: { 'user:local/operator': 'normal' } } });
    const loud = await sender.send({ title: 'Loud', severity: 'high', recipients: to(ADA) });
    expect(errorOf(loud)).toMatchObject({ code: 'forbidden' });
    expect((await sender.send({ title: 'Quiet', recipients: to(ADA) })).isError).toBeFalsy();
  });

  it('of broadcasts is its own, and each is approved by the human at the client that sends it', async () => {
    await begin({
      broadcast: { allow: true },
      budgets: [{ level: 'tenant', max: 1, per: '1h', broadcast: true }],
    });
    const broadcast = { title: 'House lights', topic: 'everybody', recipients: { type: 'broadcast' } };
    // A client without a human to ask.
    expect(errorOf(await senders[0]!.send(broadcast)).code).toBe('input_unavailable');
    const says = { action: 'decline' } as { action: 'accept' | 'decline'; content?: Record<string, boolean> };
    const asked = await connectSender(running.stack, () => says);
    senders.push(asked);
    expect((await asked.send(broadcast)).structuredContent).toEqual({ status: 'not_approved' });
    expect(await topicOf(ADA, 'everybody')).toEqual([]);
    Object.assign(says, { action: 'accept', content: { approve: true } });
    expect((await asked.send(broadcast)).structuredContent).toMatchObject({ status: 'sent', delivered: 1 });
    expect(await topicOf(ADA, 'everybody')).toEqual(['House lights']);
    expect(await topicOf(BEN, 'everybody')).toEqual(['House lights']);
    expect(errorOf(await asked.send(broadcast)).code).toBe('rate_limited');
    expect((await asked.send({ title: 'To one', recipients: to(ADA) })).isError).toBeFalsy();
  });
});
