/** Requests that two readers would read differently, that are no HTTP, or that are led here under another name. */
import { bytes, echo, mcpBytes, type Attack } from '../attack.js';
import type { Target } from '../target.js';

const CRLF = '\r\n';
const bad = { status: 400 };
const forbidden = { status: 403, code: 'forbidden' };

/** A whole, good request whose head is changed by hand. */
const changed =
  (change: (head: string) => string, more = '') =>
  (target: Target) => {
    const whole = mcpBytes(target, 'tools/call', { name: 'demo.echo', arguments: { text: 'x' } }).toString('latin1');
    const [head = '', body = ''] = whole.split(CRLF + CRLF);
    return bytes(target.mcpPort, Buffer.from(`${change(head)}${CRLF}${CRLF}${body}${more}`, 'latin1'));
  };
const header = (line: string) => changed((head) => `${head}${CRLF}${line}`);
const withoutLength = (lines: string) => (head: string) =>
  `${head.replace(/\r\ncontent-length: \d+/, '')}${CRLF}${lines}`;
const requestLine = (line: string) => changed((head) => head.replace(/^[^\r]+/, line));
const host = (value: string) => (target: Target) => echo(target, { headers: { host: value } });
const origin = (value: string) => (target: Target) => echo(target, { headers: { origin: value } });

export const SMUGGLING: Attack[] = [
  { name: 'a length and chunks', attempt: header('transfer-encoding: chunked'), refused: bad },
  {
    name: 'chunks and, after them, a length',
    attempt: changed((head) => head.replace(/\r\n(content-length)/, `${CRLF}transfer-encoding: chunked${CRLF}$1`)),
    refused: bad,
  },
  { name: 'two lengths that differ', attempt: header('content-length: 5'), refused: bad },
  {
    name: 'a length twice, the same',
    attempt: changed((head) => head.replace(/(content-length: \d+)/, `$1${CRLF}$1`)),
    refused: bad,
  },
  {
    name: 'two lengths in one header',
    attempt: changed((head) => head.replace(/content-length: (\d+)/, 'content-length: $1, $1')),
    refused: bad,
  },
  {
    name: 'a length with a sign',
    attempt: changed((head) => head.replace(/content-length: /, 'content-length: +')),
    refused: bad,
  },
  {
    name: 'a negative length',
    attempt: changed((head) => head.replace(/content-length: \d+/, 'content-length: -1')),
    refused: bad,
  },
  {
    name: 'a length in hexadecimal',
    attempt: changed((head) => head.replace(/content-length: \d+/, 'content-length: 0x1f')),
    refused: bad,
  },
  {
    name: 'a length beyond 64 bits',
    attempt: changed((head) => head.replace(/content-length: \d+/, `content-length: ${'9'.repeat(30)}`)),
    refused: bad,
  },
  {
    name: 'a space before the colon of the length',
    attempt: changed((head) => head.replace('content-length:', 'content-length :')),
    refused: bad,
  },
  {
    name: 'an encoding that only looks like chunked',
    attempt: changed(withoutLength('transfer-encoding: xchunked')),
    refused: bad,
  },
  {
    name: 'chunked, and something after it',
    attempt: changed(withoutLength('transfer-encoding: chunked, identity')),
    refused: bad,
  },
  {
    name: 'chunked twice',
    attempt: changed(withoutLength(`transfer-encoding: chunked${CRLF}transfer-encoding: chunked`)),
    refused: bad,
  },
  {
    name: 'chunked with a vertical tab',
    attempt: changed(withoutLength('transfer-encoding: \x0bchunked')),
    refused: bad,
  },
  {
    name: 'a chunk with a negative size',
    attempt: (t) => bytes(t.mcpPort, chunked(t, '-1\r\nx\r\n0\r\n\r\n')),
    refused: bad,
  },
  {
    name: 'a chunk whose size overflows',
    attempt: (t) => bytes(t.mcpPort, chunked(t, `${'f'.repeat(20)}\r\nx\r\n0\r\n\r\n`)),
    refused: bad,
  },
  { name: 'a chunk with a bare line feed', attempt: (t) => bytes(t.mcpPort, chunked(t, '1\nx\n0\n\n')), refused: bad },
  {
    name: 'a chunk longer than it says',
    attempt: (t) => bytes(t.mcpPort, chunked(t, '1\r\nxx\r\n0\r\n\r\n')),
    refused: bad,
  },
  { name: 'a header folded over two lines', attempt: header('x-a: 1\r\n content-length: 0'), refused: bad },
  { name: 'a bare carriage return in a header', attempt: header('x-a: 1\rauthorization: Bearer other'), refused: bad },
  { name: 'NUL in a header', attempt: header('x-a: a\0b'), refused: bad },
  { name: 'NUL in the name of a header', attempt: header('x\0a: b'), refused: bad },
  { name: 'a header without a name', attempt: header(': b'), refused: bad },
  { name: 'a header name with a space', attempt: header('mcp method: tools/list'), refused: bad },
  {
    name: 'lines that end with a bare line feed',
    attempt: changed((head) => head.replaceAll(CRLF, '\n')),
    refused: bad,
  },
  { name: 'two Hosts', attempt: header('host: evil.example'), refused: bad },
  { name: 'one Host twice', attempt: header('host: localhost'), refused: bad },
  {
    name: 'a good credential and, after it, another',
    attempt: header(`authorization: Bearer ${'x'.repeat(32)}`),
    refused: bad,
  },
  { name: 'two media types', attempt: header('content-type: text/plain'), refused: bad },
  { name: 'no Host', attempt: changed((head) => head.replace(/\r\nhost: [^\r]+/, '')), refused: bad },
  { name: 'HTTP/0.9', attempt: (t) => bytes(t.mcpPort, 'GET /mcp\r\n\r\n'), refused: forbidden },
  { name: 'HTTP/3.0', attempt: requestLine('POST /mcp HTTP/3.0'), refused: bad },
  { name: 'the preface of HTTP/2', attempt: (t) => bytes(t.mcpPort, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), refused: bad },
  { name: 'a line end in the path', attempt: requestLine('POST /mcp\rX HTTP/1.1'), refused: bad },
  {
    name: 'a TLS handshake',
    attempt: (t) => bytes(t.mcpPort, Buffer.from('16030100a5010000a10303', 'hex')),
    refused: bad,
  },
  {
    name: 'a second request hidden behind the first, without a credential',
    attempt: async (t) => {
      const hidden = 'POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}';
      const both = await changed((head) => head.replace('connection: close', 'connection: keep-alive'), hidden)(t);
      const second = / (\d+) Unauthorized/.exec(both.text);
      return { ...both, status: Number(second?.[1] ?? 0) };
    },
    refused: { status: 401 },
    stored: 'own',
  },
  {
    name: 'credentials in the trailer of the chunks',
    attempt: (t) => bytes(t.mcpPort, chunked(t, `2\r\n{}\r\n0\r\nauthorization: Bearer ${t.mallory}\r\n\r\n`, false)),
    refused: { status: 401, code: 'unauthorized' },
  },
  {
    name: 'a method that another header names',
    attempt: (t) => echo(t, { method: 'GET', headers: { 'x-http-method-override': 'POST' } }),
    refused: { status: 405, code: 'invalid_request' },
  },
  { name: 'TRACE', attempt: requestLine('TRACE /mcp HTTP/1.1'), refused: { status: 405, code: 'invalid_request' } },
  {
    name: 'CONNECT to somewhere else',
    attempt: (t) => bytes(t.mcpPort, 'CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: 169.254.169.254\r\n\r\n'),
    refused: { status: 0 },
  },
  {
    name: 'an upgrade to another protocol',
    attempt: changed((head) => `${head.replace('connection: close', 'connection: upgrade, close')}${CRLF}upgrade: h2c`),
    refused: { status: 200 },
    stored: 'own',
  },
  {
    name: 'another site in an absolute address',
    attempt: requestLine('POST http://evil.example/mcp HTTP/1.1'),
    refused: { status: 404 },
  },
  {
    name: 'a path that climbs',
    attempt: (t) => echo(t, { path: '/results/../mcp' }),
    refused: { status: 404, code: 'not_found' },
  },
  {
    name: 'a path with encoded dots',
    attempt: (t) => echo(t, { path: '/mcp/%2e%2e/admin' }),
    refused: { status: 404, code: 'not_found' },
  },
  { name: 'a path with two slashes', attempt: (t) => echo(t, { path: '//mcp' }), refused: { status: 404 } },
  { name: 'a path in capitals', attempt: (t) => echo(t, { path: '/MCP' }), refused: { status: 404 } },
  {
    name: 'a path with NUL',
    attempt: (t) => echo(t, { path: '/mcp/%00' }),
    refused: { status: 404, code: 'not_found' },
  },
  { name: 'a path with a matrix parameter', attempt: (t) => echo(t, { path: '/mcp;x=1' }), refused: { status: 404 } },
  {
    name: 'the port of the metrics as a path',
    attempt: (t) => echo(t, { path: '/metrics' }),
    refused: { status: 404 },
  },
];

function chunked(target: Target, body: string, authorised = true): Buffer {
  const head = [
    'POST /mcp HTTP/1.1',
    'host: localhost',
    'connection: close',
    'content-type: application/json',
    ...(authorised ? [`authorization: Bearer ${target.mallory}`] : []),
    'transfer-encoding: chunked',
  ].join(CRLF);
  return Buffer.from(`${head}${CRLF}${CRLF}${body}`, 'latin1');
}

export const NAMES_OF_SITES: Attack[] = [
  { name: 'the Host of another site (DNS rebinding)', attempt: host('evil.example'), refused: forbidden },
  { name: 'a Host that begins like ours', attempt: host('localhost.evil.example'), refused: forbidden },
  { name: 'a Host that ends like ours', attempt: host('evil-localhost'), refused: forbidden },
  { name: 'a Host with our name as user', attempt: host('localhost@evil.example'), refused: forbidden },
  { name: 'a Host that is a private address', attempt: host('10.0.0.1'), refused: forbidden },
  { name: 'a Host that is the wildcard address', attempt: host('0.0.0.0'), refused: forbidden },
  { name: 'an empty Host', attempt: host(''), refused: forbidden },
  { name: 'the Origin of another site', attempt: origin('https://evil.example'), refused: forbidden },
  { name: 'an Origin that begins like ours', attempt: origin('http://localhost.evil.example'), refused: forbidden },
  { name: 'the Origin of a sandboxed page', attempt: origin('null'), refused: forbidden },
  { name: 'the Origin of a file', attempt: origin('file://'), refused: forbidden },
  { name: 'an Origin with our name as user', attempt: origin('http://localhost@evil.example'), refused: forbidden },
  {
    name: 'two Origins',
    attempt: (t) => echo(t, { headers: { origin: ['http://localhost', 'https://evil.example'] } }),
    refused: forbidden,
  },
];
