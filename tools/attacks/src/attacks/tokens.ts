/** Tokens of an issuer that is trusted, forged, stretched or stolen; and what a limited credential is not good for. */
import { call, echo, mcp, session, type Attack } from '../attack.js';
import { SpecIssuer, type Claims } from '../spec-issuer.js';
import type { Target } from '../target.js';

const refused = { status: 401, code: 'unauthorized' };
const now = () => Math.floor(Date.now() / 1_000);

const by = (name: string, make: (issuer: SpecIssuer) => string): Attack => ({
  name: `a token ${name}`,
  attempt: (target) => echo(target, { token: make(target.issuer) }),
  refused,
});
const claiming = (name: string, claims: () => Claims): Attack => by(name, (issuer) => issuer.token(claims()));
const headed = (name: string, header: (issuer: SpecIssuer) => object, strange = false): Attack =>
  by(name, (issuer) => issuer.token({}, header(issuer), (strange ? issuer.strange : issuer.key).privateKey));
/** Nobody may be asked for the key that a token brings. */
const lured = (name: string, header: (issuer: SpecIssuer) => object): Attack => ({
  name: `a token ${name}`,
  attempt: async (target) => {
    const answer = await echo(target, {
      token: target.issuer.token({}, header(target.issuer), target.issuer.strange.privateKey),
    });
    const came = target.issuer.lured.splice(0);
    return came.length === 0 ? answer : { ...answer, code: `asked for ${came.join()}` };
  },
  refused,
});
const strangeJwk = ({ strange }: SpecIssuer) => strange.publicKey.export({ format: 'jwk' });

export const TOKENS: Attack[] = [
  claiming('that expired an hour ago', () => ({ exp: now() - 3_600 })),
  claiming('that expired just beyond what clocks may differ', () => ({ exp: now() - 32 })),
  claiming('that never expires', () => ({ exp: undefined })),
  claiming('whose end is text', () => ({ exp: '9999999999' })),
  claiming('whose end is infinite', () => ({ exp: 1e400 })),
  claiming('that is not valid yet', () => ({ nbf: now() + 3_600 })),
  claiming('whose beginning is text', () => ({ nbf: 'now' })),
  claiming('for nobody', () => ({ aud: undefined })),
  claiming('for an empty list', () => ({ aud: [] })),
  claiming('for another host', () => ({ aud: 'https://callboard.example.evil/mcp' })),
  claiming('for another path', () => ({ aud: 'https://callboard.example/other' })),
  claiming('for a named server that there is not', () => ({ aud: 'https://callboard.example/mcp/admin' })),
  claiming('for the same host over http', () => ({ aud: 'http://callboard.example/mcp' })),
  claiming('for the issuer itself', () => ({ aud: 'issuer' })),
  claiming('of another issuer that the same key signed', () => ({ iss: 'https://evil.example' })),
  claiming('of an issuer with a slash more', () => ({ iss: 'http://127.0.0.1/' })),
  claiming('of no issuer', () => ({ iss: undefined })),
  claiming('of two issuers', () => ({ iss: ['a', 'b'] })),
  claiming('of a tenant that the issuer may not name', () => ({ org: 'initech' })),
  claiming('of no tenant', () => ({ org: undefined })),
  claiming('of two tenants', () => ({ org: ['acme', 'globex'] })),
  claiming('of a tenant that is a wildcard', () => ({ org: '*' })),
  claiming('of nobody', () => ({ sub: undefined })),
  claiming('of a user without a name', () => ({ sub: '' })),
  claiming('of a user that is an object', () => ({ sub: { $ne: null } })),
  claiming('of a user with a name without end', () => ({ sub: 'x'.repeat(300) })),
  claiming('with more groups than there may be', () => ({ groups: Array.from({ length: 129 }, (_, i) => `g${i}`) })),
  claiming('with groups that are objects', () => ({ groups: [{ name: 'admins' }] })),
  by('without a signature (none)', (issuer) => issuer.unsigned({ alg: 'none' })),
  by('without a signature (None)', (issuer) => issuer.unsigned({ alg: 'None' })),
  by('without a signature (nOnE)', (issuer) => issuer.unsigned({ alg: 'nOnE' })),
  by('without an algorithm', (issuer) => issuer.unsigned({})),
  by('with an empty signature under a good algorithm', (issuer) => issuer.unsigned({ alg: 'ES256' })),
  by('with a signature of zeros', (issuer) =>
    issuer.unsigned({ alg: 'ES256' }, Buffer.alloc(64).toString('base64url')),
  ),
  by('signed with the public key as a secret (HS256, PEM)', (issuer) =>
    issuer.byPublicKey('HS256', issuer.key.publicKey.export({ type: 'spki', format: 'pem' }) as string),
  ),
  by('signed with the public key as a secret (HS512, JWK)', (issuer) =>
    issuer.byPublicKey('HS512', JSON.stringify(issuer.jwk)),
  ),
  by('signed with an empty secret', (issuer) => issuer.byPublicKey('HS256', '')),
  headed('of a key that the issuer has not', () => ({ kid: 'k2' }), true),
  headed("signed by a stranger under the key's name", () => ({}), true),
  headed('signed by a stranger, without a key', () => ({ kid: undefined }), true),
  headed('that brings its own key', (issuer) => ({ jwk: strangeJwk(issuer) }), true),
  headed('that brings its own key and names ours', (issuer) => ({ jwk: strangeJwk(issuer), kid: 'k1' }), true),
  headed('that brings its own certificate', () => ({ x5c: ['MIIB'] }), true),
  lured('whose key is to be fetched from elsewhere', (issuer) => ({ jku: `${issuer.url}/evil-keys`, kid: 'k9' })),
  lured('whose certificate is to be fetched from elsewhere', (issuer) => ({ x5u: `${issuer.url}/evil-cert` })),
  lured('whose key is a file', (issuer) => ({ kid: '../../../../dev/null', jku: `${issuer.url}/evil-file` })),
  lured('whose key is a query', () => ({ kid: "k1' OR '1'='1" })),
  headed('whose key is a list', () => ({ kid: ['k1'] }), true),
  headed('with an extension that must be understood', () => ({ crit: ['x'], x: 1 })),
  headed('with an extension that must be understood, and is an empty list', () => ({ crit: [] })),
  headed('whose payload is said to be not encoded', () => ({ crit: ['b64'], b64: false })),
  headed('of another type, of which it is proof', () => ({ typ: 'dpop+jwt' })),
  headed('of a Backstage that is not configured', () => ({ typ: 'vnd.backstage.user' })),
  headed('of the type of a refresh token', () => ({ typ: 'Refresh' })),
  headed('of an algorithm that its key is not for', () => ({ alg: 'ES384' })),
  headed('of an algorithm for another kind of key', () => ({ alg: 'RS256' })),
  by('with another payload under its signature', (issuer) => {
    const [header, , signature] = issuer.token().split('.');
    return [
      header,
      Buffer.from(JSON.stringify(issuer.claims({ org: 'globex' }))).toString('base64url'),
      signature,
    ].join('.');
  }),
  by('with another header under its signature', (issuer) => {
    const [, payload, signature] = issuer.token().split('.');
    return [
      Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":"k1","x":1}').toString('base64url'),
      payload,
      signature,
    ].join('.');
  }),
  by('with its signature twice', (issuer) => {
    const token = issuer.token();
    return `${token}.${token.split('.')[2]}`;
  }),
  by('in two parts', (issuer) => issuer.token().split('.').slice(0, 2).join('.')),
  by('in five parts, as an encrypted one', (issuer) => `${issuer.token()}.AAAA.AAAA`),
  by('whose header is no JSON', (issuer) => ['AAAA', ...issuer.token().split('.').slice(1)].join('.')),
  by('whose payload is a list', (issuer) =>
    [issuer.token().split('.')[0], Buffer.from('[]').toString('base64url'), 'AAAA'].join('.'),
  ),
  {
    name: 'a token of the issuer in the query',
    attempt: (t) => echo(t, { token: null, path: `/mcp?access_token=${t.issuer.token()}` }),
    refused,
  },
];

/** A credential that is good, and not for this. */
const limited = (name: string, attempt: Attack['attempt'], refusal: Attack['refused']): Attack => ({
  name,
  attempt,
  refused: refusal,
});
const FORBIDDEN = { status: 403, code: 'forbidden' };

export const LIMITED: Attack[] = [
  limited(
    'a tool that the token is not for',
    (t: Target) => call(t, 'demo.append', { key: 'k', value: 'v' }, { token: t.limited }),
    FORBIDDEN,
  ),
  limited(
    'a tool that the token is not for, named as one that it is for in the header',
    (t) => call(t, 'demo.append', { key: 'k', value: 'v' }, { token: t.limited, headers: { 'mcp-name': 'demo.echo' } }),
    FORBIDDEN,
  ),
  limited(
    'a resource that the token is not for',
    (t) => mcp(t, 'resources/read', { uri: 'event://acme/incident' }, { token: t.limited }),
    FORBIDDEN,
  ),
  limited('events that the token is not for', (t) => call(t, 'events.read', {}, { token: t.limited }), FORBIDDEN),
  limited('a token that has ended', (t) => echo(t, { token: t.ended }), refused),
  limited('a server that the token is not for', (t) => echo(t, { token: t.elsewhere }), FORBIDDEN),
  limited(
    'a tool that a named server does not show',
    (t) => call(t, 'demo.append', { key: 'k', value: 'v' }, { path: '/mcp/reader' }),
    { status: 200, code: 'unknown_action' },
  ),
  limited(
    'a session of the one server at another',
    (t) => session(t, t.jane.sessionId, { token: t.jane.token, path: '/mcp/reader' }),
    { status: 404, code: -32001 },
  ),
  limited(
    'a token for the one server at another',
    (t) => echo(t, { token: t.issuer.token(), path: '/mcp/reader' }),
    refused,
  ),
  limited('a server that there is not', (t) => echo(t, { path: '/mcp/admin' }), { status: 404, code: 'not_found' }),
];
