import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client';

/** All metrics of this process. */
export const metrics = new Registry();
collectDefaultMetrics({ register: metrics });

export interface OpsServerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** Can this process do its work now? */
  readiness(): boolean | Promise<boolean>;
}

/** What operators and probes ask, on a port of its own: `/livez`, `/readyz`, `/metrics`. */
export class OpsServer {
  readonly #server: Server;

  constructor(private readonly options: OpsServerOptions) {
    this.#server = createServer((request, response) => {
      this.#answer(request.url ?? '/')
        .catch((): Answer => [500, 'text/plain', 'not available\n'])
        .then(([status, type, body]) => response.writeHead(status, { 'content-type': type }).end(body));
    });
    this.#server.requestTimeout = 5_000;
    const isReady = () => this.#isReady();
    new Gauge({
      name: 'callboard_ready',
      help: '1 while this process can do its work: it is connected to NATS, and has begun',
      registers: [metrics],
      async collect() {
        this.set(Number(await isReady()));
      },
    });
  }

  /** Resolves with the port. */
  async start(): Promise<number> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(port, host, resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #isReady(): Promise<boolean> {
    return this.options.readiness();
  }

  async #answer(url: string): Promise<Answer> {
    switch (url.split('?', 1)[0]) {
      case '/livez':
        return [200, 'text/plain', 'alive\n'];
      case '/readyz':
        return (await this.#isReady()) ? [200, 'text/plain', 'ready\n'] : [503, 'text/plain', 'not ready\n'];
      case '/metrics':
        return [200, metrics.contentType, await metrics.metrics()];
      default:
        return [404, 'text/plain', 'try /livez, /readyz or /metrics\n'];
    }
  }
}

type Answer = [status: number, type: string, body: string];
