import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { ActionSet } from './action-set.js';
import { defineAction } from './define-action.js';
import { Announcer, Catalog, type CatalogView } from './registry.js';

let nats: TestNats;
let catalog: Catalog;
let writer: KeyValueStore;
let announcers: Announcer[];
let errors: unknown[];
/** Every change that was told, as the ids of then. */
let changes: string[][];

const action = (id: string, description = '') =>
  defineAction({ id, description, input: { type: 'object' }, run: () => '' });
const idsOf = ({ actions }: CatalogView) => [...actions.keys()];

beforeEach(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  writer = await KeyValueStore.open(await nats.connect('action-runner'), BUCKET.actions);
  errors = [];
  changes = [];
  announcers = [];
  const reader = await KeyValueStore.open(await nats.connect('mcp-frontend'), BUCKET.actions);
  catalog = new Catalog(reader, (error) => errors.push(error));
  catalog.onChange((view) => changes.push(idsOf(view)));
  await catalog.start();
});
afterEach(async () => {
  catalog.stop();
  await Promise.all(announcers.map((announcer) => announcer.stop().catch(() => undefined)));
  await nats.dispose();
});

async function announce(service: string, instance: string, actions: ActionSet): Promise<Announcer> {
  const announcer = new Announcer(writer, actions, { service, instance }, (error) => errors.push(error));
  announcers.push(announcer);
  await announcer.start();
  return announcer;
}

const listed = (...ids: string[]) =>
  waitFor(() => idsOf(catalog.view).join() === ids.join(), { what: `exactly ${ids.join(', ') || 'nothing'} listed` });

describe('the registry', () => {
  it('lists actions from when a service announces them until it takes them back', async () => {
    const announcer = await announce('git', 'git-1', new ActionSet([action('git.push'), action('git.clone')]));
    await listed('git.clone', 'git.push');
    expect(catalog.get('git.clone')).toMatchObject({ id: 'git.clone', service: 'git', instances: 1 });
    const { version } = catalog.view;
    expect(version).toMatch(/^[0-9a-f]{16}$/);
    await announcer.stop();
    await listed();
    expect(catalog.view.version).not.toBe(version);
    expect(changes).toEqual([['git.clone', 'git.push'], []]);
  });

  it('may lack actions while nobody announces any, and for some seconds after the last instance of a service has gone', async () => {
    expect(catalog.mayLack).toBe(true);
    const git = await announce('git', 'git-1', new ActionSet([action('git.push')]));
    const first = await announce('ci', 'ci-1', new ActionSet([action('ci.run')]));
    await announce('ci', 'ci-2', new ActionSet([action('ci.run')]));
    await listed('ci.run', 'git.push');
    await first.stop();
    await waitFor(() => catalog.get('ci.run')?.instances === 1, { what: 'one instance less' });
    expect(catalog.mayLack).toBe(false);
    await git.stop();
    await listed('ci.run');
    expect(catalog.mayLack).toBe(true);
    await waitFor(() => !catalog.mayLack, { what: 'the certainty that it has gone' });
  });

  it('follows a set that changes while its service runs', async () => {
    const set = new ActionSet([action('git.clone')]);
    await announce('git', 'git.1 of host.example.com', set);
    await listed('git.clone');
    set.add(action('git.pull'));
    await listed('git.clone', 'git.pull');
    set.remove('git.clone');
    await listed('git.pull');
    set.remove('git.pull');
    set.add(action('git.pull', 'another description'));
    await waitFor(() => catalog.get('git.pull')?.description, { what: 'the new description' });
  });

  it('tells of changes and of nothing else: not of another instance of the same, and not of heartbeats', async () => {
    const one = await announce('git', 'git-1', new ActionSet([action('git.clone')]));
    await listed('git.clone');
    await announce('git', 'git-2', new ActionSet([action('git.clone')]));
    await waitFor(() => catalog.get('git.clone')?.instances === 2, { what: 'the second instance' });
    await one.stop();
    await waitFor(() => catalog.get('git.clone')?.instances === 1, { what: 'the first gone' });
    expect(changes).toEqual([['git.clone']]);
  });

  it('settles a name that two services claim in the same way on every replica, and gives it on', async () => {
    await announce('zeta', 'z-1', new ActionSet([action('git.clone', 'of zeta')]));
    await listed('git.clone');
    const alpha = await announce('alpha', 'a-1', new ActionSet([action('git.clone', 'of alpha')]));
    await waitFor(() => catalog.get('git.clone')?.service === 'alpha', { what: 'the first by name' });
    expect(catalog.get('git.clone')).toMatchObject({ description: 'of alpha', instances: 1 });
    await alpha.stop();
    await waitFor(() => catalog.get('git.clone')?.service === 'zeta', { what: 'the other one' });
  });

  describe('with records that were put by hand', () => {
    const descriptors = Buffer.from(JSON.stringify([action('git.clone').descriptor]));
    const beat = (instance: string, digest: string, ttlMs = 60_000) =>
      writer.put(`services.git.${instance}`, Buffer.from(JSON.stringify({ service: 'git', catalog: digest })), {
        ttlMs,
      });

    it('forgets an instance that no longer beats', async () => {
      await writer.put('catalogs.abc', descriptors, { ttlMs: 60_000 });
      await beat('git-1', 'abc', 1_000);
      await listed('git.clone');
      await listed();
    });

    it('reads a catalog that could not be read at first at the next beat', async () => {
      await beat('git-1', 'abc');
      await beat('git-2', 'other');
      await listed();
      await writer.put('catalogs.abc', descriptors, { ttlMs: 60_000 });
      await beat('git-1', 'abc');
      await listed('git.clone');
    });

    it('is not held up by what nobody can read', async () => {
      await writer.put('services.git.broken', Buffer.from('{'));
      await writer.put('services.git.odd', Buffer.from('null'));
      await writer.put('catalogs.broken', Buffer.from('{'));
      await beat('git-3', 'broken');
      await announce('git', 'git-1', new ActionSet([action('git.clone')]));
      await listed('git.clone');
      expect(errors.length).toBeGreaterThanOrEqual(3);
    });
  });

  describe('of processes that are not ours', () => {
    const remote = (id: string, more: object = {}) => ({
      id,
      description: 'of a far side',
      input_schema: { type: 'object' },
      binding: { kind: 'nats', subject: 'svc.git' },
      ...more,
    });
    let service: KeyValueStore;
    beforeEach(async () => {
      service = await KeyValueStore.open(await nats.connect('service'), BUCKET.actions);
    });

    async function announceRemote(instance: string, ...descriptors: unknown[]): Promise<void> {
      await service.put(`remote.catalogs.${instance}`, Buffer.from(JSON.stringify(descriptors)), { ttlMs: 60_000 });
      const beat = Buffer.from(JSON.stringify({ service: 'far', catalog: instance }));
      await service.put(`remote.services.far.${instance}`, beat, { ttlMs: 60_000 });
    }

    it('lists what they announce, with our defaults for what they leave out, and who serves it', async () => {
      await announceRemote('one', remote('git.clone', { attributes: { idempotent: true }, secret: 1 }));
      await announceRemote('two', remote('git.clone', { attributes: { idempotent: true }, secret: 1 }));
      await listed('git.clone');
      await waitFor(() => catalog.get('git.clone')?.instances === 2, { what: 'both' });
      expect(catalog.get('git.clone')).toEqual({
        id: 'git.clone',
        description: 'of a far side',
        input_schema: { type: 'object' },
        attributes: { read_only: false, destructive: true, idempotent: true, open_world: true },
        deadline_ms: 60_000,
        retry: { max_attempts: 5, backoff_ms: 200, max_backoff_ms: 30_000 },
        ordering: 'principal',
        surface: { kind: 'tool' },
        binding: { kind: 'nats', subject: 'svc.git' },
        service: 'far',
        instances: 2,
      });
      expect([...catalog.announcers('git.clone')].sort()).toEqual([
        'remote.services.far.one',
        'remote.services.far.two',
      ]);
    });

    it('leaves out, and tells of, each of their actions that cannot be read', async () => {
      await announceRemote(
        'one',
        remote('git.clone'),
        null,
        remote('git.a', { binding: undefined }),
        remote('git.b', { binding: { kind: 'nats', subject: 'cmd.>' } }),
        remote('git.c', { binding: { kind: 'nats', subject: 'svc.git.cancel' } }),
        remote('git.d', { deadline_ms: '1' }),
        remote('git.e', { ordering: 'key' }),
        remote('git f'),
        remote('git.g', { input_schema: { type: 'nonsense' } }),
      );
      await listed('git.clone');
      expect(errors).toHaveLength(8);
    });

    it('lets none of them speak for one of ours', async () => {
      const beat = Buffer.from(JSON.stringify({ service: 'git', catalog: 'x' }));
      for (const key of ['services.git.git-9', 'catalogs.x']) {
        await expect(service.put(key, beat, { ttlMs: 60_000 })).rejects.toThrow();
      }
    });

    it('keeps a name for the one of ours that has it', async () => {
      await announceRemote('one', remote('git.clone'), remote('git.pull'));
      await listed('git.clone', 'git.pull');
      const ours = await announce('zeta', 'z-1', new ActionSet([action('git.clone', 'of ours')]));
      await waitFor(() => catalog.get('git.clone')?.service === 'zeta', { what: 'ours' });
      expect(catalog.get('git.clone')).not.toHaveProperty('binding');
      await ours.stop();
      await waitFor(() => catalog.get('git.clone')?.service === 'far', { what: 'theirs again' });
    });
  });

  it('lists what it listed over a crash of the server, and hears of what comes after', async () => {
    const set = new ActionSet([action('git.clone')]);
    await announce('git', 'git-1', set);
    await listed('git.clone');
    await nats.crash();
    for (const id of ['git.pull', 'git.push', 'git.tag']) {
      set.add(action(id));
      await waitFor(() => catalog.get(id), { what: id });
    }
    expect(changes.map((ids) => ids.length)).toEqual([1, 2, 3, 4]);
  });

  it('says so when a service has more actions than a record can hold', async () => {
    const set = new ActionSet([action('git.clone', 'x'.repeat(1_100_000))]);
    await expect(announce('git', 'git-1', set)).rejects.toThrow('too many to announce');
  });
});
