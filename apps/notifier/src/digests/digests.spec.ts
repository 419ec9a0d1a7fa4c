/** What exceeds a budget, delivered as one notification when the budget has room again. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { BACKSTAGE, describeWith, startBackstage, waitFor, type TestBackstage } from '@callboard/testing';
import {
  ADA,
  BEN,
  connectSender,
  shownTo,
  startNotifierStack,
  to,
  type NotifierStack,
  type SpecSender,
} from '../spec-notifications.js';

describeWith([BACKSTAGE], 'what exceeds a budget that digests', () => {
  let backstage: TestBackstage;
  let running: NotifierStack;
  let sender: SpecSender;
  beforeAll(async () => {
    backstage = await startBackstage();
    const budgets = [{ level: 'recipient', max: 1, per: '15s', exceeded: 'digest' }];
    running = await startNotifierStack(backstage, { file: { budgets }, notifiers: 3 });
    sender = await connectSender(running.stack);
  }, 240_000);
  afterAll(async () => {
    await sender?.close();
    await running?.stop();
    await backstage?.dispose();
  });

  const titles = async (user: string) =>
    (await shownTo(backstage, user, '&topic=digest')).map(({ payload }) => payload);

  it('is one notification for the same recipients, once, though every notifier was killed meanwhile', async () => {
    const send = (title: string, severity: string, ...users: string[]) =>
      sender.send({ title, severity, topic: 'digest', recipients: to(...users) });
    expect((await send('first', 'low', ADA)).structuredContent).toMatchObject({ status: 'sent' });
    const kept = await send('second', 'high', ADA);
    expect(kept.structuredContent).toMatchObject({ status: 'digested', budget: 'recipient-per-15s' });
    await Promise.all(['third', 'fourth', 'fifth'].map((title) => send(title, 'normal', ADA)));
    expect((await send('for Ben', 'normal', BEN)).structuredContent).toMatchObject({ status: 'sent' });
    expect(await titles(ADA)).toHaveLength(1);
    for (const pid of (await running.stack.readReady()).processes['notifier']!) process.kill(pid, 'SIGKILL');

    const digest = await waitFor(
      async () => (await titles(ADA)).find(({ title }) => title.startsWith('4 notifications')),
      {
        what: 'the digest',
      },
    );
    expect(digest.severity).toBe('high');
    expect(digest.description!.split('\n').sort()).toEqual(
      ['fifth', 'fourth', 'second', 'third'].map((title) => `- ${title} (${title === 'second' ? 'high' : 'normal'})`),
    );
    // The digest was taken from the budget too: what comes now waits for the next.
    const next = await send('sixth', 'normal', ADA);
    expect(next.structuredContent).toMatchObject({ status: 'digested' });
    await waitFor(async () => (await titles(ADA)).some(({ title }) => title.startsWith('1 notification')), {
      what: 'the next digest',
    });
    expect(await titles(ADA)).toHaveLength(3);
    expect(await titles(BEN)).toHaveLength(1);
  });
});
