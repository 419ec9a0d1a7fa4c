/** Traces of the whole stack, as a collector gets them: every hop of a call and of an event, and nothing of what they carry. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  startStack,
  startTestCollector,
  waitFor,
  type CollectedSpan,
  type TestCollector,
  type TestStack,
} from '@callboard/testing';
import type { Client } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from './spec-callboard.js';

/** In everything that a caller or a sender says; it must be in nothing that is exported. */
const CANARY = 'canary';
const SLOW_MS = 180_000;

let folder: string;
let collector: TestCollector;
let stack: TestStack;
let client: Client;
/** A far side over HTTP, and a Backstage that takes notifications. */
let far: Server;
const heard: { path: string; headers: IncomingHttpHeaders }[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-traces-'));
  collector = await startTestCollector();
  far = createServer((request, response) => {
    heard.push({ path: request.url ?? '', headers: request.headers });
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ said: CANARY }));
    });
  });
  await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(far.address() as AddressInfo).port}`;
  const action = {
    id: 'far.ask',
    description: 'For specs.',
    input: { type: 'object' },
    attributes: { read_only: true },
    http: { url: `${url}/ask`, answer: 'response' },
  };
  const adapters = join(folder, 'adapters.yaml');
  await writeFile(adapters, JSON.stringify({ actions: [action] }));
  await writeFile(join(folder, 'token'), randomBytes(24).toString('base64url'));
  stack = await startStack({
    readyWithinMs: SLOW_MS,
    env: {
      CALLBOARD_TRACES_URL: collector.url,
      CALLBOARD_ADAPTERS: adapters,
      CALLBOARD_SAGAS: fileURLToPath(new URL('../../../examples/sagas', import.meta.url)),
      CALLBOARD_BACKSTAGE_URL: url,
      CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE: join(folder, 'token'),
    },
  });
  client = await connect(stack.ready.mcp_url, stack.ready.token);
  const tools = ['far.ask', 'environments.create', 'notifications.send'];
  await waitFor(
    async () => {
      const served = (await client.listTools()).tools.map(({ name }) => name);
      return tools.every((tool) => served.includes(tool));
    },
    { what: 'the tools' },
  );
}, 2 * SLOW_MS);
afterAll(async () => {
  await client?.close();
  await stack?.stop();
  far.closeAllConnections();
  far.close();
  await collector.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

const newTrace = () => ({ trace: randomBytes(16).toString('hex'), span: randomBytes(8).toString('hex') });

/** Calls a tool as part of a new trace. */
async function call(name: string, args: object, more: object = {}) {
  const { trace, span } = newTrace();
  const _meta = { traceparent: `00-${trace}-${span}-01`, ...more };
  const result = await client.callTool({ name, arguments: { ...args }, _meta });
  return { trace, span, result, correlationId: String(result._meta?.['io.callboard/correlation_id']) };
}

/** The names of a trace's spans with their apps, each under its parent: once they have these names. */
async function hops(trace: string, wanted: string[]): Promise<CollectedSpan[]> {
  const of = () => collector.spans().filter(({ traceId }) => traceId === trace);
  return waitFor(
    async () => {
      const spans = of();
      const names = spans.map(toName);
      return wanted.every((name) => names.includes(name)) && spans;
    },
    { what: `the spans ${wanted.join(', ')}` },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; there are ${of().map(toName).join(', ')}`, { cause: error });
  });
}

const toName = ({ app, name }: CollectedSpan) => `${app}: ${name}`;

/** From a span up to what its caller has begun. */
function lineage(spans: CollectedSpan[], name: string): string[] {
  const line: string[] = [];
  let at = spans.find((span) => toName(span) === name);
  while (at) {
    line.push(toName(at));
    const parent: string | undefined = at.parentSpanId;
    at = spans.find(({ spanId }) => spanId === parent);
  }
  return line;
}

describe('a trace', () => {
  it('of a call shows every hop, from the MCP request to the far side and back, and the far side is told of it', async () => {
    const { trace, span, correlationId } = await call('far.ask', { secret: CANARY });
    const ask = 'action-runner: call far.ask';
    const end = 'action-runner: send OUTCOMES';
    const wait = 'mcp-frontend: receive OUTCOMES';
    const down = ['action-runner: process COMMANDS', 'mcp-frontend: send COMMANDS', 'mcp-frontend: tools/call far.ask'];
    const attempt = 'action-runner: attempt far.ask';
    const spans = await hops(trace, [ask, attempt, end, wait, ...down]);
    expect(lineage(spans, ask)).toEqual([ask, attempt, ...down]);
    expect(lineage(spans, end)).toEqual([end, ...down]);
    expect(lineage(spans, wait)).toEqual([wait, down[2]]);
    const server = spans.find(({ name }) => name === 'tools/call far.ask')!;
    expect(server.parentSpanId).toBe(span);
    expect(server.attributes).toEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.tool.name': 'far.ask',
      'callboard.action': 'far.ask',
      'callboard.tenant': 'default',
    });
    expect(spans.find(({ name }) => name === 'process COMMANDS')!.attributes).toMatchObject({
      'messaging.system': 'nats',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'COMMANDS',
      'callboard.correlation_id': correlationId,
    });
    const asked = spans.find(({ name }) => name === 'call far.ask')!;
    const told = heard.find(({ path }) => path === '/ask')!.headers;
    expect(told['traceparent']).toBe(`00-${trace}-${asked.spanId}-01`);
  });

  it('has all attempts of a command, those that failed as failures', async () => {
    const { trace } = await call('demo.fail', {
      id: `${CANARY} ${randomBytes(4).toString('hex')}`,
      times: 2,
      retryable: true,
    });
    const spans = await hops(trace, ['action-runner: send OUTCOMES']);
    const attempts = spans.filter(({ name }) => name === 'attempt demo.fail');
    expect(attempts.map(({ attributes, failed }) => [attributes['callboard.attempt'], failed])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
    expect(attempts[0]!.attributes['error.type']).toBe('action_failed');
  });

  it('of a call that joins an earlier one is linked to the trace of that', async () => {
    const idempotent = { 'io.callboard/idempotency_key': randomBytes(8).toString('hex') };
    const first = await call('demo.append', { key: CANARY, value: CANARY }, idempotent);
    const again = await call('demo.append', { key: CANARY, value: CANARY }, idempotent);
    expect(again.correlationId).toBe(first.correlationId);
    const spans = await hops(again.trace, ['mcp-frontend: send COMMANDS']);
    expect(spans.find(({ name }) => name === 'send COMMANDS')!.links).toEqual([first.trace]);
    expect(spans.map(({ app }) => app)).not.toContain('action-runner');
  });

  it('of a saga has the commands of its steps', async () => {
    const { trace } = await call('environments.create', { name: CANARY });
    const send = 'saga-orchestrator: send COMMANDS';
    const attempt = 'action-runner: attempt demo.append';
    const line = [
      attempt,
      'action-runner: process COMMANDS',
      send,
      'mcp-frontend: send SAGAS',
      'mcp-frontend: tools/call environments.create',
    ];
    expect(lineage(await hops(trace, line), attempt)).toEqual(line);
  });

  it('of a notification goes through the notifier to Backstage', async () => {
    const recipients = { type: 'entity', entityRef: 'user:default/stage-manager' };
    const { trace } = await call('notifications.send', { title: CANARY, recipients });
    const post = 'notifier: POST notifications';
    const line = [post, 'notifier: process svc.notifications.send', 'action-runner: call notifications.send'];
    expect(lineage(await hops(trace, line), post).slice(0, 3)).toEqual(line);
    const told = heard.find(({ path }) => path.startsWith('/api/notifications'))!.headers;
    expect(told['traceparent']).toContain(trace);
  });

  it('of an event goes from its sender through the filter, and who reads it is linked to that', async () => {
    const { trace, span } = newTrace();
    const answer = await fetch(stack.ready.ingest_url, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.ready.token}`, 'content-type': 'application/cloudevents+json' },
      body: JSON.stringify({
        specversion: '1.0',
        id: CANARY,
        source: '/spec',
        type: 'spec.played',
        traceparent: `00-${trace}-${span}-01`,
        data: { mail: `${CANARY}@example.org` },
      }),
    });
    expect(answer.status).toBe(202);
    const line = ['pii-filter: process EVENTS_RAW', 'event-ingestor: send EVENTS_RAW'];
    const spans = await hops(trace, line);
    expect(lineage(spans, line[0]!)).toEqual(line);
    expect(spans.find(({ app }) => app === 'event-ingestor')!.parentSpanId).toBe(span);
    const reading = await call('events.read', { max: 1 });
    const [read] = await hops(reading.trace, ['mcp-frontend: tools/call events.read']);
    expect(read!.links).toEqual([trace]);
  });

  it(
    'of a command whose runner died ends with that runner; the next one begins another, which is linked to it',
    async () => {
      const calling = call('demo.sleep', { ms: 3_000 });
      const [pid] = (await stack.readReady()).processes['action-runner']!;
      await waitFor(
        async () => {
          const [url] = (await stack.readReady()).metrics['action-runner']!;
          return /^callboard_commands_running 1$/m.test(await (await fetch(url!)).text());
        },
        { what: 'a command that runs' },
      );
      process.kill(pid!, 'SIGKILL');
      const { trace, correlationId } = await calling;
      const again = await waitFor(
        async () =>
          collector
            .spans()
            .find(
              ({ name, attributes }) =>
                name === 'process COMMANDS' && attributes['callboard.correlation_id'] === correlationId,
            ),
        { what: 'the span of the next runner' },
      );
      expect(again.traceId).not.toBe(trace);
      expect(again.links).toEqual([trace]);
      const [attempt] = await hops(again.traceId, ['action-runner: attempt demo.sleep']);
      expect(attempt!.traceId).toBe(again.traceId);
    },
    SLOW_MS,
  );

  it('says nothing of what commands and events carry, nor who called', () => {
    expect(collector.spans().length).toBeGreaterThan(30);
    expect(collector.bytes()).not.toContain(CANARY);
    expect(collector.bytes()).not.toContain('user:');
    expect(collector.bytes()).not.toContain(stack.ready.token);
  });
});
