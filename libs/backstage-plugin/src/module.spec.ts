import { BACKSTAGE, describeWith, readRawEvents, startBackstage, startTestNats, waitFor } from '@callboard/testing';
import type { TestBackstage, TestNats } from '@callboard/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packPlugin } from './pack.js';

describeWith([BACKSTAGE], 'the plug-in in a real Backstage', () => {
  let folder: string;
  let nats: TestNats;
  let backstage: TestBackstage;
  beforeAll(async () => {
    nats = await startTestNats();
    folder = await packPlugin(await mkdtemp(join(tmpdir(), 'callboard-plugin-')));
    backstage = await startBackstage({
      callboard: { folder, natsUrl: nats.url, credsFile: nats.credsFile('backstage') },
    });
  });
  afterAll(async () => {
    await backstage?.dispose();
    await nats?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const stored = async () => readRawEvents(await nats.connect('pii-filter'));
  const push = (delivery: string, payload: object) =>
    backstage.post('github', payload, { 'x-github-delivery': delivery, 'x-github-event': 'push' });

  it('stores what a webhook posts, with its delivery, kind and repository', async () => {
    expect(await push('d-1', { repository: { full_name: 'theatre/ticket-desk' } })).toBe(202);
    expect((await stored()).at(-1)).toMatchObject({
      source: 'backstage',
      topic: 'github',
      key: 'theatre/ticket-desk',
      attributes: { id: 'd-1', source: `${backstage.url}/api/events/github`, extensions: { eventkind: 'push' } },
    });
  });

  it('stores a delivery that is repeated once', async () => {
    const before = (await stored()).length;
    for (let i = 0; i < 3; i++) expect(await push('d-2', {})).toBe(202);
    expect(await stored()).toHaveLength(before + 1);
  });

  it('stores what another process publishes on the bus, and no topic that it is not told to', async () => {
    const before = (await stored()).length;
    expect(await backstage.publish('deployments', { act: 3 })).toBe(201);
    await backstage.post('scenery', {});
    await waitFor(async () => (await stored()).length > before, { what: 'the event of the bus' });
    expect((await stored()).map(({ topic }) => topic)).not.toContain('scenery');
  });

  it('has the publisher answered only once the event is stored', async () => {
    const before = (await stored()).length;
    nats.freeze();
    let answered = false;
    const posting = push('d-3', {}).then((status) => {
      answered = true;
      return status;
    });
    // Another topic, which nobody hands on, shows that Backstage itself answers.
    expect(await backstage.post('scenery', {})).toBe(202);
    expect(answered).toBe(false);
    nats.thaw();
    expect(await posting).toBe(202);
    expect(await stored()).toHaveLength(before + 1);
  });

  it('loses nothing that was answered, and stores nothing twice, while nats-server is killed again and again', async () => {
    const before = (await stored()).length;
    const keys = Array.from({ length: 10 }, (_, key) => key);
    let left = keys.length * 20;
    const posting = keys.map(async (key) => {
      for (let n = 0; n < 20; n++, left--) {
        const payload = { repository: { full_name: `theatre/${key}` }, n };
        expect(await push(`k-${key}-${n}`, payload)).toBe(202);
      }
    });
    for (let crash = 0; crash < 3; crash++) {
      const now = left;
      await waitFor(() => left < now - 20 || left === 0, { what: 'some answered' });
      await nats.crash();
    }
    await Promise.all(posting);
    const events = (await stored()).slice(before);
    for (const key of keys) {
      const ids = events.filter((event) => event.key === `theatre/${key}`).map(({ attributes }) => attributes.id);
      expect(ids).toEqual(Array.from({ length: 20 }, (_, n) => `k-${key}-${n}`));
    }
    expect(events).toHaveLength(200);
  });

  it('is a package with nothing of the workspace left to install', async () => {
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, object>;
    expect(manifest['dependencies']).toBeUndefined();
    expect(Object.keys(manifest['peerDependencies']!)).toEqual([
      '@backstage/backend-plugin-api',
      '@backstage/plugin-events-node',
    ]);
    expect(manifest['backstage']).toMatchObject({ role: 'backend-plugin-module', pluginId: 'events' });
    const bundle = await readFile(join(folder, 'dist/index.cjs.js'), 'utf8');
    const required = [...bundle.matchAll(/require\("([^"]+)"\)/g)].map(([, name]) => name!);
    const outside = required.filter((name) => !name.startsWith('node:') && !name.startsWith('@backstage/'));
    expect(outside).toEqual(['crypto']);
  });
});
