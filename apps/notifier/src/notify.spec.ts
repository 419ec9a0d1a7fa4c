/** Notifications of AI clients at a real Backstage: sent with MCP, seen by a user with the user's own token. */
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

/** Nobody's: by the form of GitHub's tokens, put together so that no scanner takes it for one. */
const SECRET = ['ghp', 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'].join('_');

describeWith([BACKSTAGE], 'a notification', () => {
  let backstage: TestBackstage;
  let running: NotifierStack;
  let sender: SpecSender;
  beforeAll(async () => {
    backstage = await startBackstage();
    running = await startNotifierStack(backstage, { file: { budgets: [] } });
    sender = await connectSender(running.stack);
  }, 240_000);
  afterAll(async () => {
    await sender?.close();
    await running?.stop();
    await backstage?.dispose();
  });

  const titled = async (user: string, title: string) =>
    (await shownTo(backstage, user)).filter(({ payload }) => payload.title === title);

  it('arrives with all that it says, and is pushed to the browser of its recipient and of nobody else', async () => {
    const [ada, ben] = [await backstage.signals(ADA, 'notifications'), await backstage.signals(BEN, 'notifications')];
    const result = await sender.send({
      title: 'The curtain is stuck',
      description: 'It hangs at half height.',
      link: '/catalog/default/component/light-board',
      severity: 'high',
      topic: 'stage',
      scope: 'curtain',
      icon: 'warning',
      metadata: { act: 2 },
      recipients: to(ADA),
    });
    expect(result.structuredContent).toEqual({
      status: 'sent',
      delivered: 1,
      scope: 'default/user:local/operator/curtain',
      redacted: {},
    });
    const [shown] = await titled(ADA, 'The curtain is stuck');
    expect(shown).toMatchObject({
      user: ADA,
      origin: 'callboard-notifier',
      payload: {
        title: 'The curtain is stuck',
        description: 'It hangs at half height.',
        link: '/catalog/default/component/light-board',
        severity: 'high',
        topic: 'stage',
        scope: 'default/user:local/operator/curtain',
        icon: 'warning',
      },
    });
    expect(await titled(BEN, 'The curtain is stuck')).toEqual([]);
    await waitFor(() => ada.messages.length > 0, { what: 'the signal' });
    expect(ada.messages).toEqual([{ action: 'new_notification', notification_id: shown!.id }]);
    expect(ben.messages).toEqual([]);
    ada.close();
    ben.close();
  });

  it('reaches the members of a group and the owners of an entity, whoever is excluded left out', async () => {
    await sender.send({ title: 'To a group', recipients: to('group:stagehands') });
    await sender.send({ title: 'To owners', recipients: to('Component:light-board') });
    const all = { ...to('group:default/stagehands', 'group:default/lighting'), excludeEntityRef: 'user:default/ben' };
    await sender.send({ title: 'To all but Ben', recipients: all });
    const titles = async (user: string) => (await shownTo(backstage, user)).map(({ payload }) => payload.title);
    expect(await titles(ADA)).toEqual(expect.arrayContaining(['To a group', 'To all but Ben']));
    expect(await titles(BEN)).toEqual(expect.arrayContaining(['To owners']));
    expect(await titles(BEN)).not.toContain('To all but Ben');
  });

  it('is found by its user however its ref was written', async () => {
    await sender.send({ title: 'To Ada, written loosely', recipients: to('User:Ada') });
    expect(await titled(ADA, 'To Ada, written loosely')).toHaveLength(1);
  });

  it('that is sent again under its idempotency key is there once, also when the command itself is run again', async () => {
    const args = { title: 'Once', recipients: to(ADA, BEN) };
    const key = { 'io.callboard/idempotency_key': 'once', 'io.callboard/ordering_key': 'once' };
    const [first, again] = [await sender.send(args, key), await sender.send(args, key)];
    expect(again.structuredContent).toEqual(first.structuredContent);
    const [shown] = await titled(ADA, 'Once');
    // What a notifier that had died after its request would do.
    const { scope } = first.structuredContent as { scope: string };
    for (const title of ['Once', 'Once, corrected']) {
      const answer = await fetch(`${backstage.url}/api/notifications/notifications`, {
        method: 'POST',
        headers: { authorization: `Bearer ${backstage.tokens.notifications}`, 'content-type': 'application/json' },
        body: JSON.stringify({ recipients: { type: 'entity', entityRef: [ADA, BEN] }, payload: { title, scope } }),
      });
      expect(answer.status).toBe(200);
    }
    expect(await titled(ADA, 'Once')).toEqual([]);
    const [updated] = await titled(ADA, 'Once, corrected');
    expect(updated).toMatchObject({ id: shown!.id, updated: expect.anything() });
    expect(await titled(BEN, 'Once, corrected')).toHaveLength(1);
  });

  it.each([
    ['a title of 256 characters', { title: 'x'.repeat(256) }],
    ['no title', { title: '' }],
    ['a link that is no page', { link: 'javascript:alert(1)' }],
    ['a link that is a file', { link: 'file:///etc/passwd' }],
    ['an unknown severity', { severity: 'loud' }],
    ['a topic of 256 characters', { topic: 'x'.repeat(256) }],
    ['a scope that is too long with its sender', { scope: 'x'.repeat(250) }],
    ['a recipient that is no entity', { recipients: to('ada') }],
    ['too many recipients', { recipients: to(...Array.from({ length: 51 }, (_, i) => `user:default/u${i}`)) }],
    ['no recipients', { recipients: { type: 'nobody' } }],
  ])('with %s is refused before Backstage hears of it', async (_, wrong) => {
    const result = await sender.send({ title: 'Wrong', recipients: to(ADA), ...wrong });
    expect(errorOf(result)).toMatchObject({ code: 'invalid_arguments', retryable: false });
  });

  it('as large as can be is taken by Backstage; a larger one is refused before', async () => {
    const description = 'ab '.repeat(16_000);
    const sized = (length: number) => ({ title: 'Large', description, metadata: { notes: 'no '.repeat(length) } });
    const taken = await sender.send({ ...sized(17_000), recipients: to(ADA) });
    expect(taken.isError).toBeFalsy();
    const refused = await sender.send({ ...sized(18_000), recipients: to(ADA) });
    expect(errorOf(refused)).toMatchObject({ code: 'payload_too_large' });
  });

  it('leaves without credentials, wherever they stand, and says how many were cut', async () => {
    const result = await sender.send({
      title: `Rotate ${SECRET}`,
      description: `Ask ada.curtain@theatre.example.\npassword: correct-horse-9battery`,
      link: `https://ci.example/build?access_token=${SECRET}`,
      metadata: { api_key: 'zzz-not-for-people', act: 3 },
      recipients: to(ADA),
    });
    expect(result.structuredContent).toMatchObject({ redacted: { SECRET: 4 } });
    const text = JSON.stringify(await shownTo(backstage, ADA));
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain('correct-horse');
    expect(text).toContain('Rotate [SECRET]');
    expect(text).toContain('ada.curtain@theatre.example');
  });

  it('whose topic or recipient is a credential is refused: cut, it would be another', async () => {
    const result = await sender.send({ title: 'Topic', topic: SECRET, recipients: to(ADA) });
    expect(errorOf(result)).toMatchObject({ code: 'secret_refused' });
    for (const recipients of [
      to(`user:default/${SECRET}`),
      { ...to(ADA), excludeEntityRef: `user:default/${SECRET}` },
    ]) {
      const named = await sender.send({ title: 'Recipient', recipients });
      expect(errorOf(named)).toMatchObject({ code: 'secret_refused' });
    }
    expect(JSON.stringify(result)).not.toContain(SECRET);
  });

  it('to everybody is not allowed unless the policy says so', async () => {
    const result = await sender.send({ title: 'To all', recipients: { type: 'broadcast' } });
    expect(errorOf(result)).toMatchObject({ code: 'forbidden', retryable: false });
  });
});
