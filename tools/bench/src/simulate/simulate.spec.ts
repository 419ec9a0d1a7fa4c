import { describe, expect, it } from '@jest/globals';
import { STREAM } from '@callboard/jetstream';
import { commandSubject, parseStoredCommandSubject } from '@callboard/envelope';
import { startTestNats } from '@callboard/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { ownersOf, simulateBalance, weightsOf } from './balance.js';
import { simulateFailover } from './failover.js';
import { partitionOf } from './partition-hash.js';

const KEYS = [
  'demo:tour',
  'user:default/jane.doe',
  '',
  'ключ',
  'a b',
  ...Array.from({ length: 200 }, (_, n) => `k${n}`),
];

describe('the partition of a key', () => {
  it('is computed as nats-server computes it', async () => {
    const nats = await startTestNats({ topology: { partitions: 16 } });
    try {
      const nc = await nats.connect('mcp-frontend');
      const js = jetstream(nc);
      await Promise.all(
        KEYS.map((orderingKey, n) =>
          js.publish(
            commandSubject({
              tenantId: n % 2 === 0 ? 'default' : 'acme corp',
              tool: 'demo',
              method: 'echo',
              orderingKey,
              correlationId: `c_${n}`,
            }),
          ),
        ),
      );
      const jsm = await jetstreamManager(await nats.connect('sre'), { checkAPI: false });
      const info = await jsm.streams.info(STREAM.commands, { subjects_filter: 'cmd.>' });
      const stored = Object.keys(info.state.subjects ?? {}).map(parseStoredCommandSubject);
      expect(stored).toHaveLength(KEYS.length);
      expect(new Set(stored.map(({ partition }) => partition)).size).toBe(16);
      const computed = stored.map((address) => ({
        ...address,
        partition: partitionOf(address.tenantId, address.orderingKey, 16),
      }));
      expect(computed).toEqual(stored);
    } finally {
      await nats.dispose();
    }
  });
});

describe('partitions over runners', () => {
  it('are owned by one each, at most a fair share by one, however many runners come', () => {
    for (let runners = 1; runners <= 20; runners++) {
      const owners = ownersOf(16, runners);
      expect(owners.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, n) => n));
      expect(Math.max(...owners.map(({ length }) => length))).toBe(Math.ceil(16 / runners));
    }
  });

  it('leave a runner without work where the others already have no more than their share', () => {
    expect(ownersOf(16, 4).map(({ length }) => length)).toEqual([4, 4, 4, 4]);
    expect(ownersOf(16, 5).map(({ length }) => length)).toEqual([4, 4, 4, 4, 0]);
    expect(simulateBalance({ keys: 100, skew: 0 }, 16, 17).idle).toBe(1);
  });
});

describe('the work of the busiest', () => {
  it('is all of it with one key, and near the average with many keys that are alike', () => {
    expect(simulateBalance({ keys: 1, skew: 0 }, 16, 4).runner.median).toBeCloseTo(4);
    expect(simulateBalance({ keys: 10_000, skew: 0 }, 16, 4).runner.median).toBeLessThan(1.1);
  });

  it('is never less than what its hottest key has', () => {
    const workload = { keys: 1_000, skew: 1 };
    const hottest = weightsOf(workload)[0]!;
    expect(simulateBalance(workload, 64, 64).runner.min).toBeGreaterThanOrEqual(hottest * 64);
  });
});

describe('after the death of a runner', () => {
  it('what came until its lease ran out waits, and is worked off by what the others have to spare', () => {
    // 8 of 16 partitions, 500 a second, for 5 seconds; the one that is left can do 1,000 more than what comes.
    const failover = simulateFailover({ partitions: 16, runners: 2, perSecond: 1_000, perRunner: 2_000 });
    expect(failover).toMatchObject({ backlog: 2_500, catchUpMs: 2_500 });
  });

  it('nothing is caught up when the others cannot keep up', () => {
    expect(simulateFailover({ partitions: 16, runners: 2, perSecond: 2_000, perRunner: 2_000 }).catchUpMs).toBe(
      Infinity,
    );
    expect(simulateFailover({ partitions: 16, runners: 1, perSecond: 10, perRunner: 2_000 }).catchUpMs).toBe(Infinity);
  });
});
