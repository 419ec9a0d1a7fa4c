import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromSeed } from '@nats-io/nkeys';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { callboard } from './spec-callboard.js';

interface Secret {
  kind: string;
  metadata: { name: string };
  stringData: Record<string, string>;
}

describe('callboard deploy prepare', () => {
  let folder: string;
  const read = (name: string) => readFile(join(folder, name), 'utf8');
  const secrets = async () =>
    new Map(
      parseAllDocuments(await read('secrets.yaml')).map((document) => {
        const { metadata, stringData } = document.toJS() as Secret;
        return [metadata.name, stringData];
      }),
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-prepare-'));
    expect(await callboard('deploy', 'prepare', folder)).toMatchObject({ code: 0, stderr: '' });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('makes a seed for each user of NATS, and values with the public keys that go with them', async () => {
    const seeds = (await secrets()).get('callboard-nats-users')!;
    const { nats } = parse(await read('values.yaml')) as { nats: { server: { users: Record<string, string[]> } } };
    const publicKeys = Object.entries(seeds).map(([file, seed]) => [
      file.replace('.nk', ''),
      [fromSeed(Buffer.from(seed)).getPublicKey()],
    ]);
    expect(nats.server.users).toEqual(Object.fromEntries(publicKeys));
    expect(Object.keys(nats.server.users)).toContain('provisioner');
  });

  it('makes keys of 32 bytes, and a token of which the front ends get the hash', async () => {
    const made = await secrets();
    const { 'ingest-token': ingestToken, ...keys } = made.get('callboard-keys')!;
    expect(ingestToken).toBe(made.get('callboard-test-token')!['token']);
    for (const key of Object.values(keys)) expect(Buffer.from(key, 'base64')).toHaveLength(32);
    const [known] = JSON.parse(made.get('callboard-tokens')!['tokens.json']!) as [{ sha256: string }];
    const token = made.get('callboard-test-token')!['token']!;
    expect(known.sha256).toBe(createHash('sha256').update(token).digest('hex'));
  });

  it('lets nobody else read what is secret, and makes nothing anew when it runs again', async () => {
    expect((await stat(join(folder, 'secrets.yaml'))).mode & 0o777).toBe(0o600);
    const before = [await read('secrets.yaml'), await read('values.yaml')];
    await callboard('deploy', 'prepare', folder);
    expect([await read('secrets.yaml'), await read('values.yaml')]).toEqual(before);
  });
});
