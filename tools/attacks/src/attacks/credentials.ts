/** Credentials that are none, at the MCP endpoint. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { echo, mcp, type Attack } from '../attack.js';
import type { Target } from '../target.js';

const refused = { status: 401, code: 'unauthorized' };
const as = (authorization: (target: Target) => string | string[]) => (target: Target) =>
  echo(target, { token: null, headers: { authorization: authorization(target) } });

export const CREDENTIALS: Attack[] = [
  { name: 'no credential at all, from loopback', attempt: (target) => echo(target, { token: null }), refused },
  { name: 'an empty Authorization', attempt: as(() => ''), refused },
  { name: 'the scheme alone', attempt: as(() => 'Bearer'), refused },
  { name: 'a token that nobody has', attempt: as(() => `Bearer ${'x'.repeat(32)}`), refused },
  {
    name: 'the hash of a token, as the tokens file has it',
    attempt: as((t) => `Bearer ${createHash('sha256').update(t.mallory).digest('hex')}`),
    refused,
  },
  { name: 'a token without its last character', attempt: as((t) => `Bearer ${t.mallory.slice(0, -1)}`), refused },
  { name: 'a token and one character more', attempt: as((t) => `Bearer ${t.mallory}A`), refused },
  { name: 'a token in capitals', attempt: as((t) => `Bearer ${t.mallory.toUpperCase()}`), refused },
  { name: 'a token padded as base64', attempt: as((t) => `Bearer ${t.mallory}==`), refused },
  { name: 'two tokens in one header', attempt: as((t) => `Bearer ${'x'.repeat(32)} ${t.mallory}`), refused },
  { name: 'two tokens with a comma', attempt: as((t) => `Bearer ${'x'.repeat(32)}, Bearer ${t.mallory}`), refused },
  {
    name: 'a bad token first and a good one in a second header',
    attempt: as((t) => [`Bearer ${'x'.repeat(32)}`, `Bearer ${t.mallory}`]),
    refused: { status: 400 },
  },
  {
    name: 'a token as the password of Basic',
    attempt: as((t) => `Basic ${Buffer.from(`mallory:${t.mallory}`).toString('base64')}`),
    refused,
  },
  { name: 'a token as DPoP', attempt: as((t) => `DPoP ${t.mallory}`), refused },
  { name: 'a token with no scheme', attempt: as((t) => t.mallory), refused },
  { name: 'a token after a tab', attempt: as((t) => `Bearer\t${t.mallory}`), refused },
  { name: 'a token in quotes', attempt: as((t) => `Bearer "${t.mallory}"`), refused },
  {
    name: 'a token in percent encoding',
    attempt: as((t) => `Bearer ${[...t.mallory].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}`),
    refused,
  },
  {
    name: 'a token in the query',
    attempt: (t) => echo(t, { token: null, path: `/mcp?access_token=${t.mallory}` }),
    refused,
  },
  {
    name: 'a token in a cookie',
    attempt: (t) => echo(t, { token: null, headers: { cookie: `Authorization=Bearer ${t.mallory}` } }),
    refused,
  },
  {
    name: 'a token in Proxy-Authorization',
    attempt: (t) => echo(t, { token: null, headers: { 'proxy-authorization': `Bearer ${t.mallory}` } }),
    refused,
  },
  {
    name: 'a token in _meta',
    attempt: (t) => echo(t, { token: null, meta: { authorization: `Bearer ${t.mallory}` } }),
    refused,
  },
  {
    name: 'a user name that a proxy would have set',
    attempt: (t) =>
      echo(t, { token: null, headers: { 'x-forwarded-user': 'user:default/vera', 'x-remote-user': 'vera' } }),
    refused,
  },
  {
    name: 'an address that a proxy would have set',
    attempt: (t) => echo(t, { token: null, headers: { 'x-forwarded-for': '127.0.0.1', forwarded: 'for=127.0.0.1' } }),
    refused,
  },
  { name: 'the token of an event source', attempt: (t) => echo(t, { token: t.ingestToken }), refused },
  {
    name: 'the callback token of a far side',
    attempt: (t) => echo(t, { token: t.callbacks.open.callback.token }),
    refused,
  },
  {
    name: 'the credentials of a NATS user',
    attempt: async (t) => {
      const creds = await readFile(t.stack.ready.nats_users['sre']!.creds, 'utf8');
      return echo(t, { token: /-+BEGIN NATS USER JWT-+\n(\S+)/.exec(creds)![1]! });
    },
    refused,
  },
  {
    name: 'the token of the stack, where it is configured with others',
    attempt: (t) => echo(t, { token: t.stack.ready.token }),
    refused,
  },
  { name: 'a list of tools without a credential', attempt: (t) => mcp(t, 'tools/list', {}, { token: null }), refused },
  {
    name: 'server/discover without a credential',
    attempt: (t) => mcp(t, 'server/discover', {}, { token: null }),
    refused,
  },
  { name: 'a token of a megabyte', attempt: as(() => `Bearer ${'x'.repeat(1_000_000)}`), refused: { status: 431 } },
  { name: 'a token of 20,000 characters', attempt: as(() => `Bearer ${'x'.repeat(20_000)}`), refused: { status: 431 } },
];
