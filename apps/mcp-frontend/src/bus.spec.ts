import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerSpec } from '@callboard/access';
import { ActionSet, Announcer, Catalog, defineAction, definePrompt, type ActionDefinition } from '@callboard/actions';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import type { ServerEvent } from '@modelcontextprotocol/server';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { McpServer } from './mcp-server.js';
import { EventBus } from './bus.js';

const fail = (error: unknown) => {
  throw error;
};

let nats: TestNats;
beforeAll(async () => {
  nats = await startTestNats();
});
afterAll(() => nats.dispose());

/** Policies that stay as they are. */
const UNCHANGED = { onChange: () => () => undefined };

/** One replica of the front end, as far as events go. */
async function replica() {
  const nc: NatsConnection = await nats.connect('mcp-frontend');
  const catalog = new Catalog(await KeyValueStore.open(nc, BUCKET.actions), fail);
  const bus = new EventBus(nc, new McpServer(new ServerSpec(''), catalog), UNCHANGED, fail);
  const heard: ServerEvent[] = [];
  bus.subscribe((event) => heard.push(event));
  await catalog.start();
  await nc.flush();
  const stop = async () => {
    bus.close();
    catalog.stop();
    await nc.close();
  };
  return { bus, heard, stop };
}

const tool = (id: string): ActionDefinition =>
  defineAction({ id, description: 'A tool', input: z.object({}), run: () => 'done' });
const prompt = definePrompt({ name: 'hello', description: 'A prompt', run: () => ({ messages: [] }) });

describe('EventBus', () => {
  it('a resource that changed is heard of once on every replica, the one that tells it too', async () => {
    const [a, b] = [await replica(), await replica()];
    a.bus.publish({ kind: 'resource_updated', uri: 'note://1' });
    await waitFor(() => a.heard.length > 0 && b.heard.length > 0, { what: 'the event' });
    expect([a.heard, b.heard]).toEqual([
      [{ kind: 'resource_updated', uri: 'note://1' }],
      [{ kind: 'resource_updated', uri: 'note://1' }],
    ]);
    await Promise.all([a.stop(), b.stop()]);
  });

  it('every replica hears of exactly the lists that changed', async () => {
    const [a, b] = [await replica(), await replica()];
    const nc = await nats.connect('action-runner');
    const set = new ActionSet([tool('demo.one')]);
    const store = await KeyValueStore.open(nc, BUCKET.actions);
    const announcer = new Announcer(store, set, { service: 'spec', instance: 'spec-1' }, fail);
    const hear = async (count: number) => {
      await waitFor(() => a.heard.length >= count && b.heard.length >= count, { what: `${count} events` });
      expect(a.heard).toEqual(b.heard);
      return a.heard.map(({ kind }) => kind);
    };
    await announcer.start();
    expect(await hear(1)).toEqual(['tools_list_changed']);
    set.add(prompt);
    expect(await hear(2)).toEqual(['tools_list_changed', 'prompts_list_changed']);
    await announcer.stop();
    expect(await hear(4)).toEqual([
      'tools_list_changed',
      'prompts_list_changed',
      'tools_list_changed',
      'prompts_list_changed',
    ]);
    await Promise.all([a.stop(), b.stop(), nc.close()]);
  });

  it('a listener that fails does not keep others from hearing', async () => {
    const errors: unknown[] = [];
    const nc = await nats.connect('mcp-frontend');
    const bus = new EventBus(nc, { onChange: () => () => undefined, tells: () => true }, UNCHANGED, (error) =>
      errors.push(error),
    );
    const heard: ServerEvent[] = [];
    bus.subscribe(() => {
      throw new Error('not today');
    });
    const unsubscribe = bus.subscribe((event) => heard.push(event));
    bus.publish({ kind: 'tools_list_changed' });
    unsubscribe();
    bus.publish({ kind: 'tools_list_changed' });
    expect([heard.length, errors.length]).toEqual([1, 2]);
    bus.close();
    await nc.close();
  });
});
