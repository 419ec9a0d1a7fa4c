/** Threads that redact, whatever an event does to them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventAddress } from '@callboard/events';
import type { RawEvent } from './raw-event.js';
import { RedactionPool } from './redaction-pool.js';
import { rawEvent } from './spec-filter.js';

const SLOW_MS = 180_000;
const lost: string[] = [];
const KEY = Buffer.alloc(32, 7);
let pool: RedactionPool;

beforeAll(() => {
  pool = new RedactionPool(
    {},
    {
      workers: 2,
      workerHeapMb: 32,
      timeoutMs: 2_000,
      filename: new URL('./spec-worker.js', import.meta.url).href,
      onLost: (reason) => lost.push(reason),
    },
  );
});
afterAll(() => pool.close());

function event(id: string): RawEvent {
  const { attributes, data, ...rest } = rawEvent({ attributes: { id }, data: { secret: 'jane.doe@example.org' } });
  return { address: eventAddress({ attributes, data, ...rest }), attributes, data };
}

describe('a thread', () => {
  it.each([
    ['loops', 'timed_out'],
    ['eats', 'filter_crashed'],
    ['exits', 'filter_crashed'],
    ['throws', 'filter_crashed'],
    ['throws later', 'filter_crashed'],
  ])(
    'that an event %s is lost and replaced; the event is tried twice, and the others pass',
    async (id, reason) => {
      lost.length = 0;
      const others = Array.from({ length: 20 }, (_, i) => pool.judge(event(`fine ${i}`), KEY));
      const [bad, ...fine] = await Promise.all([pool.judge(event(id), KEY), ...others]);
      expect(bad).toEqual({ verdict: { ok: false, reason }, attempts: 2 });
      expect(fine.map(({ verdict }) => verdict.ok)).toEqual(Array(20).fill(true));
      expect(fine.every(({ attempts }) => attempts === 1)).toBe(true);
      expect(lost).toEqual([reason, reason]);
    },
    SLOW_MS,
  );

  it(
    'is not late for an event that only waited for it',
    async () => {
      const waiting = Array.from({ length: 4 }, () => pool.judge(event('loops'), KEY));
      const fine = pool.judge(event('fine'), KEY);
      expect(await fine).toMatchObject({ verdict: { ok: true }, attempts: 1 });
      expect((await Promise.all(waiting)).map(({ verdict }) => verdict)).toEqual(
        Array(4).fill({ ok: false, reason: 'timed_out' }),
      );
    },
    SLOW_MS,
  );
});
