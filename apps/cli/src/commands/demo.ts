/**
 * `callboard demo`: a real conversation between an AI client and a stack that it starts for itself, told step by step.
 *
 * Nothing is staged: the client is the MCP SDK's own, the front end is really killed in the middle of a call, and each step
 * checks what it says before it says it. Exit code 0 means that all of it happened.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { idempotentCorrelationId, parseActionId } from '@callboard/envelope';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import { Command } from 'commander';
import { Failure } from '../failure.js';
import { asUser } from '../running-stack.js';
import { DEFAULT_CONFIG } from '../stack-config.js';
import { Stack } from '../supervisor.js';
import { findCommand } from './commands.js';

const SLOW_CALL_MS = 2_000;
const STEP_LIMIT_MS = 20_000;
const POLL_MS = 20;

export function demoCommand(): Command {
  return new Command('demo')
    .description('play a short, real conversation against a stack of its own')
    .option('--verbose', 'also print what the supervisor says', false)
    .action(demo);
}

async function demo({ verbose }: { verbose: boolean }): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callboard-demo-'));
  let stack: Stack | undefined;
  try {
    tell(
      'Starting a stack of its own in a temporary folder: nats-server, a front end, a runner, an ingestor, a privacy filter.',
    );
    stack = await Stack.start(
      {
        dataDir,
        backstage: false,
        fresh: false,
        config: { ...structuredClone(DEFAULT_CONFIG), port: 0 },
        say: (line) => (verbose ? console.log(`  | ${line}`) : undefined),
      },
      (started) => {
        stack = started;
        for (const signal of ['SIGINT', 'SIGTERM'] as const) {
          process.on(signal, () => void started.stop().then(() => process.exit(1)));
        }
      },
    );
    await converse(stack);
    tell('That is all. Taking the stack down.');
  } finally {
    await stack?.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
  process.exit(0);
}

async function converse(stack: Stack): Promise<void> {
  const client = await connect(stack);
  tell(`An AI client connects to ${stack.ready.mcp_url} and speaks MCP ${client.getNegotiatedProtocolVersion()}.`);

  const { tools } = await client.listTools();
  const names = tools.map(({ name }) => name);
  expect(names.includes('demo.echo') && names.includes('demo.progress'), 'the demo tools are listed');
  tell(`It lists the tools: ${names.join(', ')}.`);

  const echo = await call(client, { name: 'demo.echo', arguments: { text: 'Places, please.' } });
  expect(textOf(echo) === 'Places, please.', 'demo.echo returns its text');
  tell(`It calls demo.echo and gets "${textOf(echo)}".`);
  await tellWhatIsStored(stack, correlationIdOf(echo));

  const heard: number[] = [];
  const onprogress = ({ progress, total }: { progress: number; total?: number }) => {
    heard.push(progress);
    console.log(`    progress ${progress} of ${total}`);
  };
  tell('It calls demo.progress and watches:');
  await call(client, { name: 'demo.progress', arguments: { steps: 5, interval_ms: 150 } }, { onprogress });
  expect(heard.join() === '1,2,3,4,5', 'every step is reported once and in order');

  const again = await loseTheConnection(stack, client);
  await hearOfAnEvent(stack, again);
  await again.close();
}

/** The front end dies in the middle of a call, and the call does not. Returns the new connection. */
async function loseTheConnection(stack: Stack, client: Client): Promise<Client> {
  const idempotencyKey = randomUUID();
  const slow = {
    name: 'demo.sleep',
    arguments: { ms: SLOW_CALL_MS },
    _meta: { 'io.callboard/idempotency_key': idempotencyKey },
  };
  tell(`It calls demo.sleep for ${SLOW_CALL_MS / 1000} s, with an idempotency key.`);
  const lost = call(client, slow).then(
    () => false,
    () => true,
  );
  const correlationId = idempotentCorrelationId({
    tenantId: 'default',
    userId: 'user:local/operator',
    action: parseActionId(slow.name),
    idempotencyKey,
  });
  await until('the command is accepted', () =>
    asUser(stack.ready, 'sre', async (nc) => (await findCommand(nc, correlationId)) !== undefined),
  );

  const [frontEnd] = stack.ready.processes['mcp-frontend']!;
  process.kill(frontEnd!, 'SIGKILL');
  expect(await lost, 'the call breaks off with the connection');
  tell(`The front end (process ${frontEnd}) is killed in the middle of the call; the client loses its connection.`);
  await client.close().catch(() => undefined);

  await until('the front end is replaced', () => !stack.ready.processes['mcp-frontend']!.includes(frontEnd!));
  tell(`The supervisor has started another (process ${stack.ready.processes['mcp-frontend']![0]}).`);

  const again = await connect(stack);
  const result = await call(again, slow);
  expect(correlationIdOf(result) === correlationId, 'the second call joins the first command');
  expect(result._meta?.['io.callboard/replayed'] === true, 'the result is marked as replayed');
  tell(
    `The client connects again, sends the same call, and gets the result of the first: "${textOf(result)}", replayed.`,
  );
  const stored = await tellWhatIsStored(stack, correlationId);
  expect(stored?.outcome?.attempts === 1, 'the action ran once');
  tell('The action has run once.');
  return again;
}

/** Something happens elsewhere: the client hears of it, and not of whom it concerns. */
async function hearOfAnEvent(stack: Stack, client: Client): Promise<void> {
  await call(client, { name: 'events.subscribe', arguments: { name: 'demo', sources: ['local'] } });
  tell('It subscribes to the events of the source local, with the tool events.subscribe.');

  const event = {
    specversion: '1.0',
    id: randomUUID(),
    source: '/demo',
    type: 'com.example.build.failed',
    data: {
      pipeline: 'web',
      author: { name: 'Jane Doe', email: 'jane.doe@example.com' },
      message: 'The build of Jane Doe failed; jane.doe@example.com was told.',
    },
  };
  const answer = await fetch(`${stack.ready.ingest_url}/events/local`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${stack.ready.token}`,
      'content-type': 'application/cloudevents+json',
    },
    body: JSON.stringify(event),
  });
  expect(answer.status === 202, 'the ingestor stores the event');
  tell(`A build fails, and its CI system says so to ${stack.ready.ingest_url}:`);
  console.log(`    sent        ${JSON.stringify(event.data)}`);

  const polled = await call(client, { name: 'events.poll', arguments: { name: 'demo', wait_ms: STEP_LIMIT_MS } });
  const { events } = polled.structuredContent as { events: { topic: string; event: { id: string; data: object } }[] };
  const [heard] = events;
  expect(events.length === 1 && heard?.event.id === event.id, 'the client gets the event, once');
  const data = JSON.stringify(heard!.event.data);
  expect(data.includes('"web"'), 'what is not private has passed the filter');
  expect(!/jane|doe|example\.com/i.test(JSON.stringify(polled)), 'nothing private has');
  console.log(`    received    ${data}`);
  tell(
    'The client got it from events.poll. The name and the address were replaced on the way, each with one text wherever it stood.',
  );
}

async function connect(stack: Stack): Promise<Client> {
  const client = new Client({ name: 'callboard-demo', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const headers = { authorization: `Bearer ${stack.ready.token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url), { requestInit: { headers } }));
  return client;
}

async function call(
  client: Client,
  request: Parameters<Client['callTool']>[0],
  options?: Parameters<Client['callTool']>[1],
): Promise<CallToolResult> {
  const result = (await client.callTool(request, options)) as CallToolResult;
  if (result.isError) throw new Failure(`the demo failed: ${request.name} answered ${textOf(result)}`);
  return result;
}

function textOf(result: CallToolResult): string {
  const [first] = result.content;
  return first?.type === 'text' ? first.text : '';
}

function correlationIdOf(result: CallToolResult): string {
  return String(result._meta?.['io.callboard/correlation_id']);
}

/** Shows the other side: what an SRE finds in the streams. */
async function tellWhatIsStored(stack: Stack, correlationId: string) {
  const command = await asUser(stack.ready, 'sre', (nc) => findCommand(nc, correlationId));
  expect(command?.outcome?.status === 'succeeded', 'the command and its outcome are stored');
  console.log(`    stored as   ${command!.subject}`);
  console.log(`    outcome     ${command!.outcome!.status}, after ${command!.outcome!.attempts} attempt`);
  return command;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + STEP_LIMIT_MS;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Failure(`the demo failed: not within ${STEP_LIMIT_MS / 1000} s: ${what}`);
    await delay(POLL_MS);
  }
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Failure(`the demo failed, for this did not hold: ${what}`);
}

function tell(text: string): void {
  console.log(`\n${text}`);
}
