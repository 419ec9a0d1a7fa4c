/** Signing in by the device flow, at a real OpenID provider. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Access, ProtectedResource, ServerSpec } from '@callboard/access';
import { freePort } from '@callboard/nats-server';
import { startTestIssuer, waitFor, type TestIssuer } from '@callboard/testing';

const CLI = fileURLToPath(new URL('./main.js', import.meta.url));

let folder: string;
let issuer: TestIssuer;
let access: Access;
let resource: ProtectedResource;
let server: Server;
let url: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-login-'));
  issuer = await startTestIssuer({ user: 'user:default/jane', claims: {}, scopes: ['use'] });
  const port = await freePort();
  url = `http://127.0.0.1:${port}/mcp`;
  const file = join(folder, 'access.yaml');
  await writeFile(file, `public_url: http://127.0.0.1:${port}\nissuers: [{ issuer: '${issuer.url}', tenant: acme }]`);
  access = await Access.open({ httpHost: '127.0.0.1', tokensFile: '', access: file });
  const spec = new ServerSpec('', { exclude: [], events: true, results: true, scopes: ['use'], action_scopes: [] });
  resource = new ProtectedResource(spec, { ...access.settings, url: access.settings.publicUrl });
  server = createServer((req, res) => {
    const known = req.url === resource.metadataPath || req.url === '/.well-known/oauth-protected-resource/other';
    res.writeHead(known ? 200 : 404).end(resource.metadata);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await issuer.stop();
  await rm(folder, { recursive: true });
});

/** Runs the command line; what it says so far is in `output`. */
function run(...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, XDG_CONFIG_HOME: folder } });
  const run = { output: '', errors: '', ended: once(child, 'close').then(([code]) => code as number) };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (run.output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (run.errors += text));
  return run;
}

const ran = async (...args: string[]) => {
  const started = run(...args);
  return { code: await started.ended, output: started.output, errors: started.errors };
};
const loginsFile = () => join(folder, 'callboard', 'logins.json');
const whose = (token: string) => access.authenticator.authenticate(`Bearer ${token.trim()}`, resource.resource);

describe('callboard login', () => {
  it('says what to confirm where, waits for it, and keeps a token that is good for that server', async () => {
    const login = run('login', url, '--client-id', issuer.clientId);
    const code = await waitFor(() => /code (\S+)/.exec(login.output)?.[1], { what: 'the code' });
    expect(login.output).toContain(`${issuer.url}/device`);
    await issuer.approve(code);
    expect([await login.ended, login.errors]).toEqual([0, '']);
    expect((await stat(loginsFile())).mode & 0o777).toBe(0o600);
    const token = await ran('token', url);
    expect(login.output).not.toContain(token.output.trim());
    expect(await whose(token.output)).toMatchObject({
      ok: true,
      principal: { tenantId: 'acme', userId: 'user:default/jane', clientId: issuer.clientId, scopes: ['use'] },
    });
  });

  it('gives out another token when the first is about to end', async () => {
    const logins = JSON.parse(await readFile(loginsFile(), 'utf8')) as Record<string, { expires_at: string }>;
    logins[url]!.expires_at = new Date(Date.now() + 10_000).toISOString();
    const before = (await ran('token', url)).output;
    await writeFile(loginsFile(), JSON.stringify(logins));
    const after = (await ran('token', url)).output;
    expect(after).not.toBe(before);
    expect(await whose(after)).toMatchObject({ ok: true });
  });

  it('is undone by logout', async () => {
    expect(await ran('logout', url)).toMatchObject({ code: 0, output: 'Forgotten\n' });
    expect(await ran('token', url)).toMatchObject({
      code: 1,
      errors: expect.stringContaining(`callboard login ${url}`),
    });
  });

  it('asks for no token where a server names another resource, or none', async () => {
    for (const [path, message] of [
      ['/other', 'is of another resource'],
      ['/nothing', 'it answers 404'],
    ] as const) {
      const other = new URL(path, url).href;
      const { code, errors } = await ran('login', other, '--client-id', issuer.clientId);
      expect([code, errors]).toEqual([1, expect.stringContaining(message)]);
    }
  });
});
