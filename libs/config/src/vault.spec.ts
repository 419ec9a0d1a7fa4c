/**
 * Against a stand-in that answers as the HTTP API of Vault is documented to (KV version 2, login by Kubernetes, renewal): no Vault can be had
 * where these tests run.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SecretReader, type SecretRef } from './secret-refs.js';
import { SecretTexts, withoutSecrets } from './secret-texts.js';
import { VaultClient } from './vault.js';
import { YamlFile, shapeOf } from './yaml-file.js';

const CANARY = 'canary-5b1f0c9e';

let folder: string;
let server: Server;
let env: NodeJS.ProcessEnv;
let now: number;
/** Of the stand-in. */
let stored: Record<string, Record<string, unknown>>;
let tokens: Set<string>;
let asked: string[];
let answer: ((path: string) => [status: number, body: string] | undefined) | undefined;
let logins: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-vault-'));
  [now, logins, asked, tokens, answer] = [1_000_000, 0, [], new Set(['root-token']), undefined];
  stored = { 'team/ci': { token: CANARY, other: 'second' } };
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url!;
      asked.push(`${request.method} ${path}`);
      const [status, body] =
        answer?.(path) ?? vault(path, String(request.headers['x-vault-token']), Buffer.concat(chunks).toString());
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await writeFile(join(folder, 'token'), 'root-token\n');
  await writeFile(join(folder, 'jwt'), 'service-account\n');
  env = {
    CALLBOARD_VAULT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    CALLBOARD_VAULT_TOKEN_FILE: join(folder, 'token'),
    CALLBOARD_VAULT_JWT_FILE: join(folder, 'jwt'),
  };
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

function vault(path: string, token: string, body: string): [number, string] {
  if (path === '/v1/auth/kubernetes/login') {
    const { role, jwt } = JSON.parse(body) as { role: string; jwt: string };
    if (role !== 'callboard' || jwt !== 'service-account') return [403, `{"errors":["${CANARY}"]}`];
    const made = `k8s-token-${++logins}`;
    tokens.add(made);
    return [200, JSON.stringify({ auth: { client_token: made, lease_duration: 90, renewable: true } })];
  }
  if (!tokens.has(token)) return [403, '{"errors":["permission denied"]}'];
  if (path === '/v1/auth/token/renew-self') {
    return [200, JSON.stringify({ auth: { client_token: token, lease_duration: 90, renewable: true } })];
  }
  const data = stored[path.replace('/v1/secret/data/', '')];
  return data ? [200, JSON.stringify({ data: { data, metadata: { version: 1 } } })] : [404, '{"errors":[]}'];
}

const client = (more: NodeJS.ProcessEnv = {}) => VaultClient.fromEnv({ ...env, ...more }, () => now)!;
const ref = { path: 'team/ci', key: 'token' };

describe('secrets from Vault', () => {
  it('are read with a token, once for as long as they may be kept, whoever asks', async () => {
    const vault = client();
    const both = await Promise.all([vault.read(ref), vault.read({ path: 'team/ci', key: 'other' })]);
    expect(both).toEqual([CANARY, 'second']);
    expect(asked).toEqual(['GET /v1/secret/data/team/ci']);
    stored['team/ci']!['token'] = 'rotated';
    now += 59_999;
    expect(await vault.read(ref)).toBe(CANARY);
    now += 1;
    expect(await vault.read(ref)).toBe('rotated');
  });

  it('are kept of at most 256 paths', async () => {
    const vault = client();
    for (let i = 0; i < 257; i++) stored[`p/${i}`] = { token: `secret-${i}` };
    for (let i = 0; i < 257; i++) await vault.read({ path: `p/${i}`, key: 'token' });
    asked.length = 0;
    await vault.read({ path: 'p/256', key: 'token' });
    expect(asked).toEqual([]);
    await vault.read({ path: 'p/0', key: 'token' });
    expect(asked).toEqual(['GET /v1/secret/data/p/0']);
  });

  it('are read as a service account, whose token is renewed before it ends, and replaced when Vault takes it no more', async () => {
    const vault = client({ CALLBOARD_VAULT_AUTH: 'kubernetes', CALLBOARD_VAULT_ROLE: 'callboard' });
    expect(await vault.read(ref)).toBe(CANARY);
    now += 61_000;
    expect(await vault.read(ref)).toBe(CANARY);
    expect(asked.slice(2)).toEqual(['POST /v1/auth/token/renew-self', 'GET /v1/secret/data/team/ci']);
    tokens.clear();
    now += 59_999;
    now += 1_000;
    expect(await vault.read(ref)).toBe(CANARY);
    expect(logins).toBe(2);
  });

  it('read with a token of a file are read with the new one when it was changed', async () => {
    const vault = client();
    await vault.read(ref);
    tokens = new Set(['new-token']);
    await writeFile(join(folder, 'token'), 'new-token');
    now += 60_000;
    expect(await vault.read(ref)).toBe(CANARY);
  });

  it.each<[string, () => void, RegExp]>([
    ['is not there', () => (stored = {}), /^Vault does not give team\/ci: there is none$/],
    ['has no such key', () => (stored['team/ci'] = { other: CANARY }), /^Vault has no text token at team\/ci$/],
    ['was deleted', () => (answer = () => [200, '{"data":{"data":null}}']), /^Vault has no text token at team\/ci$/],
    ['is no text', () => (stored['team/ci'] = { token: { a: CANARY } }), /^Vault has no text token at team\/ci$/],
    ['is refused', () => tokens.clear(), /^Vault does not give team\/ci: status 403$/],
    ['is behind a fault', () => (answer = () => [500, CANARY]), /^Vault does not give team\/ci: status 500$/],
    ['is behind a redirect', () => (answer = () => [307, CANARY]), /^Vault does not give team\/ci: status 307$/],
    ['comes as nonsense', () => (answer = () => [200, `{"${CANARY}`]), /its answer cannot be read$/],
    ['is too large', () => (answer = () => [200, CANARY.repeat(80_000)]), /^Vault answered more than 1048576 bytes$/],
  ])('that %s is an error that quotes nothing, and nothing is kept of it', async (_, arrange, message) => {
    const vault = client();
    arrange();
    await expect(vault.read(ref)).rejects.toThrow(message);
    await expect(vault.read(ref)).rejects.not.toThrow(CANARY);
    stored = { 'team/ci': { token: 'there again' } };
    [answer, tokens] = [undefined, new Set(['root-token'])];
    expect(await vault.read(ref)).toBe('there again');
  });

  it('that was read before does not stand in for what Vault refuses now', async () => {
    const vault = client();
    await vault.read(ref);
    now += 60_000;
    answer = () => [503, ''];
    await expect(vault.read(ref)).rejects.toThrow('status 503');
  });

  it('need their variables, which a mistake names', () => {
    expect(VaultClient.fromEnv({})).toBeUndefined();
    expect(() => client({ CALLBOARD_VAULT_TOKEN_FILE: '' })).toThrow('CALLBOARD_VAULT_TOKEN_FILE is not set');
    expect(() => client({ CALLBOARD_VAULT_AUTH: 'kubernetes' })).toThrow('CALLBOARD_VAULT_ROLE is not set');
    expect(() => client({ CALLBOARD_VAULT_AUTH: 'magic' })).toThrow('CALLBOARD_VAULT_AUTH must be one of');
  });
});

describe('a reference in a configuration file', () => {
  const read = (one: SecretRef, more: NodeJS.ProcessEnv = env) => {
    const yaml = YamlFile.parse('token: {}', 'file.yaml', Error);
    yaml.check(shapeOf({}));
    return new SecretReader(yaml, folder, more).one(['token'], one);
  };

  it('leads to Vault', async () => {
    expect(await read({ vault: ref })).toBe(CANARY);
  });

  it('that leads nowhere is a mistake with its place', async () => {
    await expect(read({ vault: { path: 'team/none', key: 'a' } })).rejects.toThrow(
      'file.yaml: line 1: token.vault leads to nothing: Vault does not give team/none: there is none',
    );
    await expect(read({ vault: ref }, {})).rejects.toThrow('token.vault needs CALLBOARD_VAULT_URL, which is not set');
  });
});

describe('a text with a place for a secret', () => {
  it('has the secret of now whenever it is used', async () => {
    const texts = new SecretTexts(folder, client({ CALLBOARD_VAULT_CACHE_MS: '0' }));
    const text = 'Bearer ${vault:team/ci#token}, ${file:jwt} and ${NAME}';
    expect(await texts.fill(text)).toEqual({
      value: `Bearer ${CANARY}, service-account and \${NAME}`,
      secrets: [CANARY, 'service-account'],
    });
    stored['team/ci']!['token'] = '${file:token}';
    expect((await texts.fill(text)).value).toBe('Bearer ${file:token}, service-account and ${NAME}');
  });

  it('that cannot be had is an error with its place', async () => {
    const texts = new SecretTexts(folder, undefined);
    await expect(texts.fill('${file:none}')).rejects.toThrow('none cannot be read, or is empty');
    expect(SecretTexts.problemOf('${vault:a#b}', {})).toBe('needs CALLBOARD_VAULT_URL, which is not set');
    expect(SecretTexts.problemOf('${vault:/a}', env)).toMatch(/is not \$\{vault:PATH#KEY\}/);
    expect(SecretTexts.problemOf('${file:}', env)).toMatch(/without a path/);
    expect(SecretTexts.problemOf('${NAME} and ${file:a}', {})).toBeUndefined();
  });

  it('is cut out of what comes back', () => {
    expect(withoutSecrets(`a ${CANARY} b ${CANARY}`, [CANARY, 'a'])).toBe('a [secret] b [secret]');
    const strange = 'quoted "and"\n\\broken';
    expect(withoutSecrets(`${strange} ${JSON.stringify({ strange })}`, [strange])).toBe(
      '[secret] {"strange":"[secret]"}',
    );
  });
});
