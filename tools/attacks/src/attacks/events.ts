/** Events of senders that are not who they say, that come again, or that say what is not theirs to say. */
import { createHmac } from 'node:crypto';
import type { HttpHeaders } from '@callboard/testing';
import { ingest, type Attack } from '../attack.js';
import type { Claims, SpecIssuer } from '../spec-issuer.js';
import type { Target } from '../target.js';

const unauthorized = { status: 401, code: 'unauthorized' };
const signature = { status: 401, code: 'invalid_signature' };
const invalid = { status: 400, code: 'invalid_event' };
const forbidden = { status: 403, code: 'forbidden' };
const notFound = { status: 404, code: 'not_found' };

const EVENT = { specversion: '1.0', id: 'attack', source: '/attacks', type: 'incident', data: {} };
const STRUCTURED = { 'content-type': 'application/cloudevents+json' };

const event =
  (more: object = {}, options: { token?: (target: Target) => string | null; path?: string } = {}) =>
  (target: Target) => {
    const token = (options.token ?? ((t) => t.ingestToken))(target);
    const headers = { ...STRUCTURED, ...(token !== null && { authorization: `Bearer ${token}` }) };
    return ingest(target, options.path ?? '/events/acme', headers, JSON.stringify({ ...EVENT, ...more }));
  };

/** Claims of a token with which Mallory may send to the source of his tenant. */
const publishing = (claims: Claims = {}): Claims => ({
  aud: 'https://callboard.example/events/acme',
  scope: 'events.publish',
  ...claims,
});
const issued = (
  name: string,
  make: (issuer: SpecIssuer) => string,
  options: { refused?: Attack['refused']; path?: string; more?: object } = {},
): Attack => ({
  name: `an event with a token of an issuer ${name}`,
  attempt: event(options.more, {
    token: ({ issuer }) => make(issuer),
    ...(options.path !== undefined && { path: options.path }),
  }),
  refused: options.refused ?? unauthorized,
});
/** What the table varies, and what is good. */
export const publish = (target: Target) => event({}, { token: ({ issuer }) => issuer.token(publishing()) })(target);

const GITHUB = JSON.stringify({ action: 'opened', repository: { full_name: 'acme/web' } });
const signed = (secret: string, body: string) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
const github =
  (headers: (target: Target) => HttpHeaders, body = GITHUB) =>
  (target: Target) =>
    ingest(
      target,
      '/webhooks/hub',
      {
        'content-type': 'application/json',
        'x-github-event': 'issues',
        'x-github-delivery': 'attack',
        ...headers(target),
      },
      body,
    );

const STANDARD = JSON.stringify({ type: 'invoice.paid' });
const standardSignature = (target: Target, id: string, at: number, body = STANDARD) =>
  `v1,${createHmac('sha256', Buffer.from(target.standardSecret.slice('whsec_'.length), 'base64'))
    .update(`${id}.${at}.${body}`)
    .digest('base64')}`;
const now = () => Math.floor(Date.now() / 1_000);
const standard =
  (
    sign: (target: Target) => { id: string | string[]; at: number | string; signature: string | string[] },
    body = STANDARD,
  ) =>
  (target: Target) => {
    const { id, at, signature: value } = sign(target);
    const headers = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(at),
      'webhook-signature': value,
    };
    return ingest(target, '/webhooks/standard', headers, body);
  };

export const EVENTS: Attack[] = [
  { name: 'an event without a token', attempt: event({}, { token: () => null }), refused: unauthorized },
  { name: "an event with a client's token", attempt: event({}, { token: (t) => t.mallory }), refused: unauthorized },
  {
    name: "an event with another source's token",
    attempt: event({}, { token: (t) => t.otherIngestToken }),
    refused: unauthorized,
  },
  {
    name: 'an event for another tenant, with its own token',
    attempt: event({}, { path: '/events/globex' }),
    refused: unauthorized,
  },
  {
    name: 'an event with the secret of a webhook as token',
    attempt: event({}, { token: (t) => t.githubSecret }),
    refused: unauthorized,
  },
  issued('that a stranger signed', (by) => by.token(publishing(), {}, by.strange.privateKey)),
  issued('that nobody signed', (by) => by.token(publishing(), { alg: 'none' }).replace(/[^.]+$/, '')),
  issued('that has expired', (by) => by.token(publishing({ exp: now() - 3_600 }))),
  issued('that never expires', (by) => by.token(publishing({ exp: undefined }))),
  issued('for an MCP server', (by) => by.token({ scope: 'events.publish' })),
  issued('for another source', (by) => by.token(publishing({ aud: 'https://callboard.example/events/globex' }))),
  issued('for all sources', (by) => by.token(publishing({ aud: 'https://callboard.example/events' }))),
  issued('of a tenant that the issuer may not name', (by) => by.token(publishing({ org: 'initech' }))),
  issued('without a scope', (by) => by.token(publishing({ scope: undefined })), { refused: forbidden }),
  issued('with a scope that begins as the one', (by) => by.token(publishing({ scope: 'events.publish.not' })), {
    refused: forbidden,
  }),
  issued(
    "for another tenant's source",
    (by) => by.token(publishing({ aud: 'https://callboard.example/events/globex' })),
    {
      path: '/events/globex',
      refused: forbidden,
    },
  ),
  issued('of another tenant', (by) => by.token(publishing({ org: 'globex' })), { refused: forbidden }),
  issued('and a topic that the source may not send', (by) => by.token(publishing()), {
    more: { type: 'deployment' },
    refused: forbidden,
  }),
  {
    name: 'an event with a token of an issuer in the query',
    attempt: (t) =>
      event({}, { token: () => null, path: `/events/acme?access_token=${t.issuer.token(publishing())}` })(t),
    refused: unauthorized,
  },
  {
    name: 'an event for a source that does not exist',
    attempt: event({}, { path: '/events/nobody' }),
    refused: notFound,
  },
  { name: 'an event for every source', attempt: event({}, { path: '/events/*' }), refused: notFound },
  {
    name: 'an event for a path that climbs',
    attempt: event({}, { path: '/events/acme/../globex' }),
    refused: notFound,
  },
  { name: 'an event at the path of webhooks', attempt: event({}, { path: '/webhooks/acme' }), refused: notFound },
  {
    name: 'an event where there are two sources to choose from',
    attempt: event({}, { path: '/events' }),
    refused: notFound,
  },
  { name: 'a topic that the source may not send', attempt: event({ type: 'deployment' }), refused: forbidden },
  { name: 'a topic that begins as one that it may', attempt: event({ type: 'incident.internal' }), refused: forbidden },
  {
    name: 'a gap, which only Callboard tells',
    attempt: event({ type: 'io.callboard.gap' }, { token: (t) => t.otherIngestToken, path: '/events/globex' }),
    refused: forbidden,
  },
  {
    name: 'a topic that is a wildcard',
    attempt: event({ type: '*' }, { token: (t) => t.otherIngestToken, path: '/events/globex' }),
    refused: invalid,
  },
  { name: 'a topic that ends with a wildcard', attempt: event({ type: 'build.>' }), refused: invalid },
  { name: 'a topic with NUL', attempt: event({ type: 'build.\0' }), refused: invalid },
  { name: 'a topic with a line end', attempt: event({ type: 'build.\r\nNats-Msg-Id: x' }), refused: invalid },
  { name: 'an id with NUL', attempt: event({ id: 'a\0b' }), refused: invalid },
  { name: 'an id with a line end', attempt: event({ id: 'a\r\nb' }), refused: invalid },
  { name: 'an id that is half a surrogate pair', attempt: event({ id: '\ud800' }), refused: invalid },
  {
    name: 'an extension that is a prototype',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { ...STRUCTURED, authorization: `Bearer ${t.ingestToken}` },
        `{"specversion":"1.0","id":"a","source":"/a","type":"incident","__proto__":{"tenant":"globex"}}`,
      ),
    refused: invalid,
  },
  { name: 'an extension that is an object', attempt: event({ tenant: { id: 'globex' } }), refused: invalid },
  { name: 'another specification', attempt: event({ specversion: '0.3' }), refused: invalid },
  { name: 'no source of its own', attempt: event({ source: '' }), refused: invalid },
  { name: 'a time that is none', attempt: event({ time: 'yesterday' }), refused: invalid },
  { name: 'data twice', attempt: event({ data_base64: 'AAAA' }), refused: invalid },
  {
    name: 'an event that is no JSON',
    attempt: (t) => ingest(t, '/events/acme', { ...STRUCTURED, authorization: `Bearer ${t.ingestToken}` }, '{'),
    refused: { status: 400, code: 'invalid_request' },
  },
  {
    name: 'an event a thousand levels deep',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { ...STRUCTURED, authorization: `Bearer ${t.ingestToken}` },
        `{"specversion":"1.0","data":${'['.repeat(1_000)}${']'.repeat(1_000)}}`,
      ),
    refused: { status: 400, code: 'invalid_request' },
  },
  {
    name: 'an event of 5 MiB, by its declared length',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { ...STRUCTURED, authorization: `Bearer ${t.ingestToken}`, 'content-length': String(5 * 1024 * 1024) },
        '',
      ),
    refused: { status: 413, code: 'payload_too_large' },
  },
  {
    name: 'a batch of more than there may be',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { 'content-type': 'application/cloudevents-batch+json', authorization: `Bearer ${t.ingestToken}` },
        JSON.stringify(Array.from({ length: 1_001 }, (_, i) => ({ ...EVENT, id: `b${i}` }))),
      ),
    refused: { status: 413, code: 'payload_too_large' },
  },
  {
    name: 'an event in gzip',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { ...STRUCTURED, authorization: `Bearer ${t.ingestToken}`, 'content-encoding': 'gzip' },
        '{}',
      ),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'an event in a form',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        { 'content-type': 'multipart/form-data', authorization: `Bearer ${t.ingestToken}` },
        '{}',
      ),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'an attribute in two headers',
    attempt: (t) =>
      ingest(
        t,
        '/events/acme',
        {
          'content-type': 'application/json',
          authorization: `Bearer ${t.ingestToken}`,
          'ce-specversion': '1.0',
          'ce-id': ['a', 'b'],
          'ce-source': '/a',
          'ce-type': 'incident',
        },
        '{}',
      ),
    refused: invalid,
  },

  { name: 'a webhook without a signature', attempt: github(() => ({})), refused: signature },
  {
    name: 'a webhook with an empty signature',
    attempt: github(() => ({ 'x-hub-signature-256': 'sha256=' })),
    refused: signature,
  },
  {
    name: 'a webhook signed with another secret',
    attempt: github(() => ({ 'x-hub-signature-256': signed('other', GITHUB) })),
    refused: signature,
  },
  {
    name: 'a webhook signed with the secret of another source',
    attempt: github((t) => ({ 'x-hub-signature-256': signed(t.standardSecret, GITHUB) })),
    refused: signature,
  },
  {
    name: 'a webhook with the signature of another body',
    attempt: github((t) => ({ 'x-hub-signature-256': signed(t.githubSecret, `${GITHUB} `) })),
    refused: signature,
  },
  {
    name: 'a webhook with the older signature only',
    attempt: github((t) => ({
      'x-hub-signature': `sha1=${createHmac('sha1', t.githubSecret).update(GITHUB).digest('hex')}`,
    })),
    refused: signature,
  },
  {
    name: 'a webhook with SHA-1 where SHA-256 belongs',
    attempt: github((t) => ({
      'x-hub-signature-256': `sha1=${createHmac('sha1', t.githubSecret).update(GITHUB).digest('hex')}`,
    })),
    refused: signature,
  },
  {
    name: 'a webhook with a bad signature and a good one',
    attempt: github((t) => ({ 'x-hub-signature-256': [`sha256=${'0'.repeat(64)}`, signed(t.githubSecret, GITHUB)] })),
    refused: signature,
  },
  {
    name: 'a webhook signed well, its event missing',
    attempt: github((t) => ({ 'x-hub-signature-256': signed(t.githubSecret, GITHUB), 'x-github-event': undefined })),
    refused: invalid,
  },
  {
    name: 'a webhook signed well, its event a wildcard',
    attempt: github((t) => ({ 'x-hub-signature-256': signed(t.githubSecret, GITHUB), 'x-github-event': '>' })),
    refused: invalid,
  },
  {
    name: 'a webhook signed well, its body no object',
    attempt: github((t) => ({ 'x-hub-signature-256': signed(t.githubSecret, '[]') }), '[]'),
    refused: invalid,
  },
  {
    name: 'a webhook at the path of events',
    attempt: (t) =>
      ingest(
        t,
        '/events/hub',
        { 'content-type': 'application/json', 'x-hub-signature-256': signed(t.githubSecret, GITHUB) },
        GITHUB,
      ),
    refused: notFound,
  },

  {
    name: 'a signed request of an hour ago',
    attempt: standard((t) => {
      const at = now() - 3_600;
      return { id: 'm1', at, signature: standardSignature(t, 'm1', at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request from an hour ahead',
    attempt: standard((t) => {
      const at = now() + 3_600;
      return { id: 'm2', at, signature: standardSignature(t, 'm2', at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request whose time was moved',
    attempt: standard((t) => {
      const at = now() - 3_600;
      return { id: 'm3', at: now(), signature: standardSignature(t, 'm3', at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request under another id',
    attempt: standard((t) => {
      const at = now();
      return { id: 'm4', at, signature: standardSignature(t, 'm5', at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request whose id takes in the time',
    attempt: standard((t) => {
      const at = now();
      return { id: `m6.${at}`, at, signature: standardSignature(t, `m6.${at}`, at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request with two ids',
    attempt: standard((t) => {
      const at = now();
      return { id: ['m7', 'm8'], at, signature: standardSignature(t, 'm7', at) };
    }),
    refused: signature,
  },
  {
    name: 'a signed request with a time in another form',
    attempt: standard((t) => ({ id: 'm9', at: '1e9', signature: standardSignature(t, 'm9', 1e9) })),
    refused: signature,
  },
  {
    name: 'a signature of another version',
    attempt: standard((t) => {
      const at = now();
      return { id: 'm10', at, signature: standardSignature(t, 'm10', at).replace('v1,', 'v1a,') };
    }),
    refused: signature,
  },
  {
    name: 'a signature cut short',
    attempt: standard((t) => {
      const at = now();
      return { id: 'm11', at, signature: standardSignature(t, 'm11', at).slice(0, -4) };
    }),
    refused: signature,
  },
];
