/** Tokens of a real Backstage's users. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Access, type Authenticator } from '@callboard/access';
import { BACKSTAGE, describeWith, startBackstage, type TestBackstage } from '@callboard/testing';

const MCP = { server: '' };
const refused = (why: string) => ({ ok: false, reason: 'invalid_token', why });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-backstage-access-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function authenticatorFor(url: string): Promise<Authenticator> {
  const access = join(folder, 'access.yaml');
  await writeFile(access, `backstages: [{ url: '${url}', tenant: acme }]`);
  return (await Access.open({ httpHost: '0.0.0.0', tokensFile: '', access })).authenticator;
}

describeWith([BACKSTAGE], 'the token of a user who is signed in to a real Backstage', () => {
  let backstage: TestBackstage;
  let tokens: Authenticator;
  beforeAll(async () => {
    backstage = await startBackstage();
    tokens = await authenticatorFor(backstage.url);
  }, 240_000);
  afterAll(() => backstage.dispose(), 30_000);

  it('is that user, with the groups that own for it', async () => {
    const token = backstage.userToken('user:default/jane', ['group:default/team-a', 'system:default/web']);
    expect(await tokens.authenticate(`Bearer ${token}`, MCP)).toEqual({
      ok: true,
      principal: {
        tenantId: 'acme',
        userId: 'user:default/jane',
        groups: ['group:default/team-a'],
        via: 'backstage',
        expiresAt: expect.any(Number),
      },
    });
  });

  it('is refused when somebody changed whose it is', async () => {
    const [header, payload, signature] = backstage.userToken('user:default/jane').split('.') as [
      string,
      string,
      string,
    ];
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'user:default/admin' })).toString('base64url');
    expect(await tokens.authenticate(`Bearer ${header}.${forged}.${signature}`, MCP)).toEqual(
      refused('its signature is not valid'),
    );
  });

  it('is of nobody where another Backstage is configured', async () => {
    const token = backstage.userToken('user:default/jane');
    const others = await authenticatorFor('http://127.0.0.1:9');
    expect(await others.authenticate(`Bearer ${token}`, MCP)).toEqual(refused('it is of no issuer that is known here'));
  });
});
