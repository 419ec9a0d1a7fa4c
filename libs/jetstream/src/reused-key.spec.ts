import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { idempotentCorrelationId, type CommandEnvelope } from '@callboard/envelope';
import { startTestNats, testCommand, type TestNats } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { AckedPublisher } from './acked-publisher.js';
import { CommandClient } from './command-client.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { STREAM } from './topology.js';

const WINDOW_MS = 100;

let nats: TestNats;
let client: CommandClient;
let outcomes: OutcomePublisher;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 }, auth: 'none' });
  const nc = await nats.connect('mcp-frontend');
  // As if two minutes had passed: message ids are forgotten almost at once.
  await (await jetstreamManager(nc)).streams.update(STREAM.commands, { duplicate_window: nanos(WINDOW_MS) });
  client = await CommandClient.start(nc, { instance: 'spec' });
  outcomes = new OutcomePublisher(new AckedPublisher(nc), 'spec');
});
afterAll(async () => {
  client.close();
  await nats.dispose();
});

function keyed(idempotencyKey: string, orderingKey: string, n: number): CommandEnvelope {
  const command = testCommand(orderingKey, { n }, { idempotency_key: idempotencyKey });
  const { tenant_id: tenantId, user_id: userId } = command;
  return { ...command, correlation_id: idempotentCorrelationId({ tenantId, userId, action: command, idempotencyKey }) };
}

/** Has a command accepted and ended, and its message id forgotten. */
async function ended(command: CommandEnvelope): Promise<void> {
  await client.submit(command);
  await outcomes.publish(command, { status: 'succeeded', result: { n: command.args['n'] }, attempts: 1 });
  await new Promise((resolve) => setTimeout(resolve, 2 * WINDOW_MS));
}

describe('an idempotency key that was used before, and whose message id is forgotten', () => {
  it('is a conflict for other arguments, also where they make another ordering key', async () => {
    await ended(keyed('k1', 'a', 1));
    const again = client.submit(keyed('k1', 'b', 2));
    await expect(again).rejects.toMatchObject({ code: 'idempotency_conflict' });
  });

  it('gives the same request its outcome, marked as replayed', async () => {
    await ended(keyed('k2', 'a', 1));
    const again = await client.submit(keyed('k2', 'a', 1));
    expect(again.replayed).toBe(true);
    await expect(again.outcome).resolves.toMatchObject({ status: 'succeeded', result: { n: 1 } });
  });
});
