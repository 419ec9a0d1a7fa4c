/** Messages that say two things at once, that are no messages, and that are too large, too deep or too slow. */
import { gzipSync } from 'node:zlib';
import { bytes, call, echo, mcp, mcpBytes, type Attack } from '../attack.js';
import type { Target } from '../target.js';

const mismatch = { status: 400, code: -32020 };
const invalid = { status: 400, code: 'invalid_request' };
const parse = { status: 400, code: -32700 };
const tooLarge = { status: 413, code: 'payload_too_large' };
const params = { status: 200, code: -32602 };
const slow = { status: 408 };
const field = (name: string, value: unknown) => (target: Target) =>
  echo(target, { meta: { [`io.callboard/${name}`]: value } });
const wrongField = { status: 200, code: 'invalid_messaging_field' };

/** The head of a good request, and then as much of the body as is given. */
const head = (target: Target) => {
  const whole = mcpBytes(target, 'tools/call', { name: 'demo.echo', arguments: { text: 'x' } }).toString('latin1');
  return whole.slice(0, whole.indexOf('\r\n\r\n') + 4);
};

export const CONFUSION: Attack[] = [
  {
    name: 'a harmless tool in the header, another in the body',
    attempt: (t) => call(t, 'demo.append', { key: 'k', value: 'v' }, { headers: { 'mcp-name': 'demo.echo' } }),
    refused: mismatch,
  },
  {
    name: 'a harmless method in the header, another in the body',
    attempt: (t) => echo(t, { headers: { 'mcp-method': 'tools/list' } }),
    refused: mismatch,
  },
  {
    name: 'two methods in the headers',
    attempt: (t) => echo(t, { headers: { 'mcp-method': ['tools/list', 'tools/call'] } }),
    refused: mismatch,
  },
  {
    name: 'two names in the headers',
    attempt: (t) => echo(t, { headers: { 'mcp-name': ['demo.echo', 'demo.append'] } }),
    refused: mismatch,
  },
  {
    name: 'no name in the headers',
    attempt: (t) => echo(t, { headers: { 'mcp-name': undefined } }),
    refused: mismatch,
  },
  {
    name: 'a name in broken Base64',
    attempt: (t) => echo(t, { headers: { 'mcp-name': '=?base64?!!?=' } }),
    refused: mismatch,
  },
  {
    name: 'another revision in the header',
    attempt: (t) => echo(t, { headers: { 'mcp-protocol-version': '2025-11-25' } }),
    refused: mismatch,
  },
  {
    name: 'a revision from the future in header and body',
    attempt: (t) =>
      echo(t, {
        headers: { 'mcp-protocol-version': '2099-01-01' },
        meta: { 'io.modelcontextprotocol/protocolVersion': '2099-01-01' },
      }),
    refused: { status: 400, code: -32022 },
  },
  {
    name: 'another task in the header',
    attempt: (t) => mcp(t, 'tasks/get', { taskId: t.vera.taskId }, { headers: { 'mcp-name': 'c_mine' } }),
    refused: mismatch,
  },
  {
    name: 'a batch',
    attempt: (t) => echo(t, { body: '[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]' }),
    refused: invalid,
  },
  {
    name: 'one member twice, with two names',
    attempt: (t) =>
      echo(t, {
        body: '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"demo.append"}}',
      }),
    refused: { status: 400, code: -32602 },
  },
  {
    name: 'a response that nobody asked for',
    attempt: (t) => echo(t, { body: '{"jsonrpc":"2.0","id":1,"result":{}}' }),
    refused: invalid,
  },
  {
    name: 'a prototype as a member',
    attempt: (t) =>
      echo(t, { body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","__proto__":{"params":{"name":"demo.append"}}}' }),
    refused: { status: 400, code: -32600 },
  },
  {
    name: 'arguments with a prototype',
    attempt: (t) => call(t, 'demo.append', JSON.parse('{"__proto__":{"key":"k","value":"v"}}')),
    refused: { status: 200, code: 'invalid_arguments' },
  },
  {
    name: 'an id that is an object',
    attempt: (t) => echo(t, { body: '{"jsonrpc":"2.0","id":{"$gt":""},"method":"tools/list"}' }),
    refused: { status: 400, code: -32600 },
  },
  { name: 'arguments that are a list', attempt: (t) => call(t, 'demo.echo', ['x']), refused: params },
  {
    name: 'arguments of another type',
    attempt: (t) => call(t, 'demo.echo', { text: { toString: 'x' } }),
    refused: { status: 200, code: 'invalid_arguments' },
  },
  { name: 'half a surrogate pair as the ordering key', attempt: field('ordering_key', '\ud800'), refused: wrongField },
  { name: 'an ordering key that is a list', attempt: field('ordering_key', ['a', 'b']), refused: wrongField },
  { name: 'an empty idempotency key', attempt: field('idempotency_key', ''), refused: wrongField },
  { name: 'a deadline that is negative', attempt: field('deadline_ms', -1), refused: wrongField },
  { name: 'a deadline beyond what is kept', attempt: field('deadline_ms', 13 * 3_600_000), refused: wrongField },
  { name: 'a deadline that is no number', attempt: field('deadline_ms', 1e400), refused: wrongField },
  { name: 'a priority that does not exist', attempt: field('priority', 'root'), refused: wrongField },
  {
    name: 'a compensation with arguments that are a list',
    attempt: field('compensation', { tool: 'demo', method: 'append', args: [] }),
    refused: wrongField,
  },
];

export const SIZES: Attack[] = [
  {
    name: 'a body of 64 MiB, by its declared length',
    attempt: (t) => bytes(t.mcpPort, head(t).replace(/content-length: \d+/, `content-length: ${64 * 1024 * 1024}`)),
    refused: tooLarge,
  },
  {
    name: 'a body without end, in chunks',
    attempt: (t) =>
      bytes(t.mcpPort, [
        head(t).replace(/content-length: \d+/, 'transfer-encoding: chunked'),
        ...Array<string>(20).fill(`10000\r\n${'x'.repeat(0x10000)}\r\n`),
        '0\r\n\r\n',
      ]),
    refused: tooLarge,
  },
  {
    name: 'a bomb of gzip',
    attempt: (t) =>
      echo(t, { headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(4 * 1024 * 1024, 0x20)) }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'a bomb of Brotli',
    attempt: (t) => echo(t, { headers: { 'content-encoding': 'br' } }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'headers of 32 KiB',
    attempt: (t) => echo(t, { headers: { 'x-big': 'x'.repeat(32 * 1024) } }),
    refused: { status: 431 },
  },
  {
    name: 'a path of 32 KiB',
    attempt: (t) => echo(t, { path: `/mcp/${'x'.repeat(32 * 1024)}` }),
    refused: { status: 431 },
  },
  { name: 'arrays a hundred thousand deep', attempt: (t) => echo(t, { body: '['.repeat(100_000) }), refused: invalid },
  {
    name: 'objects a hundred thousand deep',
    attempt: (t) => echo(t, { body: '{"a":'.repeat(100_000) }),
    refused: invalid,
  },
  {
    name: 'arguments one level too deep',
    attempt: (t) => call(t, 'demo.echo', { text: JSON.parse(`${'['.repeat(62)}${']'.repeat(62)}`) as unknown }),
    refused: invalid,
  },
  {
    name: 'text longer than its schema',
    attempt: (t) => call(t, 'demo.echo', { text: 'x'.repeat(100_001) }),
    refused: { status: 200, code: 'invalid_arguments' },
  },
  { name: 'an ordering key of 257 characters', attempt: field('ordering_key', 'k'.repeat(257)), refused: wrongField },
  {
    name: 'an idempotency key of a megabyte, almost',
    attempt: field('idempotency_key', 'k'.repeat(900_000)),
    refused: wrongField,
  },
  {
    name: 'JSON that is cut off',
    attempt: (t) => echo(t, { body: '{"jsonrpc":"2.0","id":1,"method":"tools/ca' }),
    refused: parse,
  },
  {
    name: 'bytes that are no UTF-8',
    attempt: (t) => echo(t, { body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]) }),
    refused: parse,
  },
  { name: 'UTF-16', attempt: (t) => echo(t, { body: Buffer.from('{"jsonrpc":"2.0"}', 'utf16le') }), refused: parse },
  {
    name: 'a body of another type',
    attempt: (t) => echo(t, { headers: { 'content-type': 'text/plain' } }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'a form, as a page of another site could send',
    attempt: (t) => echo(t, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'more filters than there may be',
    attempt: (t) =>
      call(t, 'events.subscribe', {
        name: 'much',
        filters: Array.from({ length: 200 }, (_, i) => ({ exact: { key: `k${i}` } })),
      }),
    refused: { status: 200, code: 'invalid_arguments' },
  },
  {
    name: 'more tasks to follow than there may be',
    attempt: (t) =>
      mcp(t, 'subscriptions/listen', { notifications: { taskIds: Array.from({ length: 65 }, (_, i) => `c_${i}`) } }),
    refused: params,
  },
];

export const SLOW: Attack[] = [
  {
    name: 'a head that never ends',
    attempt: (t) => bytes(t.mcpPort, 'POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-a: '),
    refused: slow,
  },
  { name: 'a body that never comes', attempt: (t) => bytes(t.mcpPort, head(t)), refused: slow },
  { name: 'a body that stops in the middle', attempt: (t) => bytes(t.mcpPort, `${head(t)}{"json`), refused: slow },
  {
    name: 'chunks that stop',
    attempt: (t) =>
      bytes(t.mcpPort, `${head(t).replace(/content-length: \d+/, 'transfer-encoding: chunked')}5\r\n{"jso\r\n`),
    refused: slow,
  },
  {
    name: 'an event whose body never comes',
    attempt: (t) =>
      bytes(
        t.ingestPort,
        `POST /events/acme HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${t.ingestToken}\r\ncontent-type: application/cloudevents+json\r\ncontent-length: 100\r\n\r\n`,
      ),
    refused: slow,
  },
];
