/** A conversation in which a front end dies in the middle of a call, and a build's failure arrives without the name of whoever broke it. */
import { randomUUID } from 'node:crypto';
import { idempotentCorrelationId, parseActionId } from '@callboard/envelope';
import type { Client } from '@modelcontextprotocol/client';
import { findCommand } from '../commands/commands.js';
import { asUser } from '../running-stack.js';
import type { Stack } from '../supervisor.js';
import { call, connect, correlationIdOf, poll, textOf } from './ai-client.js';
import { STEP_LIMIT_MS, expect, show, tell, until } from './narration.js';

const SLOW_CALL_MS = 2_000;

export async function converse(stack: Stack): Promise<void> {
  const client = await connect(stack.ready);
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
    show('progress', `${progress} of ${total}`);
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

  const again = await connect(stack.ready);
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
  show('sent', event.data);

  const { polled, events } = await poll(client, 'demo', STEP_LIMIT_MS);
  const [heard] = events;
  expect(events.length === 1 && heard?.event.id === event.id, 'the client gets the event, once');
  const data = JSON.stringify(heard!.event.data);
  expect(data.includes('"web"'), 'what is not private has passed the filter');
  expect(!/jane|doe|example\.com/i.test(JSON.stringify(polled)), 'nothing private has');
  show('received', data);
  tell(
    'The client got it from events.poll. The name and the address were replaced on the way, each with one text wherever it stood.',
  );
}

/** Shows the other side: what an SRE finds in the streams. */
async function tellWhatIsStored(stack: Stack, correlationId: string) {
  const command = await asUser(stack.ready, 'sre', (nc) => findCommand(nc, correlationId));
  expect(command?.outcome?.status === 'succeeded', 'the command and its outcome are stored');
  show('stored as', command!.subject);
  show('outcome', `${command!.outcome!.status}, after ${command!.outcome!.attempts} attempt`);
  return command;
}
