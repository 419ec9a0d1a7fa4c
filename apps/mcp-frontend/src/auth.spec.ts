import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Authenticator } from './auth.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'callboard-auth-'));
});
afterAll(() => rm(dir, { recursive: true }));

const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');

async function load(httpHost: string, tokens?: unknown) {
  const tokensFile = tokens === undefined ? '' : join(dir, 'tokens.json');
  if (tokens !== undefined) await writeFile(tokensFile, typeof tokens === 'string' ? tokens : JSON.stringify(tokens));
  return Authenticator.load({ httpHost, tokensFile });
}

const ada = { sha256: sha256('ada-1'), tenant_id: 'acme', user_id: 'user:default/ada' };
const bob = { sha256: sha256('bob-2').toUpperCase(), tenant_id: 'acme', user_id: 'user:default/bob' };

describe('who may call', () => {
  it.each(['127.0.0.1', '127.8.9.10', '::1', 'localhost'])('on %s anyone may, without a token', async (host) => {
    expect((await load(host)).authenticate(undefined)).toEqual({
      ok: true,
      principal: { tenantId: 'default', userId: 'user:local/anonymous' },
    });
  });

  it.each(['0.0.0.0', '::', '10.0.0.7', '127.0.0.1.evil.example'])('on %s nobody may without a token', async (host) => {
    const authenticator = await load(host, [ada, bob]);
    expect(authenticator.authenticate(undefined)).toMatchObject({ ok: false });
    expect(authenticator.authenticate('Bearer bob-2')).toEqual({
      ok: true,
      principal: { tenantId: 'acme', userId: 'user:default/bob' },
    });
  });

  it.each(['Bearer', 'Bearer ada-1x', 'Bearer  ', 'Basic ada-1', 'ada-1', `Bearer ${ada.sha256}`])(
    'nobody is let in by %j',
    async (authorization) => {
      expect((await load('127.0.0.1', [ada])).authenticate(authorization)).toMatchObject({ ok: false });
    },
  );
});

describe('a configuration under which nobody could call, or the wrong people, does not start', () => {
  it.each<[string, unknown, RegExp]>([
    ['no tokens file', undefined, /CALLBOARD_TOKENS_FILE is not set/],
    ['something that is not JSON', 'tokens!', /cannot be read as JSON/],
    ['no array', { sha256: ada.sha256 }, /JSON array/],
    ['a token in the clear', [{ ...ada, sha256: 'ada-1' }], /entry 0 must have sha256/],
    ['no tenant', [ada, { ...bob, tenant_id: '' }], /entry 1 must have tenant_id and user_id/],
  ])('%s', async (_, tokens, message) => {
    await expect(load('0.0.0.0', tokens)).rejects.toThrow(message);
  });

  it('and says where, never what', async () => {
    const secret = { ...ada, sha256: 'a-token-that-someone-pasted' };
    await expect(load('0.0.0.0', [secret])).rejects.toThrow(expect.not.stringContaining('pasted'));
  });
});
