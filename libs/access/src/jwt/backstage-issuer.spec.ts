/** Tokens of Backstage's plug-ins, signed with keys of the spec: those of a real Backstage never leave it. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import { parseAccess } from '../access-file.js';
import { BackstageIssuer } from './backstage-issuer.js';
import { SignedTokens } from './signed-tokens.js';

const MCP = { server: '' };
const refused = (why: string) => ({ ok: false, reason: 'invalid_token', why });

async function tokensOf(url: string, more = ''): Promise<SignedTokens> {
  const { backstages } = await parseAccess(`backstages:\n  - { url: '${url}', tenant: acme${more} }`, 'access.yaml');
  return new SignedTokens(
    backstages.map((settings) => new BackstageIssuer(settings)),
    { rememberMs: 0 },
  );
}

describe('the token of a plug-in', () => {
  let keys: Record<string, { privateKey: CryptoKey; jwk: JWK }>;
  let server: Server;
  let tokens: SignedTokens;
  beforeAll(async () => {
    const make = async () => {
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' } };
    };
    keys = {
      '/api/auth/.well-known/jwks.json': await make(),
      '/api/scaffolder/.backstage/auth/v1/jwks.json': await make(),
    };
    server = createServer((req, res) => {
      const key = keys[req.url!];
      res.writeHead(key ? 200 : 404).end(JSON.stringify({ keys: key ? [key.jwk] : [] }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    tokens = await tokensOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, ', plugins: [scaffolder]');
  });
  afterAll(async () => {
    server.close();
    await once(server, 'close');
  });

  const USER = '/api/auth/.well-known/jwks.json';
  const PLUGIN = '/api/scaffolder/.backstage/auth/v1/jwks.json';
  const sign = (typ: string, claims: JWTPayload, key: string) =>
    new SignJWT(claims)
      .setProtectedHeader({ typ, alg: 'ES256', kid: 'k' })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(keys[key]!.privateKey);
  const plugin = (claims: JWTPayload = {}, key = PLUGIN) =>
    sign('vnd.backstage.plugin', { sub: 'scaffolder', aud: 'callboard', ...claims }, key);
  const user = (typ = 'vnd.backstage.limited-user', key = USER) => sign(typ, { sub: 'user:default/jane' }, key);

  it('is the plug-in', async () => {
    expect(await tokens.authenticate(await plugin(), MCP)).toMatchObject({
      ok: true,
      principal: { tenantId: 'acme', userId: 'plugin:scaffolder', clientId: 'plugin:scaffolder', via: 'backstage' },
    });
  });

  it('is the user for whom it calls, with the plug-in as the client', async () => {
    expect(await tokens.authenticate(await plugin({ obo: await user() }), MCP)).toMatchObject({
      ok: true,
      principal: { userId: 'user:default/jane', groups: [], clientId: 'plugin:scaffolder' },
    });
  });

  it.each<[string, () => Promise<string>, string]>([
    ['for another plug-in', () => plugin({ aud: 'catalog' }), 'it is of no issuer that is known here'],
    [
      'of a plug-in that is not on the list',
      () => plugin({ sub: 'kubernetes' }),
      'it is of no issuer that is known here',
    ],
    ['that another key signed', () => plugin({}, USER), 'its signature is not valid'],
    [
      'with a user that the plug-in made up',
      async () => plugin({ obo: await user(undefined, PLUGIN) }),
      'its signature is not valid',
    ],
    [
      'with a user in another kind of token',
      async () => plugin({ obo: await user('vnd.backstage.plugin') }),
      'its typ does not fit',
    ],
    [
      'with a user that is no token',
      () => plugin({ obo: { sub: 'user:default/jane' } }),
      'it is for a user that it does not name',
    ],
  ])('%s is refused', async (_, token, why) => {
    expect(await tokens.authenticate(await token(), MCP)).toEqual(refused(why));
  });
});
