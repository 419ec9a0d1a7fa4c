/**
 * The load generator of events, a process of its own: each caller sends an event, and has its answer when the reader has it. The reader is
 * the same for all callers, as an AI client or a consumer is, and finds out about every event that comes twice, or not as it should be.
 */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { AckedPublisher, connectNats } from '@callboard/jetstream';
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { closedLoop, type LoopOrder, type LoopReport } from './closed-loop.js';

export interface CallboardTarget {
  ingestUrl: string;
  mcpUrl: string;
  token: string;
}

export interface EventOrder extends LoopOrder {
  /** Bytes of an event's data. */
  bytes: number;
  to: { callboard: CallboardTarget } | { jetstream: { url: string; stream: string } };
}

/** A way from a sender to a reader. */
interface Way {
  send(id: string, data: string): Promise<void>;
  close(): Promise<void>;
}

const HEARD_MS = 60_000;
const WAIT_MS = 5_000;
const PRIVATE = 'jane.doe@example.com';

/** Who waits for which event. */
class Reader {
  readonly #waiting = new Map<string, () => void>();
  readonly wrong: string[] = [];

  waitFor(id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`event ${id} was not read`)), HEARD_MS);
      this.#waiting.set(id, () => {
        clearTimeout(late);
        resolve();
      });
    });
  }

  heard(id: string): void {
    const resolve = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (resolve) resolve();
    else this.wrong.push(`event ${id} was read twice, or by the wrong reader`);
  }
}

async function measure(order: EventOrder): Promise<LoopReport> {
  const reader = new Reader();
  const way =
    'callboard' in order.to
      ? await throughCallboard(order.to.callboard, order.callers, reader)
      : await throughJetStream(order.to.jetstream, reader);
  const run = randomUUID();
  const data = dataOf(order.bytes);
  let n = 0;
  const report = await closedLoop(order, async () => {
    const id = `${run}-${++n}`;
    const read = reader.waitFor(id);
    await way.send(id, data);
    await read;
  });
  await way.close();
  return { ...report, wrong: [...report.wrong, ...reader.wrong.slice(0, 5)] };
}

/** What a webhook of a push looks like: people, addresses, texts, and much that is nobody's secret. */
function dataOf(bytes: number): string {
  const commits: object[] = [];
  const data = { ref: 'refs/heads/main', repository: { full_name: 'acme/web', id: 1_296_269 }, commits };
  while (JSON.stringify(data).length < bytes) {
    commits.push({
      id: '9fceb02d0ae598e95dc970b74767f19372d61af8',
      message: `Let the build tell Jane Doe what broke\n\nAsked for by ${PRIVATE} in the meeting of Monday.`,
      timestamp: '2026-11-20T18:00:00Z',
      author: { name: 'Jane Doe', email: PRIVATE, username: 'jdoe' },
      modified: ['apps/web/src/build.ts', 'docs/build.md'],
    });
  }
  return JSON.stringify(data);
}

async function throughCallboard(target: CallboardTarget, callers: number, reader: Reader): Promise<Way> {
  const agent = new Agent({ keepAlive: true, maxSockets: callers });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/cloudevents+json' };
  const send = (id: string, data: string) =>
    new Promise<void>((resolve, reject) => {
      // Each event of a key of its own: an order that nobody needs would be measured with it.
      const body = `{"specversion":"1.0","id":"${id}","source":"/bench","type":"bench.push","partitionkey":"${id}","data":${data}}`;
      const sending = request(`${target.ingestUrl}/events/local`, { method: 'POST', agent, headers }, (response) => {
        response.resume();
        if (response.statusCode === 202) response.on('end', resolve);
        else reject(new Error(`the ingestor answered ${response.statusCode}`));
      });
      sending.on('error', reject).end(body);
    });
  const name = `bench-${randomUUID()}`;
  const subscribed = await callTool(target, 'events.subscribe', { name, sources: ['local'] });
  let cursor = subscribed['cursor'] as string;
  let closing = false;
  const reading = (async () => {
    while (!closing) {
      const page = await callTool(target, 'events.poll', { name, cursor, max: 200, wait_ms: WAIT_MS });
      for (const item of page['events'] as { event: { id: string } }[]) {
        if (JSON.stringify(item).includes(PRIVATE)) reader.wrong.push(`event ${item.event.id} has an address in it`);
        reader.heard(item.event.id);
      }
      cursor = page['next_cursor'] as string;
    }
  })().catch((error: unknown) => reader.wrong.push(`the reader failed: ${(error as Error).message}`));
  const close = async () => {
    closing = true;
    agent.destroy();
    await reading;
    await callTool(target, 'events.unsubscribe', { name });
  };
  return { send, close };
}

/** Without a client library in the way, which would cost more than what is measured. */
async function callTool({ mcpUrl, token }: CallboardTarget, tool: string, args: object) {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'callboard-bench', version: '1.0.0' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const response = await fetch(mcpUrl, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': tool,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: tool, arguments: args, _meta: meta },
    }),
  });
  const text = await response.text();
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const message = JSON.parse(isStream ? text.slice(text.lastIndexOf('data: ') + 'data: '.length) : text) as {
    result?: { isError?: boolean; structuredContent?: Record<string, unknown> };
  };
  const { result } = message;
  if (!result?.structuredContent || result.isError) throw new Error(`${tool}: ${text.slice(0, 300)}`);
  return result.structuredContent;
}

const ONCE = 'Nats-Expected-Last-Subject-Sequence: 0\r\n';

async function throughJetStream({ url, stream }: { url: string; stream: string }, reader: Reader): Promise<Way> {
  const nc = await connectNats({ servers: url, user: 'bench', name: 'bench' });
  const publisher = new AckedPublisher(nc);
  const consumer = await jetstream(nc).consumers.get(stream, { deliver_policy: DeliverPolicy.New });
  const messages = await consumer.consume({
    callback: ({ subject }) => reader.heard(subject.slice(subject.indexOf('.') + 1)),
  });
  return {
    send: async (id, data) => {
      await publisher.publishOnce(`bench.${id}`, Buffer.from(data), ONCE, HEARD_MS);
    },
    close: async () => {
      await messages.close();
      publisher.close();
      await nc.close();
    },
  };
}

process.on('message', (order: EventOrder) => void measure(order).then((report) => process.send!(report)));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({ type: 'ready' });
