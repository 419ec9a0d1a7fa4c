/**
 * A load balancer in front of the front ends of a stack, as their clients have one: a single address, behind it whichever of them answers.
 * What cannot be delivered goes to the next; what may have been delivered is repeated only when it is not a call.
 */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface CreatedTask {
  taskId: string;
  /** Which of the targets answered with it. */
  target: number;
}

export class Balancer {
  /** The first call that was answered with a task. */
  readonly createdTask: Promise<CreatedTask>;
  /** How many requests each target has answered. */
  readonly answered: number[];
  #created!: (task: CreatedTask) => void;
  readonly #server: Server;

  private constructor(private readonly targets: readonly string[]) {
    this.answered = targets.map(() => 0);
    this.createdTask = new Promise((resolve) => (this.#created = resolve));
    this.#server = createServer((req, res) => {
      this.#balance(req, res).catch(() => res.destroy());
    });
  }

  static async start(targets: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    await new Promise<void>((resolve) => balancer.#server.listen(0, '127.0.0.1', resolve));
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/mcp`;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #balance(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await buffer(req);
    const isCall = req.headers['mcp-method'] === 'tools/call';
    for (const [target, url] of this.targets.entries()) {
      try {
        const response = await send(url, req, body);
        this.answered[target]! += 1;
        await this.#pass(response, res, target);
        return;
      } catch (error) {
        const delivered = (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED';
        if (res.headersSent || (delivered && isCall)) throw error;
      }
    }
    res.writeHead(502).end();
  }

  async #pass(response: IncomingMessage, res: ServerResponse, target: number): Promise<void> {
    if (response.headers['content-type'] !== 'application/json') {
      res.writeHead(response.statusCode!, response.headers);
      response.on('error', () => res.destroy());
      response.pipe(res);
      res.on('close', () => response.destroy());
      return;
    }
    const body = await buffer(response);
    const { result } = JSON.parse(body.toString()) as { result?: { resultType?: string; taskId?: string } };
    if (result?.resultType === 'task') this.#created({ taskId: result.taskId!, target });
    res.writeHead(response.statusCode!, response.headers).end(body);
  }
}

function send(url: string, { method, headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const to = request(url, { method, headers: { ...headers, host: new URL(url).host }, agent: false });
    to.once('response', resolve).once('error', reject).end(body);
  });
}
