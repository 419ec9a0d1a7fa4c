/** HTTP byte by byte: for what no well-behaved client would send. */
import { once } from 'node:events';
import { connect } from 'node:net';

export interface HttpAnswer<Json = unknown> {
  /** 0 when there was none. */
  status: number;
  headers: Record<string, string>;
  text: string;
  /** The body as JSON, or the last frame of an event stream; `{}` when it is neither. */
  json: Json;
}

/** A header set to `undefined` is left out, a list is sent several times. */
export type HttpHeaders = Record<string, string | string[] | undefined>;

/** Writes bytes to a socket and reads until the server closes it; how it gets there is the caller's business. */
export async function rawRequest<Json = unknown>(
  port: number,
  bytes: string | Buffer | (string | Buffer)[],
): Promise<HttpAnswer<Json>> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const chunks: Buffer[] = [];
  let error: Error | undefined;
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', (met) => (error = met));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (const part of Array.isArray(bytes) ? bytes : [bytes]) socket.write(part);
  await closed;
  // A server that resets a connection takes its answer back.
  if (error && chunks.length === 0) throw error;
  return parseAnswer(Buffer.concat(chunks).toString('utf8'));
}

/** A request as bytes, the last of its connection. */
export function requestBytes(method: string, path: string, headers: HttpHeaders, body: string | Buffer = ''): Buffer {
  const all: HttpHeaders = {
    host: 'localhost',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}`),
  );
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
    Buffer.from(body),
  ]);
}

function parseAnswer<Json>(text: string): HttpAnswer<Json> {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  let body = rest.join('\r\n\r\n');
  if (headers['transfer-encoding'] === 'chunked') body = unchunk(body);
  const last = headers['content-type'] === 'text/event-stream' ? body.split('data: ').at(-1) : body;
  let json = {} as Json;
  try {
    json = JSON.parse(last ?? '') as Json;
  } catch {
    // Not every answer has a body.
  }
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, text: body, json };
}

function unchunk(body: string): string {
  let text = '';
  let rest = Buffer.from(body);
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.subarray(0, end).toString(), 16);
    if (end < 0 || !(size > 0)) return text;
    text += rest.subarray(end + 2, end + 2 + size).toString();
    rest = rest.subarray(end + 2 + size + 2);
  }
}
