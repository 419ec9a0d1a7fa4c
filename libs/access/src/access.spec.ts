import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Access } from './access.js';
import { SpecIssuer } from './jwt/spec-issuer.js';
import type { Principal } from './principal.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'callboard-auth-'));
});
afterAll(() => rm(dir, { recursive: true }));

const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');

async function load(httpHost: string, tokens?: unknown) {
  const tokensFile = tokens === undefined ? '' : join(dir, 'tokens.json');
  if (tokens !== undefined) await writeFile(tokensFile, typeof tokens === 'string' ? tokens : JSON.stringify(tokens));
  const access = await Access.open({ httpHost, tokensFile, access: '' });
  access.close();
  return access.authenticator;
}

const MCP = { server: '' };
const principal = (tenantId: string, userId: string, via: Principal['via']) => ({ tenantId, userId, groups: [], via });

const ada = { sha256: sha256('ada-1'), tenant_id: 'acme', user_id: 'user:default/ada', allow_unrestricted: true };
const bob = {
  sha256: sha256('bob-2').toUpperCase(),
  tenant_id: 'acme',
  user_id: 'user:default/bob',
  allow_unrestricted: true,
};

describe('who may call', () => {
  it.each(['127.0.0.1', '127.8.9.10', '::1', 'localhost'])('on %s anyone may, without a token', async (host) => {
    expect(await (await load(host)).authenticate(undefined, MCP)).toEqual({
      ok: true,
      principal: principal('default', 'user:local/anonymous', 'anonymous'),
    });
  });

  it.each(['0.0.0.0', '::', '10.0.0.7', '127.0.0.1.evil.example'])('on %s nobody may without a token', async (host) => {
    const authenticator = await load(host, [ada, bob]);
    expect(await authenticator.authenticate(undefined, MCP)).toEqual({ ok: false, reason: 'no_credentials' });
    expect(await authenticator.authenticate('Bearer bob-2', MCP)).toEqual({
      ok: true,
      principal: principal('acme', 'user:default/bob', 'static'),
    });
  });

  it.each(['Bearer', 'Bearer ada-1x', 'Bearer  ', 'Basic ada-1', 'ada-1', `Bearer ${ada.sha256}`])(
    'nobody is let in by %j',
    async (authorization) => {
      const authenticator = await load('127.0.0.1', [ada]);
      expect(await authenticator.authenticate(authorization, MCP)).toMatchObject({
        ok: false,
        reason: 'invalid_token',
      });
    },
  );
});

describe('a token for a machine', () => {
  const limited = { ...ada, allow_unrestricted: undefined };
  const show = async (more: object, server = '') =>
    (await load('0.0.0.0', [{ ...limited, ...more }])).authenticate('Bearer ada-1', { server });

  it('is good for the servers that it names, and for no other', async () => {
    expect(await show({ servers: ['default'] })).toMatchObject({ ok: true });
    expect(await show({ servers: ['reader'] }, 'reader')).toMatchObject({ ok: true });
    expect(await show({ servers: ['reader'] })).toMatchObject({ ok: false, reason: 'forbidden' });
    expect(await show({ servers: [] })).toMatchObject({ ok: false, reason: 'forbidden' });
  });

  it('carries what it is good for', async () => {
    const restricted = { actions: ['demo.*'], scopes: ['read'], groups: ['group:ci'], client_id: 'ci' };
    expect(await show(restricted)).toEqual({
      ok: true,
      principal: {
        ...principal('acme', ada.user_id, 'static'),
        groups: ['group:ci'],
        clientId: 'ci',
        actions: ['demo.*'],
        scopes: ['read'],
      },
    });
  });

  it('ends when it says', async () => {
    const past = { servers: ['default'], expires_at: '2020-01-01T00:00:00Z' };
    expect(await show(past)).toMatchObject({ ok: false, reason: 'invalid_token' });
    expect(await show({ ...past, expires_at: '2100-01-01T00:00:00Z' })).toMatchObject({ ok: true });
  });

  it.each([
    ['is restricted to nothing', {}, /entry 0 is restricted to nothing: give it servers, actions or scopes, or/],
    ['says both', { servers: ['x'], allow_unrestricted: true }, /entry 0 has allow_unrestricted and restrictions/],
    ['has a key that nobody knows', { server: 'x' }, /entry 0 has a key server that is not known/],
    ['ends at no time', { servers: ['x'], expires_at: 'tomorrow' }, /entry 0 must have a date and time in expires_at/],
  ])('that %s keeps the front end from starting', async (_, more, message) => {
    await expect(load('127.0.0.1', [{ ...limited, ...more }])).rejects.toThrow(message);
  });
});

/** What is told of the files of an access, for who waits for the next of it. */
function news() {
  let next: (what: unknown) => void = () => undefined;
  return {
    events: {
      changed: (file: string) => next([file, 'changed']),
      broken: (file: string, problem: string) => next([file, problem]),
    },
    /** Writes, and waits until something is told. SIGHUP says it at once. */
    after: async (path: string, text: string): Promise<unknown> => {
      const told = new Promise((resolve) => (next = resolve));
      await writeFile(path, text);
      process.emit('SIGHUP', 'SIGHUP');
      return told;
    },
  };
}

describe('the tokens file, while a front end runs', () => {
  it('is read again when it has changed; one that is wrong changes nothing, and is told', async () => {
    const tokensFile = join(dir, 'changing.json');
    await writeFile(tokensFile, JSON.stringify([ada]));
    const { events, after } = news();
    const access = await Access.open({ httpHost: '0.0.0.0', tokensFile, access: '' }, events);
    const isGood = async (token: string) => (await access.authenticator.authenticate(`Bearer ${token}`, MCP)).ok;
    try {
      expect(await after(tokensFile, JSON.stringify([{ sha256: ada.sha256 }]))).toEqual([
        'tokens',
        expect.stringContaining('entry 0 must have tenant_id'),
      ]);
      expect([await isGood('ada-1'), await isGood('bob-2'), access.isBroken('tokens')]).toEqual([true, false, true]);
      expect(await after(tokensFile, JSON.stringify([bob]))).toEqual(['tokens', 'changed']);
      expect([await isGood('ada-1'), await isGood('bob-2'), access.isBroken('tokens')]).toEqual([false, true, false]);
    } finally {
      access.close();
    }
  });

  it('is looked at without being told to', async () => {
    const tokensFile = join(dir, 'watched.json');
    await writeFile(tokensFile, JSON.stringify([ada]));
    const heard = new Promise((resolve) => {
      void Access.open({ httpHost: '0.0.0.0', tokensFile, access: '' }, { changed: resolve, broken: resolve }).then(
        async (access) => {
          await writeFile(tokensFile, JSON.stringify([bob]));
          void heard.then(() => access.close());
        },
      );
    });
    expect(await heard).toBe('tokens');
  });
});

describe('the access file, while a front end runs', () => {
  const [MCP, OTHER] = ['https://callboard.example', 'https://other.example'].map((url) => ({
    server: '',
    url: `${url}/mcp`,
  })) as [{ server: string; url: string }, { server: string; url: string }];
  let one: SpecIssuer;
  let two: SpecIssuer;
  let access: Access;
  let path: string;
  let told: ReturnType<typeof news>;
  const of = (issuer: SpecIssuer, tenant: string) => `  - { issuer: '${issuer.url}', tenant: ${tenant} }\n`;
  const file = (issuers: string, publicUrl = 'https://callboard.example') =>
    `public_url: ${publicUrl}\nremember_s: 3600\nissuers:\n${issuers}`;
  const show = (token: string, resource = MCP) => access.authenticator.authenticate(`Bearer ${token}`, resource);
  beforeEach(async () => {
    [one, two] = [await SpecIssuer.start(), await SpecIssuer.start()];
    path = join(dir, 'access.yaml');
    await writeFile(path, file(of(one, 'acme') + of(two, 'globex')));
    told = news();
    access = await Access.open({ httpHost: '0.0.0.0', tokensFile: '', access: path }, told.events);
  });
  afterEach(async () => {
    access.close();
    await one.stop();
    await two.stop();
  });

  it('a token of an issuer that is gone is not believed though it is remembered; that of another still is', async () => {
    const [gone, kept] = [await one.token(), await two.token()];
    const before = await show(kept);
    expect([(await show(gone)).ok, before.ok]).toEqual([true, true]);
    expect(await told.after(path, file(of(two, 'globex')))).toEqual(['access', 'changed']);
    expect(await show(gone)).toMatchObject({ ok: false, why: 'it is of no issuer that is known here' });
    // The same object: it was only looked up.
    expect(await show(kept)).toBe(before);
  });

  it('a token is of another tenant as soon as its issuer is', async () => {
    const token = await one.token();
    expect(await show(token)).toMatchObject({ principal: { tenantId: 'acme' } });
    await told.after(path, file(of(one, 'initech') + of(two, 'globex')));
    expect(await show(token)).toMatchObject({ principal: { tenantId: 'initech' } });
  });

  it('a token that is being verified while its issuer goes is not good', async () => {
    let goOn = () => undefined as void;
    const token = await one.token();
    const asked = new Promise<void>((resolve) => {
      one.hold = (path) => {
        if (path === '/keys') resolve();
        return path === '/keys' ? new Promise((go) => (goOn = go)) : Promise.resolve();
      };
    });
    const verifying = show(token);
    await asked;
    await told.after(path, file(of(two, 'globex')));
    goOn();
    expect(await verifying).toMatchObject({ ok: false, why: 'it is of no issuer that is known here' });
  });

  it('a token that was good for the URL before is not good for another', async () => {
    const token = await one.token();
    expect((await show(token)).ok).toBe(true);
    await told.after(path, file(of(one, 'acme'), 'https://other.example'));
    expect(access.settings.publicUrl).toBe('https://other.example');
    expect(await show(token, OTHER)).toMatchObject({ ok: false, why: 'its aud does not fit' });
  });

  it('one that is wrong changes nothing, and says where; listeners hear of good ones alone', async () => {
    const token = await one.token();
    let heard = 0;
    access.onChange(() => (heard += 1));
    expect(await told.after(path, file('  - { issuer: nobody }'))).toEqual([
      'access',
      `${path}: line 4: issuers[0] must have tenant`,
    ]);
    expect([(await show(token)).ok, access.isBroken('access'), heard]).toEqual([true, true, 0]);
    expect(await told.after(path, 'anonymous: false')).toEqual([
      'access',
      expect.stringContaining('nobody may call without a token here'),
    ]);
    expect((await show(token)).ok).toBe(true);
    await told.after(path, file(of(two, 'globex')));
    expect([(await show(token)).ok, access.isBroken('access'), heard]).toEqual([false, false, 1]);
  });

  it('says from when on nobody is served without credentials', async () => {
    access.close();
    access = await Access.open({ httpHost: '127.0.0.1', tokensFile: '', access: path }, told.events);
    const anonymous = () => access.authenticator.authenticate(undefined, MCP);
    expect((await anonymous()).ok).toBe(true);
    await told.after(path, `${file(of(one, 'acme'))}anonymous: false`);
    expect(await anonymous()).toEqual({ ok: false, reason: 'no_credentials' });
  });
});

describe('a configuration under which nobody could call, or the wrong people, does not start', () => {
  it.each<[string, unknown, RegExp]>([
    ['no tokens file', undefined, /CALLBOARD_TOKENS_FILE is not set/],
    ['something that is not JSON', 'tokens!', /cannot be read as JSON/],
    ['no array', { sha256: ada.sha256 }, /JSON array/],
    ['a token in the clear', [{ ...ada, sha256: 'ada-1' }], /entry 0 must have sha256/],
    ['no tenant', [ada, { ...bob, tenant_id: '' }], /entry 1 must have another tenant_id/],
  ])('%s', async (_, tokens, message) => {
    await expect(load('0.0.0.0', tokens)).rejects.toThrow(message);
  });

  it('and says where, never what', async () => {
    const secret = { ...ada, sha256: 'a-token-that-someone-pasted' };
    await expect(load('0.0.0.0', [secret])).rejects.toThrow(expect.not.stringContaining('pasted'));
  });
});
