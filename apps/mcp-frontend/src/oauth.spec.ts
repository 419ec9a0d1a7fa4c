/** A real MCP client, a real OpenID provider and the real edge: from a URL and nothing else to a call. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Access, ServerSpec } from '@callboard/access';
import { freePort } from '@callboard/nats-server';
import { startTestIssuer, type TestIssuer } from '@callboard/testing';
import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  type OAuthClientInformation,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  type StoredOAuthTokens,
} from '@modelcontextprotocol/client';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modernRequest, raw, startSpecFront, type SpecFront, type SpecHeaders } from './spec-front.js';

/** The id of a client that nobody has registered, and where it tells of itself. */
const CLIENT_URL = 'https://client.example/mcp-client.json';

let issuer: TestIssuer;
let front: SpecFront;
let folder: string;
let url: string;
beforeAll(async () => {
  issuer = await startTestIssuer({
    user: 'user:default/jane',
    claims: { org: 'acme', groups: ['team-a'] },
    scopes: ['use', 'change'],
    documents: {
      [CLIENT_URL]: {
        client_id: CLIENT_URL,
        client_name: 'Spec',
        application_type: 'native',
        redirect_uris: ['http://127.0.0.1:9/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: 'ES256',
      },
    },
  });
  const port = await freePort();
  url = `http://127.0.0.1:${port}/mcp`;
  folder = await mkdtemp(join(tmpdir(), 'callboard-access-'));
  const file = join(folder, 'access.yaml');
  await writeFile(
    file,
    `
public_url: http://127.0.0.1:${port}
anonymous: false
remember_s: 0
issuers:
  - issuer: ${issuer.url}
    tenant: { claim: org, allow: [acme] }
    groups: { prefix: 'group:default/' }
`,
  );
  const written = { exclude: [], events: true, results: true, scopes: ['use'] };
  const server = new ServerSpec('', { ...written, action_scopes: [{ id: 'demo.progress', scopes: ['change'] }] });
  const access = await Access.open({ httpHost: '127.0.0.1', tokensFile: '', access: file });
  front = await startSpecFront({ server, access, port });
});
afterAll(async () => {
  await front.stop();
  await issuer.stop();
  await rm(folder, { recursive: true });
});

/** What an application with a browser keeps for its user. */
class Memory implements OAuthClientProvider {
  readonly redirectUrl = issuer.redirectUri;
  readonly clientMetadata = { redirect_uris: [issuer.redirectUri], token_endpoint_auth_method: 'none' };
  asked: URL[] = [];
  #tokens: StoredOAuthTokens | undefined;
  #verifier = '';
  #discovered: OAuthDiscoveryState | undefined;
  clientInformation = (): OAuthClientInformation | undefined => ({ client_id: issuer.clientId });
  tokens = () => this.#tokens;
  saveTokens = (tokens: StoredOAuthTokens) => void (this.#tokens = tokens);
  redirectToAuthorization = (url: URL) => void this.asked.push(url);
  saveCodeVerifier = (verifier: string) => void (this.#verifier = verifier);
  codeVerifier = () => this.#verifier;
  saveDiscoveryState = (state: OAuthDiscoveryState) => void (this.#discovered = state);
  discoveryState = () => this.#discovered;
}

/** One that is registered nowhere: its id is the address of a document about it. */
class Unregistered extends Memory {
  #information: OAuthClientInformation | undefined;
  constructor(readonly clientMetadataUrl: string) {
    super();
  }
  override clientInformation = () => this.#information;
  saveClientInformation = (information: OAuthClientInformation) => void (this.#information = information);
}

async function connect(memory: Memory): Promise<Client> {
  const client = () => new Client({ name: 'spec', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const first = new StreamableHTTPClientTransport(new URL(url), { authProvider: memory });
  await expect(client().connect(first)).rejects.toThrow(UnauthorizedError);
  await first.finishAuth(await issuer.authorize(memory.asked.at(-1)!));
  const connected = client();
  await connected.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider: memory }));
  return connected;
}

describe('a client that knows nothing but the URL of a server', () => {
  it('finds its issuer, signs its user in with PKCE for that server, and calls', async () => {
    const memory = new Memory();
    const client = await connect(memory);
    const [asked] = memory.asked as [URL];
    expect(asked.origin).toBe(issuer.url);
    expect(Object.fromEntries(asked.searchParams)).toMatchObject({
      resource: url,
      scope: 'use',
      code_challenge_method: 'S256',
    });
    const result = await client.callTool({ name: 'demo.echo', arguments: { text: 'hello' } });
    expect(result.content).toEqual([{ type: 'text', text: 'hello' }]);
    await client.close();
  });

  it('needs no registration where its id is the address of its metadata document', async () => {
    const memory = new Unregistered(CLIENT_URL);
    const client = await connect(memory);
    expect(memory.asked[0]!.searchParams.get('client_id')).toBe(CLIENT_URL);
    const [, payload] = memory.tokens()!.access_token.split('.');
    expect(JSON.parse(Buffer.from(payload!, 'base64url').toString())).toMatchObject({
      client_id: CLIENT_URL,
      aud: url,
    });
    const result = await client.callTool({ name: 'demo.echo', arguments: { text: 'unregistered' } });
    expect(result.content).toEqual([{ type: 'text', text: 'unregistered' }]);
    await client.close();
  });

  it('gets nowhere when its document is not there', async () => {
    const memory = new Unregistered('https://client.example/nobody.json');
    const client = new Client({ name: 'spec', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: memory });
    await expect(client.connect(transport)).rejects.toThrow(UnauthorizedError);
    expect((await fetch(memory.asked[0]!, { redirect: 'manual' })).status).toBe(400);
  });

  it('is asked for more scopes when it needs them, and gets on with them', async () => {
    const memory = new Memory();
    const client = await connect(memory);
    await expect(client.callTool({ name: 'demo.progress', arguments: {} })).rejects.toThrow(UnauthorizedError);
    const stepUp = memory.asked.at(-1)!;
    expect(stepUp.searchParams.get('scope')!.split(' ').sort()).toEqual(['change', 'use']);
    const transport = client.transport as StreamableHTTPClientTransport;
    await transport.finishAuth(await issuer.authorize(stepUp));
    const result = await client.callTool({ name: 'demo.progress', arguments: {} });
    expect(result.content).toEqual([{ type: 'text', text: 'done' }]);
    await client.close();
  });

  it('refreshes a token that is not good any more, and is asked for nothing', async () => {
    const memory = new Memory();
    const client = await connect(memory);
    memory.saveTokens({ ...memory.tokens()!, access_token: 'spoiled' });
    const result = await client.callTool({ name: 'demo.echo', arguments: { text: 'again' } });
    expect(result.content).toEqual([{ type: 'text', text: 'again' }]);
    expect(memory.asked).toHaveLength(1);
    await client.close();
  });
});

describe('the metadata of a server', () => {
  const read = (path: string) => fetch(new URL(path, url));

  it('are for everybody, at its path and for /mcp at the root', async () => {
    for (const path of ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource']) {
      const answer = await read(path);
      expect(await answer.json()).toEqual({
        resource: url,
        authorization_servers: [issuer.url],
        bearer_methods_supported: ['header'],
        resource_name: 'Callboard',
        scopes_supported: ['use', 'change'],
      });
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    }
  });

  it('are not there for a server that is not', async () => {
    expect((await read('/.well-known/oauth-protected-resource/mcp/nobody')).status).toBe(404);
  });

  it('are named by a refusal, with the scopes that are needed', async () => {
    const answer = await fetch(url, { method: 'POST', body: '{}' });
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer realm="callboard", resource_metadata="${new URL('/.well-known/oauth-protected-resource/mcp', url).href}", scope="use"`,
    ]);
  });
});

describe('an access file that changes', () => {
  it('is in force for those who come, for the metadata, and for streams that are open', async () => {
    const tokensFile = join(folder, 'tokens.json');
    const accessFile = join(folder, 'changing.yaml');
    const token = (name: string) => ({
      sha256: createHash('sha256').update(name).digest('hex'),
      tenant_id: 'acme',
      user_id: `user:default/${name}`,
      allow_unrestricted: true,
    });
    await writeFile(tokensFile, JSON.stringify([token('ada'), token('bob')]));
    const written = (host: string, rest = '') =>
      `public_url: https://${host}\nissuers: [{ issuer: '${issuer.url}', tenant: acme }]\n${rest}`;
    await writeFile(accessFile, written('one.example'));
    const access = await Access.open({ httpHost: '127.0.0.1', tokensFile, access: accessFile });
    const local = await startSpecFront({ access, server: new ServerSpec('') });
    const changed = async (path: string, text: string) => {
      await writeFile(path, text);
      const heard = new Promise<void>((resolve) => void access.onChange(resolve));
      process.emit('SIGHUP', 'SIGHUP');
      await heard;
    };
    const listen = (headers: SpecHeaders) => {
      const socket = connectTcp(local.port, '127.0.0.1');
      socket.write(modernRequest('subscriptions/listen', { notifications: { toolsListChanged: true } }, { headers }));
      return once(socket, 'data').then(() => socket);
    };
    const [ada, bob, anonymous] = await Promise.all([
      listen({ authorization: 'Bearer ada' }),
      listen({ authorization: 'Bearer bob' }),
      listen({}),
    ]);
    const adaIsCut = once(ada, 'close');
    await changed(tokensFile, JSON.stringify([token('bob')]));
    await adaIsCut;
    const anonymousIsCut = once(anonymous, 'close');
    await changed(accessFile, written('two.example', 'anonymous: false'));
    await anonymousIsCut;
    // What was cut is cut, and Bob is still told.
    const told = once(bob, 'data');
    local.bus.publish({ kind: 'tools_list_changed' });
    expect(String(await told)).toContain('notifications/tools/list_changed');
    const refused = await raw(local.port, modernRequest('tools/list'));
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('https://two.example/.well-known/oauth-protected-resource/mcp'),
    ]);
    const metadata = await fetch(`http://127.0.0.1:${local.port}/.well-known/oauth-protected-resource`);
    expect(await metadata.json()).toMatchObject({ resource: 'https://two.example/mcp' });
    bob.destroy();
    access.close();
    await local.stop();
  });
});
