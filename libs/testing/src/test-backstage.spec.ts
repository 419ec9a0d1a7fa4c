import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BACKSTAGE, describeWith, startBackstage, type TestBackstage } from '@callboard/testing';

describeWith([BACKSTAGE], 'the Backstage of the tests', () => {
  let backstage: TestBackstage;
  beforeAll(async () => {
    backstage = await startBackstage();
  });
  afterAll(() => backstage?.dispose());

  const get = (path: string, token: string) =>
    fetch(`${backstage.url}/api/${path}`, { headers: { authorization: `Bearer ${token}` } });

  const subscribe = async (id: string, topics: string[]) => {
    const answer = await fetch(`${backstage.url}/api/events/bus/v1/subscriptions/${id}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${backstage.tokens.events}`, 'content-type': 'application/json' },
      body: JSON.stringify({ topics }),
    });
    expect(answer.status).toBe(201);
  };

  test('what is posted to the HTTP ingress, or published by another process, is on the events bus', async () => {
    await subscribe('spec', ['github', 'scenery']);
    expect(await backstage.post('github', { act: 1 })).toBe(202);
    expect(await backstage.publish('scenery', { act: 2 })).toBe(201);
    const answer = await get('events/bus/v1/subscriptions/spec/events', backstage.tokens.events);
    expect(await answer.json()).toEqual({
      events: [
        { topic: 'github', payload: { act: 1 } },
        { topic: 'scenery', payload: { act: 2 } },
      ],
    });
  });

  test('a token reaches its own plug-in and no other', async () => {
    const entities = 'catalog/entities?fields=kind,metadata.name';
    expect((await get(entities, backstage.tokens.events)).status).toBe(403);
    expect((await get(entities, 'not a token')).status).toBe(401);
    const answer = await get(entities, backstage.tokens.catalog);
    expect(answer.status).toBe(200);
  });

  test('a killed one comes back at its address, and has forgotten the subscriptions of its bus', async () => {
    await subscribe('forgotten', ['github']);
    await backstage.kill();
    await backstage.start();
    const answer = await get('events/bus/v1/subscriptions/forgotten/events', backstage.tokens.events);
    expect(answer.status).toBe(404);
  });
});
