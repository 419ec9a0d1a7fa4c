import { randomBytes } from 'node:crypto';
import { encodeToken } from '@callboard/envelope';
import { BUCKET } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { stored } from './spec-filter.js';
import { TenantKeys } from './tenant-keys.js';

const INSTALLATION = randomBytes(32);
const STREAM_OF_KEYS = `KV_${BUCKET.pseudonymKeys}`;

let nats: TestNats;
let jsm: JetStreamManager;
const opened: TenantKeys[] = [];
beforeAll(async () => {
  nats = await startTestNats();
  jsm = await jetstreamManager(await nats.connect('pii-filter'), { checkAPI: false });
});
afterAll(async () => {
  for (const keys of opened) keys.close();
  await nats.dispose();
});

async function open(installationKey: Uint8Array = INSTALLATION) {
  const news: string[] = [];
  const keys = await TenantKeys.open(await nats.connect('pii-filter'), installationKey, {
    lost: () => news.push('lost'),
    unreadable: (tenantId) => news.push(`unreadable ${tenantId}`),
  });
  opened.push(keys);
  const of = async (tenantId: string) => Buffer.from(await keys.of(tenantId)).toString('hex');
  return { keys, of, news };
}

async function kept(): Promise<string[]> {
  return (await stored(jsm, STREAM_OF_KEYS)).map((message) => message.string()).filter((text) => text !== '');
}

describe('the key of a tenant', () => {
  it('is one, however many filters make it at once, is random, and is stored only as the installation can open it', async () => {
    const [one, two] = [await open(), await open()];
    const [acme, again, globex] = await Promise.all([one.of('acme'), two.of('acme'), one.of('globex')]);
    expect(acme).toBe(again);
    expect(acme).not.toBe(globex);
    const texts = await kept();
    expect(texts).toHaveLength(2);
    const plain = texts.map((text) => Buffer.from(text, 'base64url').toString('hex')).join(' ');
    expect([plain.includes(acme), plain.includes(globex)]).toEqual([false, false]);
  });

  it('that is destroyed is gone from every filter and from the bucket, and the next is another; that of others stays', async () => {
    const [one, two] = [await open(), await open()];
    const before = await one.of('acme');
    expect(await two.of('acme')).toBe(before);
    const globex = await two.of('globex');
    const [sealed] = await stored(jsm, STREAM_OF_KEYS).then((all) =>
      all.filter(({ subject }) => subject.endsWith(`.${encodeToken('acme')}`)),
    );

    expect(await one.keys.destroy('acme')).toBe(true);
    expect(await kept()).not.toContain(sealed!.string());
    await expect(jsm.streams.getMessage(STREAM_OF_KEYS, { seq: sealed!.seq })).resolves.toBeNull();
    await waitFor(() => two.news.includes('lost'), { what: 'the other filter to hear of it' });
    const after = await two.of('acme');
    expect(after).not.toBe(before);
    expect(await one.of('acme')).toBe(after);
    expect(await two.of('globex')).toBe(globex);
    expect(await one.keys.destroy('nobody')).toBe(false);
  });

  it('that another installation has wrapped is replaced, and it is said whose', async () => {
    const ours = await open();
    const before = await ours.of('initech');
    const theirs = await open(randomBytes(32));
    const after = await theirs.of('initech');
    expect(after).not.toBe(before);
    expect(theirs.news).toContain('unreadable initech');
    expect(await theirs.of('initech')).toBe(after);
  });
});
