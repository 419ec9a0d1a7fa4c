import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { McpConnection, type CallTarget } from './mcp-connection.js';

let server: Server | undefined;
let connection: McpConnection | undefined;

/** A connection to a server that answers each call as `respond` says, from the call's id and text. */
async function connectTo(
  respond: (id: number, text: string, response: Parameters<RequestListener>[1]) => void,
  more: Partial<CallTarget> = {},
) {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const call = JSON.parse(body) as { id: number; params: { arguments: { text: string } } };
      respond(call.id, call.params.arguments.text, response);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  connection = new McpConnection({ url, tool: 'demo.echo', ...more });
  await connection.open();
  return connection;
}

const answerOf = (id: number, text: string) =>
  JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } });

afterEach(async () => {
  connection?.close();
  server?.closeAllConnections();
  if (server) await new Promise((resolve) => server!.close(resolve));
});

describe('a connection of the load generator', () => {
  it('takes an answer with a length', async () => {
    const to = await connectTo((id, text, response) => {
      const body = answerOf(id, text);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
    });
    await to.call(1);
    await to.call(2);
  });

  it('takes an answer in chunks that arrive one by one', async () => {
    const to = await connectTo((id, text, response) => {
      const body = answerOf(id, text);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(body.slice(0, 10));
      setImmediate(() => response.end(body.slice(10)));
    });
    await to.call(1);
    await to.call(2);
  });

  it('takes the answer out of an event stream that brought progress before it', async () => {
    const to = await connectTo((id, text, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n');
      response.end(`event: message\ndata: ${answerOf(id, text)}\n\n`);
    });
    await to.call(1);
  });

  it('asks a query of its own, and takes only an answer that fits it', async () => {
    let text = 'all 7 seats';
    const query = { arguments: { text: 'which seats?' }, answer: '^all \\d+ seats$' };
    const to = await connectTo((id, asked, response) => response.end(answerOf(id, `${asked && text}`)), { query });
    await to.call(1);
    text = 'some seats';
    await expect(to.call(2)).rejects.toThrow('not the answer to call 2');
  });

  it('refuses the answer to another call', async () => {
    const to = await connectTo((id, text, response) => response.end(answerOf(id + 1, text)));
    await expect(to.call(1)).rejects.toThrow('not the answer to call 1');
  });

  it('refuses an answer with another text', async () => {
    const to = await connectTo((id, _text, response) => response.end(answerOf(id, 'call 9')));
    await expect(to.call(1)).rejects.toThrow('not the answer to call 1');
  });

  it('refuses a status that is not 200', async () => {
    const to = await connectTo((_id, _text, response) => response.writeHead(503).end('{}'));
    await expect(to.call(1)).rejects.toThrow('503');
  });

  it('fails when the server closes before it has answered', async () => {
    const to = await connectTo((_id, _text, response) => response.destroy());
    await expect(to.call(1)).rejects.toThrow();
  });
});
