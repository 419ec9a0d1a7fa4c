/** A far side of ours: takes commands, keeps what it was given, and redirects whoever follows to a place where nobody must come. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Handover {
  correlation_id: string;
  callback: { url: string; token: string };
}

export class FarSide {
  readonly taken: Handover[] = [];
  /** Requests to what only an insider could reach. */
  inside = 0;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FarSide> {
    const server = createServer();
    const farSide = new FarSide(server);
    server.on('request', (req, res) => {
      let body = '';
      req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      req.on('end', () => {
        if (req.url === '/take') farSide.taken.push(JSON.parse(body) as Handover);
        else if (req.url?.startsWith('/inside')) farSide.inside += 1;
        if (req.url !== '/redirect') return res.writeHead(202).end();
        res.writeHead(307, { location: `${farSide.url}/inside` }).end();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return farSide;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
