import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readBody } from './body.js';
import { HttpServer } from './http-server.js';
import { rawRequest, requestBytes } from '@callboard/testing';

const options = { host: '127.0.0.1', port: 0, requestTimeoutMs: 5_000, maxConnections: 2 };

/** A server whose answers wait until the spec gives them. */
async function start() {
  const waiting: ServerResponse[] = [];
  const server = new HttpServer(options, (_, res) => waiting.push(res));
  const port = await server.start();
  const ask = async (): Promise<[Socket, ServerResponse]> => {
    const socket = connect(port, '127.0.0.1');
    const before = waiting.length;
    socket.write(requestBytes('GET', '/', { connection: 'keep-alive' }));
    while (waiting.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    return [socket, waiting.at(-1)!];
  };
  return { server, port, ask };
}

describe('HttpServer', () => {
  it('a request that is being served is finished before the server stops, and no other is taken', async () => {
    const { server, port, ask } = await start();
    const [socket, response] = await ask();
    const stopped = server.stop(60_000);
    const late = connect(port, '127.0.0.1');
    await expect(once(late, 'connect')).rejects.toThrow('ECONNREFUSED');
    const answer = once(socket, 'data');
    response.end('finished');
    expect(String((await answer)[0])).toContain('finished');
    await stopped;
  });

  it('a request that does not end is not waited for for ever', async () => {
    const { server, ask } = await start();
    const [socket] = await ask();
    const closed = once(socket, 'close');
    await server.stop(50);
    await closed;
  });

  it('connections over the limit are closed as they come', async () => {
    const { server, port, ask } = await start();
    await ask();
    await ask();
    expect((await rawRequest(port, requestBytes('GET', '/', {}))).status).toBe(0);
    await server.stop(0);
  });
});

describe('a refusal', () => {
  const answered = { status: 413, text: 'too large' };
  const handle = (req: IncomingMessage, res: ServerResponse) =>
    readBody(
      req,
      1_000,
      () => true,
      ({ kind }) => res.writeHead(kind === 'too_large' ? 413 : 200).end(kind === 'too_large' ? answered.text : ''),
    );
  const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
  const chunked = { 'content-length': undefined, 'transfer-encoding': 'chunked' };
  let server: HttpServer;
  let port: number;
  beforeAll(async () => {
    server = new HttpServer({ ...options, maxConnections: 100 }, handle);
    port = await server.start();
  });
  afterAll(() => server.stop(0));

  it('is read by a client that is still sending, whatever it sends after it', async () => {
    for (let i = 0; i < 20; i++) {
      const sent = [requestBytes('POST', '/', chunked), ...Array<Buffer>(40).fill(chunk), '0\r\n\r\n'];
      expect(await rawRequest(port, sent)).toMatchObject(answered);
    }
  });

  it('of a declared length is read as well', async () => {
    const sent = [requestBytes('POST', '/', { 'content-length': '5000000' }), Buffer.alloc(5_000_000)];
    expect(await rawRequest(port, sent)).toMatchObject(answered);
  });

  it('of headers that are too large is read by who still sends them', async () => {
    const sent = requestBytes('GET', '/', { 'x-big': 'x'.repeat(2_000_000) });
    expect((await rawRequest(port, sent)).status).toBe(431);
  });

  it('of what is no HTTP is read as well', async () => {
    expect((await rawRequest(port, ['HELO me\r\n\r\n', Buffer.alloc(1_000_000)])).status).toBe(400);
  });

  it('is the last of its connection: a request hidden behind the body is not served', async () => {
    const hidden = requestBytes('POST', '/', {});
    const answer = await rawRequest(port, [requestBytes('POST', '/', chunked), chunk, '0\r\n\r\n', hidden]);
    expect(answer).toMatchObject(answered);
  });

  it('closes the connection of a client that never stops sending', async () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(requestBytes('POST', '/', chunked));
    const sending = setInterval(() => socket.write(chunk), 50);
    void closed.then(() => clearInterval(sending));
    await once(socket, 'data');
    await closed;
  });
});

describe('a request that says one thing twice', () => {
  it.each([
    ['whom it asks', { host: ['localhost', 'evil.example'] }],
    ['who asks', { host: 'localhost', authorization: ['Bearer a', 'Bearer b'] }],
    ['what it holds', { host: 'localhost', 'content-type': ['application/json', 'text/plain'] }],
    ['the same twice', { host: ['localhost', 'localhost'] }],
  ])('%s is refused, and nobody looks at it', async (_, headers) => {
    let looked = 0;
    const server = new HttpServer(options, (_req, res) => res.writeHead(200).end(String(++looked)));
    const port = await server.start();
    expect((await rawRequest(port, requestBytes('GET', '/', headers))).status).toBe(400);
    expect((await rawRequest(port, requestBytes('GET', '/', { 'x-a': ['1', '2'] }))).status).toBe(200);
    expect(looked).toBe(1);
    await server.stop(0);
  });
});
