/** A far side that is called for the caller: a real OpenID provider exchanges the token with which the caller came, in a real stack. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CALLS, startStack, startTestIssuer, type TestIssuer, type TestStack } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { stringify } from 'yaml';
import { parseAdapterFile } from '../adapter-file.js';
import { connectClient, type SpecClient } from '../spec-client.js';

const PUBLIC_URL = 'https://callboard.example';
const AUDIENCE = 'tickets';
const CLIENT_SECRET = 'the-secret-of-callboard-at-the-issuer';

let folder: string;
let issuer: TestIssuer;
let far: Server;
let stack: TestStack;
let token: string;
let jane: SpecClient;
let machine: SpecClient;
let authorizations: (string | undefined)[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-exchange-'));
  issuer = await startTestIssuer({
    user: 'user:default/jane',
    claims: { org: 'acme' },
    scopes: ['use'],
    exchange: { clientId: 'callboard', clientSecret: CLIENT_SECRET, audience: AUDIENCE },
  });
  far = createServer((req, res) => {
    authorizations.push(req.headers.authorization);
    // One that tells all it knows.
    res.writeHead(200).end(JSON.stringify({ said: req.headers.authorization, url: req.url }));
  });
  await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve));
  const write = async (name: string, content: object) => {
    await writeFile(join(folder, name), stringify(content));
    return join(folder, name);
  };
  await writeFile(join(folder, 'secret'), CLIENT_SECRET);
  const exchange = {
    issuer: issuer.url,
    client_id: 'callboard',
    client_secret: '${file:secret}',
    audience: AUDIENCE,
    scopes: ['tickets.write'],
  };
  const action = (id: string, more: object = {}) => ({
    id,
    description: id,
    input: { type: 'object' },
    retry: { max_attempts: 1 },
    http: {
      url: `http://127.0.0.1:${(far.address() as AddressInfo).port}/`,
      answer: 'response',
      token_exchange: { ...exchange, ...more },
    },
  });
  const adapters = await write('adapters.yaml', {
    actions: [action('far.tickets'), action('far.payroll', { audience: 'payroll' })],
  });
  const access = await write('access.yaml', {
    public_url: PUBLIC_URL,
    issuers: [{ issuer: issuer.url, tenant: 'acme' }],
  });
  const env = { CALLBOARD_ADAPTERS: adapters, CALLBOARD_ACCESS: access };
  stack = await startStack({ apps: CALLS, env });
  token = await issuer.token(`${PUBLIC_URL}/mcp`);
  jane = await connectClient({ ...stack.ready, token });
  machine = await connectClient(stack.ready);
});
beforeEach(() => {
  authorizations = [];
});
afterAll(async () => {
  await jane?.close();
  await machine?.close();
  await stack?.stop();
  await issuer?.stop();
  await new Promise((resolve) => far.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

const claimsOf = (authorization: string | undefined) =>
  JSON.parse(Buffer.from(authorization!.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;

describe('a far side that is called with an exchanged token', () => {
  it('is called for the caller, with a token that was made for it, and never sees the one with which the caller came', async () => {
    const result = await jane.call('far.tickets', {});
    expect(authorizations).toHaveLength(1);
    expect(claimsOf(authorizations[0])).toMatchObject({
      iss: issuer.url,
      sub: 'user:default/jane',
      aud: AUDIENCE,
      client_id: 'callboard',
      scope: 'tickets.write',
    });
    expect(authorizations[0]).not.toContain(token);
    expect(result.structuredContent).toEqual({ said: 'Bearer [secret]', url: '/' });
  });

  it('is not called at all for a caller who came with another credential', async () => {
    const result = await machine.call('far.tickets', {});
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: 'unauthorized' } } });
    expect(authorizations).toEqual([]);
  });

  it('is not called when the issuer gives no token for it', async () => {
    const result = await jane.call('far.payroll', {});
    expect(result).toMatchObject({
      isError: true,
      structuredContent: {
        error: { code: 'unauthorized', message: expect.stringMatching(/gives no token for this action/) },
      },
    });
    expect(authorizations).toEqual([]);
  });

  it('leaves no token in any stream or in what processes print', async () => {
    await jane.call('far.tickets', {});
    const [, exchanged] = authorizations[0]!.split(' ') as [string, string];
    const nc = await stack.connect('sre');
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    let kept = stack.output();
    for await (const { config, state } of jsm.streams.list()) {
      if (!['COMMANDS', 'OUTCOMES', 'AUDIT', 'DISPATCH'].includes(config.name)) continue;
      for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
        const message = await jsm.streams.getMessage(config.name, { seq });
        if (message) kept += Buffer.from(message.data).toString();
      }
    }
    await nc.close();
    expect(kept).toContain('far');
    for (const secret of [token, exchanged, CLIENT_SECRET]) expect(kept).not.toContain(secret);
  });
});

describe('token_exchange of an adapter file', () => {
  const written = (exchange: object, headers: object = {}) =>
    stringify({
      actions: [
        {
          id: 'far.x',
          description: 'x',
          input: { type: 'object' },
          http: {
            url: 'https://far.example/',
            headers,
            token_exchange: {
              issuer: 'https://id.example',
              client_id: 'c',
              client_secret: '${file:secret}',
              ...exchange,
            },
          },
        },
      ],
    });
  it.each<[string, object, object, RegExp]>([
    ['a secret in the file', { client_secret: 'hunter2' }, {}, /client_secret must be \$\{NAME\}/],
    ['an issuer that is sent the secret in the clear', { issuer: 'http://id.example' }, {}, /issuer must be https/],
    ['another token beside it', {}, { authorization: 'Bearer x' }, /leave one of them out/],
  ])('%s is a mistake', (_, exchange, headers, mistake) => {
    expect(() => parseAdapterFile(written(exchange, headers), 'adapters.yaml', {})).toThrow(mistake);
  });
});
