import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
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
