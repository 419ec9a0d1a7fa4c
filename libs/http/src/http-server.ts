/**
 * The one HTTP server of a process. Slow senders are cut off by Node itself (408), so no request has a timer of its own; a request that says
 * twice who is asked, who asks or what it holds is refused (400) before anything else looks at it. Whoever is refused while it still sends can
 * read why.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { linger, lingerAfter } from './linger.js';

export type Handler = (req: IncomingMessage, res: ServerResponse) => void;

export interface HttpServerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  requestTimeoutMs: number;
  maxConnections: number;
}

/** Longer than the idle time-outs of common clients and proxies, so that they close first and no request meets a closing door. */
const KEEP_ALIVE_MS = 75_000;
const DRAIN_POLL_MS = 50;

export class HttpServer {
  readonly #server: Server;

  constructor(
    private readonly options: HttpServerOptions,
    handle: Handler,
  ) {
    const { requestTimeoutMs } = options;
    this.#server = createServer(
      {
        requestTimeout: requestTimeoutMs,
        headersTimeout: requestTimeoutMs,
        connectionsCheckingInterval: Math.min(requestTimeoutMs, 1_000),
        keepAliveTimeout: KEEP_ALIVE_MS,
        noDelay: true,
      },
      (req, res) => {
        // Behind the last request of its connection.
        if (req.socket.writableEnded) return;
        if (hasBody(req)) lingerAfter(req, res);
        if (isAmbiguous(req)) refuse(res);
        else handle(req, res);
      },
    );
    this.#server.on('clientError', refuseNonsense);
    this.#server.maxConnections = options.maxConnections;
  }

  /** Resolves with the port. */
  async start(): Promise<number> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(port, host, resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more connections, lets requests finish for a while, then closes what is left. */
  async stop(timeoutMs: number): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    const idle = setInterval(() => this.#server.closeIdleConnections(), DRAIN_POLL_MS);
    const enough = setTimeout(() => this.#server.closeAllConnections(), timeoutMs);
    await closed;
    clearInterval(idle);
    clearTimeout(enough);
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** With the answers that Node would give to what it cannot read, or will not wait for. */
function refuseNonsense(error: NodeJS.ErrnoException, stream: Duplex): void {
  const socket = stream as Socket & { _httpMessage?: ServerResponse };
  // Already being closed, and still sending.
  if (socket.writableEnded) return;
  if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent) return void socket.destroy();
  linger(socket, `HTTP/1.1 ${UNREADABLE[error.code ?? ''] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
}

const UNREADABLE: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** Of two of these Node keeps the first and says nothing, where whoever is in front of us may have believed the second. */
const SINGLE = ['host', 'authorization', 'content-type'];

function isAmbiguous({ rawHeaders }: IncomingMessage): boolean {
  let seen = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    for (let n = 0; n < SINGLE.length; n++) {
      if (name.length !== SINGLE[n]!.length || name.toLowerCase() !== SINGLE[n]) continue;
      if ((seen & (1 << n)) !== 0) return true;
      seen |= 1 << n;
    }
  }
  return false;
}

/** As Node itself refuses what is no HTTP: the connection is good for nothing more. */
function refuse(res: ServerResponse): void {
  res.writeHead(400, { Connection: 'close' }).end();
}
