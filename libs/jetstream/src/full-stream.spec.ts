/** What callers are told when nothing more can be stored, and that it ends when there is room again. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { CallboardError } from '@callboard/envelope';
import { startTestNats, testCommand, type TestNats } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { AckedPublisher } from './acked-publisher.js';
import { applyTopology } from './apply.js';
import { CommandClient } from './command-client.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { STREAM, declareTopology } from './topology.js';

let nats: TestNats;
let client: CommandClient | undefined;
afterEach(async () => {
  client?.close();
  await nats.dispose();
});

/** Submits commands at once; which were accepted, and what the others were told. */
async function submitAll(count: number, bytes: number) {
  const padding = 'x'.repeat(bytes);
  const accepted: string[] = [];
  const refusals: CallboardError[] = [];
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const command = testCommand(`k${i}`, { padding });
      try {
        (await client!.submit(command)).release();
        accepted.push(command.correlation_id);
      } catch (error) {
        refusals.push(error as CallboardError);
      }
    }),
  );
  return { accepted, refusals };
}

describe('a full command stream', () => {
  it('refuses each new command at once as overloaded, keeps all that it has, and goes on when it is given room', async () => {
    nats = await startTestNats({ topology: { partitions: 2, maxBytes: 2 * 1024 ** 2 } });
    client = await CommandClient.start(await nats.connect('mcp-frontend'), { instance: 'front end' });
    const from = performance.now();
    const { accepted, refusals } = await submitAll(100, 50_000);
    expect(performance.now() - from).toBeLessThan(10_000);
    expect(accepted.length).toBeGreaterThan(20);
    expect(refusals.length).toBeGreaterThan(20);
    for (const refusal of refusals) {
      expect(refusal.toBody()).toMatchObject({ code: 'overloaded', retryable: true, retry_after_ms: 5_000 });
    }
    const jsm = await jetstreamManager(await nats.connect('sre'));
    const stored = async () => (await jsm.streams.info(STREAM.commands)).state.messages;
    expect(await stored()).toBe(accepted.length);

    await applyTopology(
      await nats.connect('provisioner'),
      declareTopology({ partitions: 2, maxBytes: 64 * 1024 ** 2 }),
    );
    const later = await submitAll(100, 50_000);
    expect(later.refusals).toEqual([]);
    expect(await stored()).toBe(accepted.length + later.accepted.length);
    for (const correlationId of accepted) {
      const found = await jsm.streams.getMessage(STREAM.commands, { last_by_subj: `cmd.*.*.*.*.*.${correlationId}` });
      expect(found).not.toBeNull();
    }
  });
});

describe('a client that is told to refuse', () => {
  it('refuses new commands only, for as long as there is the reason', async () => {
    nats = await startTestNats({ topology: { partitions: 2 } });
    client = await CommandClient.start(await nats.connect('mcp-frontend'), { instance: 'front end' });
    const runner = new AckedPublisher(await nats.connect('action-runner'));
    const command = { ...testCommand('k'), idempotency_key: 'order-1' };
    const before = await client.submit(command);
    client.refusing = 'The disk of the streams is nearly full';
    const refusal = client.submit(testCommand('k'));
    await expect(refusal).rejects.toMatchObject({ code: 'overloaded', message: client.refusing });

    await new OutcomePublisher(runner, 'runner').publish(command, { status: 'succeeded', attempts: 1 });
    await expect(before.outcome).resolves.toMatchObject({ status: 'succeeded' });
    await expect(client.submit(command)).resolves.toMatchObject({ replayed: true });

    client.refusing = undefined;
    (await client.submit(testCommand('k'))).release();
    runner.close();
  });
});

describe('a command stream that does not answer', () => {
  /** As a stream does whose disk was full: the server is well, and says nothing to whoever publishes. */
  async function silence(): Promise<void> {
    nats = await startTestNats({ auth: 'none' });
    const nc = await nats.connect('anyone');
    await (await jetstreamManager(nc)).streams.delete(STREAM.commands);
    nc.subscribe('cmd.>', { callback: () => undefined });
    await nc.flush();
    client = await CommandClient.start(await nats.connect('front'), { instance: 'front end', acceptTimeoutMs: 500 });
  }

  it('is overloaded to its callers, for only an operator can help', async () => {
    await silence();
    await expect(client!.submit(testCommand('k'))).rejects.toMatchObject({
      code: 'overloaded',
      details: { retryAfterMs: 5_000 },
    });
  });

  it('is unavailable when its server does not answer either', async () => {
    await silence();
    nats.freeze();
    await expect(client!.submit(testCommand('k'))).rejects.toMatchObject({ code: 'unavailable' });
    nats.thaw();
  });
});
