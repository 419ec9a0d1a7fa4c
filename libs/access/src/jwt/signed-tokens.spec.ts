import { createHmac, createPublicKey, generateKeyPairSync, sign, type JsonWebKey } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { JWTPayload } from 'jose';
import { parseAccess } from '../access-file.js';
import type { Authentication } from '../authenticator.js';
import { OAuthIssuer } from './oauth-issuer.js';
import { SignedTokens } from './signed-tokens.js';
import { SpecIssuer } from './spec-issuer.js';

const MCP = { server: '', url: 'https://callboard.example/mcp' };
const TENANT = '    tenant: { claim: org, allow: [acme, globex] }';

let issuer: SpecIssuer;
let tokens: SignedTokens;
beforeEach(async () => {
  issuer = await SpecIssuer.start();
  tokens = await open(TENANT);
});
afterEach(async () => {
  jest.useRealTimers();
  await issuer.stop();
});

async function open(yaml: string, rememberS = 60): Promise<SignedTokens> {
  const file = `public_url: https://callboard.example\nremember_s: ${rememberS}\nissuers:\n  - issuer: ${issuer.url}\n${yaml}`;
  const { issuers, rememberMs } = await parseAccess(file, 'access.yaml', { SECRET: 's3cret' });
  return new SignedTokens(
    issuers.map((settings) => new OAuthIssuer(settings)),
    { rememberMs },
  );
}

const show = async (claims?: JWTPayload, header?: Record<string, unknown>): Promise<Authentication | undefined> =>
  tokens.authenticate(await issuer.token(claims, header), MCP);
const refused = (why: string) => ({ ok: false, reason: 'invalid_token', why });
const now = () => Math.floor(Date.now() / 1_000);

describe('a token of a configured issuer', () => {
  it('is a principal, as the file says what its claims mean', async () => {
    tokens = await open(`${TENANT}\n    user: { claim: profile.ref }\n    groups: { claim: roles, prefix: 'group:' }`);
    const claims = { profile: { ref: 'user:default/jane' }, roles: ['a', 'b'], client_id: 'cli', scope: 'read write' };
    const exp = now() + 600;
    expect(await show({ ...claims, exp })).toEqual({
      ok: true,
      principal: {
        tenantId: 'acme',
        userId: 'user:default/jane',
        groups: ['group:a', 'group:b'],
        clientId: 'cli',
        scopes: ['read', 'write'],
        via: 'jwt',
        expiresAt: exp * 1_000,
      },
    });
  });

  it('is verified once, and then only looked up, until it is forgotten', async () => {
    const token = await issuer.token();
    const first = await tokens.authenticate(token, MCP);
    await issuer.stop();
    expect(await tokens.authenticate(token, MCP)).toBe(first);
    jest.useFakeTimers({ now: Date.now() + 61_000, doNotFake: ['setTimeout', 'setImmediate', 'nextTick'] });
    // The keys are still there: it is verified again, without the issuer.
    expect(await tokens.authenticate(token, MCP)).not.toBe(first);
    issuer = await SpecIssuer.start();
  });

  it('is not remembered past its end', async () => {
    tokens = await open(`${TENANT}\n    clock_skew_s: 0`, 3_600);
    const token = await issuer.token({ exp: now() + 30 });
    expect(await tokens.authenticate(token, MCP)).toMatchObject({ ok: true });
    jest.useFakeTimers({ now: Date.now() + 31_000, doNotFake: ['setTimeout', 'setImmediate', 'nextTick'] });
    expect(await tokens.authenticate(token, MCP)).toEqual(refused('it has expired'));
  });

  it('is not good at another server because it was remembered at one', async () => {
    const token = await issuer.token();
    expect(await tokens.authenticate(token, MCP)).toMatchObject({ ok: true });
    const reader = { server: 'reader', url: 'https://callboard.example/mcp/reader' };
    expect(await tokens.authenticate(token, reader)).toEqual(refused('its aud does not fit'));
  });

  it('of a key that came since is good at once, and a key that nobody published is looked for once', async () => {
    expect(await show()).toMatchObject({ ok: true });
    jest.useFakeTimers({ now: Date.now() + 11_000, doNotFake: ['setTimeout', 'setImmediate', 'nextTick'] });
    await issuer.rotate();
    expect(await show()).toMatchObject({ ok: true });
    await issuer.rotate(false);
    for (let i = 0; i < 20; i++)
      expect(await show({ jti: String(i) })).toEqual(refused('its key is not one of the issuer'));
    expect(issuer.asked.get('/keys')).toBe(2);
    expect(issuer.asked.get('/.well-known/openid-configuration')).toBe(1);
  });
});

describe('what is refused', () => {
  it.each<[string, JWTPayload, Record<string, unknown>, string]>([
    ['one that has expired', { exp: 1 }, {}, 'it has expired'],
    ['one that never expires', { exp: undefined }, {}, 'its exp does not fit'],
    ['one that is not valid yet', { nbf: 32_503_680_000 }, {}, 'its nbf does not fit'],
    ['one for another server', { aud: 'https://callboard.example/mcp/reader' }, {}, 'its aud does not fit'],
    ['one for another host', { aud: 'https://callboard.example.evil/mcp' }, {}, 'its aud does not fit'],
    ['one for nobody', { aud: undefined }, {}, 'its aud does not fit'],
    ['one for an empty list', { aud: [] }, {}, 'its aud does not fit'],
    ['one of another tenant', { org: 'umbrella' }, {}, 'its tenant is none of those that are allowed'],
    ['one of no tenant', { org: undefined }, {}, 'its tenant is none of those that are allowed'],
    ['one of two tenants', { org: ['acme', 'globex'] }, {}, 'its tenant is none of those that are allowed'],
    ['one of nobody', { sub: undefined }, {}, 'its user is no name'],
    ['one of an endless name', { sub: 'x'.repeat(300) }, {}, 'its user is no name'],
    ['one of half a character', { sub: 'jane\ud800' }, {}, 'its user is no name'],
    ['one with groups that are no texts', { groups: [{ name: 'a' }] }, {}, 'its groups is no name'],
    [
      'one with too many groups',
      { groups: Array.from({ length: 129 }, (_, i) => `g${i}`) },
      {},
      'its groups are no list of 128 at most',
    ],
    ['one with scopes of objects', { scope: { read: true } as never }, {}, 'its scopes are no list'],
    ['an ID token of another type', {}, { typ: 'dpop+jwt' }, 'it is of another type'],
    ['a user token of a Backstage that is not configured', {}, { typ: 'vnd.backstage.user' }, 'it is of another type'],
    ['one with an extension that must be understood', {}, { crit: ['x'], x: 1 }, 'it is not well formed'],
  ])('%s', async (_, claims, header, why) => {
    const token = header.crit ? await critical() : await issuer.token(claims, header);
    expect(await tokens.authenticate(token, MCP)).toEqual(refused(why));
  });

  async function critical(): Promise<string> {
    const [, payload] = (await issuer.token()).split('.');
    const header = { alg: 'ES256', kid: issuer.key.kid, typ: 'at+jwt', crit: ['x'], x: 1 };
    return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.AAAA`;
  }

  it('one that somebody else signed under the name of the key', async () => {
    const honest = issuer.key;
    await issuer.rotate(false);
    const forged = await issuer.token({}, { kid: honest.kid });
    expect(await tokens.authenticate(forged, MCP)).toEqual(refused('its signature is not valid'));
  });

  it('one that is changed after it was signed', async () => {
    const [header, payload, signature] = (await issuer.token()).split('.') as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as JWTPayload;
    const changed = Buffer.from(JSON.stringify({ ...claims, org: 'globex' })).toString('base64url');
    expect(await tokens.authenticate(`${header}.${changed}.${signature}`, MCP)).toEqual(
      refused('its signature is not valid'),
    );
  });

  it('one without a signature, whatever it says of its algorithm', async () => {
    const [, payload] = (await issuer.token()).split('.');
    for (const alg of ['none', 'None', 'NONE', '']) {
      const header = Buffer.from(JSON.stringify({ alg, typ: 'at+jwt' })).toString('base64url');
      expect(await tokens.authenticate(`${header}.${payload}.`, MCP)).toMatchObject({
        ok: false,
        reason: 'invalid_token',
      });
    }
  });

  it('one that is signed with the public key, as if that were a secret', async () => {
    const [, payload] = (await issuer.token()).split('.');
    const key = createPublicKey({ key: issuer.key.jwk as JsonWebKey, format: 'jwk' });
    const pem = key.export({ type: 'spki', format: 'pem' });
    const header = Buffer.from(JSON.stringify({ alg: 'HS256', kid: issuer.key.kid, typ: 'at+jwt' })).toString(
      'base64url',
    );
    const mac = createHmac('sha256', pem).update(`${header}.${payload}`).digest('base64url');
    expect(await tokens.authenticate(`${header}.${payload}.${mac}`, MCP)).toEqual(
      refused('its algorithm is not allowed'),
    );
  });

  it('one that brings its own key', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [, payload] = (await issuer.token()).split('.');
    const jwk = publicKey.export({ format: 'jwk' });
    const header = { alg: 'ES256', typ: 'at+jwt', jwk, jku: `${issuer.url}/evil`, x5u: `${issuer.url}/evil` };
    const signed = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}`;
    const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const answer = await tokens.authenticate(`${signed}.${signature.toString('base64url')}`, MCP);
    expect(answer).toMatchObject({ ok: false, reason: 'invalid_token' });
    expect(issuer.asked.has('/evil')).toBe(false);
  });

  it('one of an issuer that is not configured, which nobody asks for anything', async () => {
    const stranger = await SpecIssuer.start();
    expect(await tokens.authenticate(await stranger.token(), MCP)).toEqual(
      refused('it is of no issuer that is known here'),
    );
    expect(stranger.asked.size).toBe(0);
    await stranger.stop();
  });

  it('one that was given to a client that is not on the list', async () => {
    tokens = await open(`${TENANT}\n    clients: [cli]`);
    expect(await show({ client_id: 'other' })).toEqual(refused('it was given to another client'));
    expect(await show({ azp: 'cli' })).toMatchObject({ ok: true });
  });

  it('one that is older than it may be', async () => {
    tokens = await open(`${TENANT}\n    max_age_s: 60`);
    expect(await show({ iat: now() - 120 })).toEqual(refused('it has expired'));
  });

  it('what is no signed token at all is left to others', async () => {
    for (const text of ['cbt_abc', 'a.b', 'a.b.c', '..', 'a.b.c.d.e']) {
      expect(await tokens.authenticate(text, MCP)).toBeUndefined();
    }
  });
});

describe('a token that was revoked', () => {
  it('is refused once it is forgotten, and not before the issuer was asked', async () => {
    tokens = await open(`${TENANT}\n    introspection: { client_id: callboard, client_secret: { env: SECRET } }`, 0);
    const token = await issuer.token();
    expect(await tokens.authenticate(token, MCP)).toMatchObject({ ok: true });
    issuer.active = false;
    expect(await tokens.authenticate(token, MCP)).toEqual(refused('it was revoked'));
    issuer.answers.set('/introspect', { status: 500, body: '' });
    expect(await tokens.authenticate(token, MCP)).toMatchObject({ ok: false, reason: 'unavailable' });
  });
});

describe('an issuer that cannot be asked', () => {
  it.each([
    ['is away', { status: 503, body: '' }],
    ['says nothing of use', { status: 200, body: '<html>' }],
    [
      'goes by another name',
      { status: 200, body: JSON.stringify({ issuer: 'https://evil.example', jwks_uri: 'https://evil.example/keys' }) },
    ],
    ['answers without end', { status: 200, body: `"${'x'.repeat(300_000)}"` }],
    ['sends us elsewhere', { status: 302, body: '', location: 'http://169.254.169.254/latest/meta-data' }],
    ['has its keys at an address inside', { status: 200, body: 'http://169.254.169.254/keys' }],
  ])('because it %s makes its tokens unavailable, and is asked again later only', async (_, answer) => {
    const body = answer.body.startsWith('http')
      ? JSON.stringify({ issuer: issuer.url, jwks_uri: answer.body })
      : answer.body;
    issuer.answers.set('/.well-known/openid-configuration', { ...answer, body });
    for (let i = 0; i < 5; i++)
      expect(await show({ jti: String(i) })).toMatchObject({ ok: false, reason: 'unavailable' });
    expect(issuer.asked.get('/.well-known/openid-configuration')).toBe(1);
    issuer.answers.clear();
    jest.useFakeTimers({ now: Date.now() + 6_000, doNotFake: ['setTimeout', 'setImmediate', 'nextTick'] });
    expect(await show()).toMatchObject({ ok: true });
  });
});
