/** The one HTTP server of a process. Slow senders are cut off by Node itself (408), so no request has a timer of its own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

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
      handle,
    );
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
