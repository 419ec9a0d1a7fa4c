/** The real process and a real OpenID provider: a machine that knows the URL of a source gets a token for it, and sends. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Authentication } from '@callboard/access';
import { readAudit, startTestIssuer, startTestNats, waitFor, type TestIssuer, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Senders } from './senders.js';
import { SpecIngestors, TOKEN, type SpecIngestor } from './spec-ingestor.js';

const INGEST_URL = 'https://events.example/in';
const SOURCES = `
sources:
  - { name: ci, type: cloudevents, tenant: acme, token: { env: SPEC_TOKEN }, access: {} }
  - { name: one, type: cloudevents, tenant: acme, access: { scopes: [one.publish], users: [somebody-*] } }
  - { name: other, type: cloudevents, tenant: globex, access: {} }
  - { name: plain, type: cloudevents, tenant: acme, token: { env: SPEC_TOKEN } }
`;
const MACHINE = 'spec-machine';

let issuer: TestIssuer;
let nats: TestNats;
let sre: JetStreamManager;
let folder: string;
let ingestors: SpecIngestors;
let ingestor: SpecIngestor;

beforeAll(async () => {
  issuer = await startTestIssuer({
    user: 'jane',
    claims: { org: 'acme' },
    scopes: ['events.publish', 'one.publish', 'events.pub'],
  });
  nats = await startTestNats();
  sre = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
  folder = await mkdtemp(join(tmpdir(), 'callboard-senders-'));
  const access = join(folder, 'access.yaml');
  await writeFile(
    access,
    `
public_url: https://callboard.example
ingest_url: ${INGEST_URL}
issuers: [{ issuer: '${issuer.url}', tenant: { claim: org, allow: [acme, globex] } }]
`,
  );
  ingestors = await SpecIngestors.open(nats, SOURCES);
  ingestor = await ingestors.start({ CALLBOARD_ACCESS: access });
});
afterAll(async () => {
  await ingestors?.dispose();
  await nats?.dispose();
  await issuer?.stop();
  await rm(folder, { recursive: true, force: true });
});

const resource = (source: string) => `${INGEST_URL}/events/${source}`;

function send(source: string, token: string | undefined, id: string = randomUUID()) {
  const headers = {
    'content-type': 'application/cloudevents+json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const event = { specversion: '1.0', id, source: '/spec', type: 'com.example.build' };
  return ingestor.post(`/events/${source}`, headers, JSON.stringify(event));
}

const read = (path: string) => fetch(`http://127.0.0.1:${ingestor.port}${path}`);

describe('a machine that knows nothing but the URL of a source', () => {
  it('is told where to get a token, gets one in its own name, and sends; the record says who', async () => {
    const refused = await send('ci', undefined);
    expect(refused).toMatchObject({ status: 401, json: { code: 'unauthorized' } });
    const challenge = String(refused.headers['www-authenticate']);
    expect(challenge).toBe(
      'Bearer realm="callboard", resource_metadata="https://events.example/.well-known/oauth-protected-resource/in/events/ci", scope="events.publish"',
    );
    const url = new URL(/resource_metadata="([^"]+)"/.exec(challenge)![1]!);
    const metadata = (await (await read(url.pathname)).json()) as { resource: string };
    expect(metadata).toEqual({
      resource: resource('ci'),
      authorization_servers: [issuer.url],
      bearer_methods_supported: ['header'],
      resource_name: 'Events of ci',
      scopes_supported: ['events.publish'],
    });
    const id = randomUUID();
    const answer = await send('ci', await issuer.machineToken(metadata.resource, 'events.publish'), id);
    expect(answer).toMatchObject({ status: 202, json: { events: [expect.any(String)] } });
    expect(await ingestors.find('ci', id)).toMatchObject([{ tenantId: 'acme' }]);
    const taken = (await readAudit(sre)).filter(({ details }) =>
      JSON.stringify(details).includes(answer.json!.events![0]!),
    );
    expect(taken).toMatchObject([
      {
        what: 'taken',
        tenant_id: 'acme',
        personal: { user_id: MACHINE, client_id: MACHINE, via: 'jwt', address: '127.0.0.1' },
        details: { source: 'ci' },
      },
    ]);
  });

  it('may have a token of the source itself instead', async () => {
    expect((await send('ci', TOKEN)).status).toBe(202);
  });
});

describe('a token of an issuer', () => {
  const cases: [string, string, () => Promise<string | undefined>, number, string, string | undefined][] = [
    [
      'that somebody has changed',
      'ci',
      async () => forged(await issuer.machineToken(resource('ci'))),
      401,
      'unauthorized',
      'invalid_token',
    ],
    [
      'for the MCP server',
      'ci',
      () => issuer.machineToken('https://callboard.example/mcp'),
      401,
      'unauthorized',
      'invalid_token',
    ],
    ['for another source', 'ci', () => issuer.machineToken(resource('one')), 401, 'unauthorized', 'invalid_token'],
    [
      'at a source that takes none',
      'plain',
      () => issuer.machineToken(resource('plain')),
      401,
      'unauthorized',
      undefined,
    ],
    [
      'with too few scopes',
      'ci',
      () => issuer.machineToken(resource('ci'), 'events.pub'),
      403,
      'forbidden',
      'insufficient_scope',
    ],
    [
      'of a user that the source does not name',
      'one',
      () => issuer.machineToken(resource('one')),
      403,
      'forbidden',
      undefined,
    ],
    ["at another tenant's source", 'other', () => issuer.machineToken(resource('other')), 403, 'forbidden', undefined],
  ];

  it.each(cases)('%s stores nothing, and is on record', async (_, source, getToken, status, code, error) => {
    const before = { events: await ingestors.count(), records: (await readAudit(sre)).length };
    const answer = await send(source, await getToken());
    expect(answer).toMatchObject({ status, json: { code } });
    const challenge = String(answer.headers['www-authenticate'] ?? '');
    expect(/error="([^"]+)"/.exec(challenge)?.[1]).toBe(error);
    if (error === 'insufficient_scope') expect(challenge).toContain('scope="events.publish"');
    expect(await ingestors.count()).toBe(before.events);
    const records = await waitFor(
      async () => {
        const refusals = (await readAudit(sre)).slice(before.records).filter(({ what }) => what === 'refused');
        return refusals.length > 0 && refusals;
      },
      { what: 'the record of the refusal' },
    );
    // Who is known is on record with its own tenant, whatever source it tried.
    const personal = status === 403 ? { user_id: MACHINE, via: 'jwt' } : { address: '127.0.0.1' };
    expect(records).toMatchObject([{ code, tenant_id: 'acme', personal, details: { source, status } }]);
  });

  it('is not needed for the metadata, which are there for those sources alone that take such tokens', async () => {
    const path = '/.well-known/oauth-protected-resource';
    expect((await read(`${path}/in/events/plain`)).status).toBe(404);
    // Of several sources none is the one that is meant.
    expect((await read(path)).status).toBe(404);
    expect(await (await read(`${path}/in/events/one`)).json()).toMatchObject({ scopes_supported: ['one.publish'] });
  });
});

/** The same token for somebody else, under the signature that it had. */
function forged(token: string): string {
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const changed = Buffer.from(JSON.stringify({ ...claims, sub: 'admin' })).toString('base64url');
  return `${header}.${changed}.${signature}`;
}

describe('a token that is not limited by scopes, as those of a Backstage', () => {
  const authentication: Authentication = {
    ok: true,
    principal: { tenantId: 'acme', userId: 'plugin:ci', groups: [], via: 'backstage' },
  };
  const find = async (users?: string[], tenantId = 'acme') => {
    const source = { type: 'cloudevents', name: 'ci', tenantId, topics: ['*'], key: [], tokens: [] } as const;
    const senders = new Senders([{ ...source, access: { scopes: ['events.publish'], ...(users && { users }) } }], {
      authenticator: { authenticate: async () => authentication } as never,
      settings: { anonymous: false, rememberMs: 0, issuers: [], backstages: [] },
    });
    return (await senders.find('ci', 'Bearer token'))!;
  };

  it('is good where the source names its user, and nowhere else', async () => {
    expect(await find(['plugin:*'])).toMatchObject({ ok: true, principal: { userId: 'plugin:ci' } });
    expect(await find()).toMatchObject({ ok: false, reason: 'forbidden' });
    expect(await find(['plugin:other'])).toMatchObject({ ok: false, reason: 'forbidden' });
    expect(await find(['plugin:ci'], 'globex')).toMatchObject({ ok: false, reason: 'forbidden' });
  });
});

describe('an ingestor', () => {
  it('with a source that takes tokens of issuers, and no file that knows any, does not start', async () => {
    await expect(ingestors.start()).rejects.toThrow('The source ci has access: set CALLBOARD_ACCESS');
    const access = join(folder, 'nobody.yaml');
    await writeFile(access, 'anonymous: true');
    await expect(ingestors.start({ CALLBOARD_ACCESS: access })).rejects.toThrow(
      'CALLBOARD_ACCESS must name a file with issuers or backstages',
    );
  });
});
