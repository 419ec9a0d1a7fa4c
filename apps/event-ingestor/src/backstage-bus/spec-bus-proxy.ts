/** Between the ingestor and Backstage: passes everything on, and what the bus hands out only as a test wants it. */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What happens to an answer that carries events. */
export type Handling = 'pass' | 'hold' | 'break' | 'garble';

export interface BusProxy {
  /** URL of the events plug-in's API, behind the proxy. */
  readonly eventsUrl: string;
  handling: Handling;
  /** Answers with events that did not pass, so far. */
  readonly kept: number;
  /** Requests for events, so far. */
  readonly reads: number;
  /** Sends the answers that are held. */
  release(): void;
  close(): Promise<void>;
}

export async function startBusProxy(target: string, onPort = 0): Promise<BusProxy> {
  let held: (() => void)[] = [];
  const proxy = { handling: 'pass' as Handling, kept: 0, reads: 0 };

  const answer = async (from: IncomingMessage, res: ServerResponse) => {
    const isBatch = from.statusCode === 200 && (from.headers['content-type'] ?? '').includes('json');
    if (!isBatch || proxy.handling === 'pass') {
      res.writeHead(from.statusCode!, from.headers);
      // The bus sends the head of an empty answer long before its end.
      res.flushHeaders();
      from.pipe(res);
      return;
    }
    proxy.kept += 1;
    const body = await from.toArray();
    if (proxy.handling === 'hold') {
      held.push(() => res.writeHead(200, from.headers).end(Buffer.concat(body as Buffer[])));
    } else if (proxy.handling === 'break') {
      res.writeHead(200, from.headers);
      res.write(Buffer.concat(body as Buffer[]).subarray(0, 10), () => res.destroy());
    } else if (proxy.handling === 'garble') {
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"events": [');
    }
  };
  const server = createServer((req, res) => {
    if (req.method === 'GET') proxy.reads += 1;
    const { pathname, search } = new URL(req.url!, target);
    const forward = request(new URL(pathname + search, target), {
      method: req.method!,
      headers: req.headers,
      agent: false,
    });
    forward.on('response', (from) => {
      from.on('error', () => res.destroy());
      void answer(from, res);
    });
    forward.on('error', () => res.destroy());
    res.on('close', () => forward.destroy());
    req.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(onPort, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, {
    eventsUrl: `http://127.0.0.1:${port}/api/events`,
    release: () => {
      for (const send of held) send();
      held = [];
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
