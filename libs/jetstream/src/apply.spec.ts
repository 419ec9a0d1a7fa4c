import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestNats, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { TopologyError, applyTopology, checkTopology } from './apply.js';
import { BUCKET, STREAM, declareTopology } from './topology.js';

const OPTIONS = { partitions: 4, maxBytes: 64 * 1024 ** 2 };
const declared = declareTopology(OPTIONS);

let nats: TestNats;
let nc: NatsConnection;
let jsm: JetStreamManager;

beforeAll(async () => {
  nats = await startTestNats({ topology: OPTIONS, auth: 'none' });
  nc = await nats.connect('anyone');
  jsm = await jetstreamManager(nc);
});
afterAll(() => nats.dispose());
beforeEach(async () => {
  await applyTopology(nc, declared);
});

const configs = async () =>
  Object.fromEntries(
    await Promise.all(
      declared.streams.map(async ({ config: { name } }) => [name, (await jsm.streams.info(name)).config] as const),
    ),
  );

describe('the topology', () => {
  it('is named as operators know it', () => {
    expect(declared.streams.map(({ config }) => config.name).sort()).toEqual([
      'AUDIT',
      'AUDIT_CHECKPOINTS',
      'BUDGETS',
      'COMMANDS',
      'DEAD_LETTERS',
      'DISPATCH',
      'EVENTS',
      'EVENTS_HELD',
      'EVENTS_RAW',
      'KV_ACTIONS',
      'KV_DIGESTS',
      'KV_FILTER_LEASES',
      'KV_HALTS',
      'KV_INGEST',
      'KV_LEASES',
      'KV_MCP_SESSIONS',
      'KV_PSEUDONYM_KEYS',
      'KV_SAGA_LEASES',
      'KV_SUBSCRIPTIONS',
      'OUTCOMES',
      'PROGRESS',
      'SAGAS',
      'SCHEDULES',
      'SESSIONS',
    ]);
    expect(declared.users.map(({ name }) => name).sort()).toEqual([
      'action-runner',
      'audit-writer',
      'backstage',
      'eda',
      'eraser',
      'event-ingestor',
      'mcp-frontend',
      'notifier',
      'operator',
      'operator-tools',
      'pii-filter',
      'provisioner',
      'saga-orchestrator',
      'service',
      'sre',
    ]);
  });

  it('that is in place is left as it is', async () => {
    const before = await configs();
    expect(await checkTopology(nc, declared)).toEqual([]);
    expect(await applyTopology(nc, declared)).toEqual([]);
    expect(await configs()).toEqual(before);
  });

  it('is made whole where a stream is missing', async () => {
    await jsm.streams.delete(STREAM.deadLetters);
    const missing = { stream: STREAM.deadLetters, setting: 'missing', mendable: true };
    expect(await checkTopology(nc, declared)).toEqual([expect.objectContaining(missing)]);
    expect(await applyTopology(nc, declared)).toEqual([expect.objectContaining(missing)]);
    expect(await checkTopology(nc, declared)).toEqual([]);
  });

  it('is mended where only limits differ, and keeps what is stored', async () => {
    const { seq } = await nc
      .request('cmd.acme.demo.echo.key.c_1', '{}')
      .then((answer) => answer.json<{ seq: number }>());
    const larger = declareTopology({ ...OPTIONS, maxBytes: 80 * 1024 ** 2, retentionMs: 3_600_000 });
    const settings = (await checkTopology(nc, larger)).map(({ stream, setting }) => `${stream}.${setting}`);
    expect(settings).toEqual(expect.arrayContaining(['COMMANDS.max_bytes', 'COMMANDS.max_age', 'OUTCOMES.max_age']));
    await applyTopology(nc, larger);
    expect(await checkTopology(nc, larger)).toEqual([]);
    expect((await jsm.streams.info(STREAM.commands)).config.max_bytes).toBe(80 * 1024 ** 2);
    expect((await jsm.streams.getMessage(STREAM.commands, { seq }))?.subject).toMatch(/^cmd\.\d\.acme\./);
  });

  it('is refused where it would re-route what is stored: the error names stream, setting and both values', async () => {
    await jsm.streams.delete(STREAM.deadLetters);
    const before = (await jsm.streams.info(STREAM.commands)).config;
    const other = declareTopology({ ...OPTIONS, partitions: 8, retentionMs: 3_600_000 });
    const refused = applyTopology(nc, other);
    await expect(refused).rejects.toThrow(TopologyError);
    await expect(refused).rejects.toThrow(/COMMANDS: subject_transform is .*partition\(4,.* declared .*partition\(8,/);
    // Nothing was changed, not even what could have been.
    expect((await jsm.streams.info(STREAM.commands)).config).toEqual(before);
    expect((await checkTopology(nc, declared)).map(({ stream }) => stream)).toEqual([STREAM.deadLetters]);
  });

  it.each([
    ['subjects', { subjects: ['cmd.*.*.*.*.*', 'more.>'] }],
    ['discard', { discard: 'old' }],
  ])('is refused where somebody has changed the %s of a stream', async (setting, change) => {
    const { config } = await jsm.streams.info(STREAM.commands);
    await jsm.streams.update(STREAM.commands, { ...config, ...change } as object);
    await expect(applyTopology(nc, declared)).rejects.toThrow(`COMMANDS: ${setting} is`);
    await jsm.streams.update(STREAM.commands, { ...config });
  });

  it('puts a command into the partition of its tenant and key, whatever its tool and id', async () => {
    const subjects = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const answer = await nc.request(`cmd.acme.tool${i}.m.k${i % 4}.c_p${i}`, '{}');
        return (await jsm.streams.getMessage(STREAM.commands, { seq: answer.json<{ seq: number }>().seq }))!.subject;
      }),
    );
    const partitions = subjects.map((subject) => subject.split('.')[1]);
    for (const [i, partition] of partitions.entries()) expect(partition).toBe(partitions[i % 4]);
  });

  it('keeps buckets to one value a key, and lets keys expire', async () => {
    const { config } = await jsm.streams.info(`KV_${BUCKET.leases}`);
    expect(config).toMatchObject({ max_msgs_per_subject: 1, allow_msg_ttl: true });
  });
});
