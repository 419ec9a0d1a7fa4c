import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BACKSTAGE, describeWith, isAlive, startStack, waitFor, type TestStack } from '@callboard/testing';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { callboard, callboardWith, connect } from './spec-callboard.js';

const WAIT = { timeoutMs: 60_000 };
const EMAIL = 'ada.curtain@theatre.example';
const ERAS = ['2026-07-28', 'legacy'] as const;

/** An AI client that is subscribed to a topic, and what it has read of it. */
class Subscriber {
  readonly #client: Client;
  #told = 0;

  private constructor(era: (typeof ERAS)[number]) {
    const mode = era === 'legacy' ? era : { pin: era };
    this.#client = new Client({ name: 'spec', version: '1.0.0' }, { versionNegotiation: { mode } });
    this.#client.setNotificationHandler('notifications/resources/updated', () => void (this.#told += 1));
  }

  static async to(uri: string, era: (typeof ERAS)[number], url: string): Promise<Subscriber> {
    const subscriber = new Subscriber(era);
    await subscriber.#client.connect(new StreamableHTTPClientTransport(new URL(url)));
    if (era === 'legacy') await subscriber.#client.subscribeResource({ uri });
    else await subscriber.#client.listen({ resourceSubscriptions: [uri] });
    return subscriber;
  }

  get told(): number {
    return this.#told;
  }

  async read(
    uri: string,
  ): Promise<{ topic: string; key: string; event: { id: string; data: Record<string, unknown> } }[]> {
    const { contents } = await this.#client.readResource({ uri });
    return (JSON.parse((contents[0] as { text: string }).text) as { events: [] }).events;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

describeWith([BACKSTAGE], 'callboard up --backstage', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startStack({ args: ['--backstage'], readyWithinMs: 240_000 });
  }, 300_000);
  afterAll(() => stack?.stop(), 90_000);

  const post = async (topic: string, payload: object, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${stack.ready.backstage_url}/api/events/http/${topic}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(payload),
    });
    await answer.arrayBuffer();
    expect(answer.status).toBe(202);
  };

  it.each([
    ['the plug-in', 'backstage', 'github'],
    ['the events bus', 'backstage-bus', 'scenery'],
  ])(
    'brings an event of its HTTP ingress to a subscribed client of each era, redacted, through %s',
    async (_, source, topic) => {
      const uri = `event://${source}/${topic}`;
      const subscribers = await Promise.all(ERAS.map((era) => Subscriber.to(uri, era, stack.ready.mcp_url)));
      try {
        await post(topic, { repository: { full_name: 'theatre/ticket-desk' }, pusher: { email: EMAIL } });
        for (const subscriber of subscribers) {
          await waitFor(() => subscriber.told > 0, { what: 'word of the event', ...WAIT });
          const [read] = await subscriber.read(uri);
          expect(read).toMatchObject({
            topic,
            key: 'theatre/ticket-desk',
            event: { data: { pusher: expect.anything() } },
          });
          expect(JSON.stringify(read)).not.toContain(EMAIL);
        }
      } finally {
        await Promise.all(subscribers.map((subscriber) => subscriber.close()));
      }
    },
  );

  it("offers its catalog's actions and entities, and reaches its users", async () => {
    const client = await connect(stack.ready.mcp_url, stack.ready.token);
    try {
      const get = { name: 'backstage.catalog.get-catalog-entity', arguments: { kind: 'User', name: 'ada' } };
      const found = async () => (await client.callTool(get)).structuredContent as { spec?: object };
      const ada = await waitFor(async () => (await found()).spec, { what: 'the catalog of Backstage', ...WAIT });
      expect(ada).toMatchObject({ memberOf: ['stagehands'] });
      const { contents } = await client.readResource({ uri: 'catalog://user/default/ada' });
      expect(JSON.parse((contents[0] as { text: string }).text)).toMatchObject({ spec: ada });

      const recipients = { type: 'entity', entityRef: 'group:default/stagehands' };
      await client.callTool({ name: 'notifications.send', arguments: { title: 'Places, please.', recipients } });
      const shownTo = async (user: string) => {
        const answer = await fetch(`${stack.ready.backstage_url}/api/notifications/notifications`, {
          headers: { authorization: `Bearer ${stack.ready.backstage_users![user]}` },
        });
        return ((await answer.json()) as { notifications: { payload: object }[] }).notifications;
      };
      expect(await shownTo('user:default/ada')).toMatchObject([{ payload: { title: 'Places, please.' } }]);
      expect(await shownTo('user:default/ben')).toEqual([]);
    } finally {
      await client.close();
    }
  });

  it('is found by the doctor, and so is a token that it does not take', async () => {
    const adapters = join(stack.dataDir, 'doctor.yaml');
    const site = { url: stack.ready.backstage_url, plugins: ['catalog'] };
    const sites = [
      { ...site, name: 'right', token: '${RIGHT}' },
      { ...site, name: 'wrong', token: '${WRONG}' },
    ];
    await writeFile(adapters, JSON.stringify({ backstages: sites }));
    const RIGHT = stack.ready.backstage_users!['user:default/ada'];
    const env = { CALLBOARD_ADAPTERS: adapters, RIGHT, WRONG: 'not-a-token' };
    const { stdout } = await callboardWith(env, 'doctor', '--json', '--data-dir', stack.dataDir);
    const { findings } = JSON.parse(stdout) as { findings: { check: string }[] };
    expect(findings.find(({ check }) => check === 'Backstage right')).toMatchObject({ status: 'ok' });
    expect(findings.find(({ check }) => check === 'Backstage wrong')).toMatchObject({
      code: 'backstage_unauthorized',
      status: 'failed',
      fix: expect.stringContaining('externalAccess'),
    });
    expect(stdout).not.toContain('not-a-token');
  });

  it('starts a killed Backstage again where it was, and tells the gap that its bus has', async () => {
    const reader = await Subscriber.to('event://backstage-bus', '2026-07-28', stack.ready.mcp_url);
    try {
      const [pid] = stack.ready.processes['backstage']!;
      process.kill(pid!, 'SIGKILL');
      const again = await waitFor(
        async () => {
          const ready = await stack.readReady();
          return ready.processes['backstage']![0] !== pid && ready;
        },
        { what: 'another Backstage', timeoutMs: 120_000 },
      );
      expect(isAlive(again.processes['backstage']![0]!)).toBe(true);
      expect(again.backstage_url).toBe(stack.ready.backstage_url);
      const gaps = async () =>
        (await reader.read('event://backstage-bus')).filter(({ topic }) => topic === 'io.callboard.gap');
      const [gap] = await waitFor(async () => (await gaps()).length > 0 && gaps(), { what: 'the gap', ...WAIT });
      expect(gap!.event.data).toMatchObject({ reason: 'subscription_lost', topics: ['scenery'] });
      expect(Date.parse(gap!.event.data['until'] as string)).toBeGreaterThan(
        Date.parse(gap!.event.data['since'] as string),
      );
      await post('scenery', { n: 2 });
      await waitFor(async () => (await reader.read('event://backstage-bus/scenery')).length > 1, {
        what: 'the events of the new Backstage',
        ...WAIT,
      });
      await post('github', { n: 3 });
    } finally {
      await reader.close();
    }
  }, 240_000);
});

describeWith([BACKSTAGE], 'callboard demo --backstage', () => {
  it('plays an incident from Backstage to an AI client and back to the team that it concerns', async () => {
    const { code, stdout, stderr } = await callboard('demo', '--backstage');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/received .*\[PERSON:\w+\].*\[EMAIL:\w+\].*\[PHONE:\w+\]/);
    expect(stdout).toMatch(/owned by +group:default\/stagehands/);
    expect(stdout).toMatch(/high +ticket-desk: payments fail/);
  }, 240_000);
});
