import { describe, expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { closedLoop } from './closed-loop.js';

const ORDER = { callers: 3, warmUpMs: 2, windowMs: 5, processes: {} };

describe('a closed loop', () => {
  test('measures calls that take longer than the window was to be', async () => {
    const { calls, wrong, p50Ms, perSecond } = await closedLoop({ ...ORDER, windowMs: 20 }, () => delay(30));
    expect(wrong).toEqual([]);
    expect(calls).toBeGreaterThanOrEqual(4 * ORDER.callers);
    expect(p50Ms).toBeGreaterThanOrEqual(29);
    // Three callers, each of which takes 30 ms a call.
    expect(perSecond).toBeLessThanOrEqual(150);
  });

  test('gives up on calls that take too long for it, and says so', async () => {
    const { calls, wrong } = await closedLoop(ORDER, () => delay(200));
    expect(calls).toBe(0);
    expect(wrong).toEqual(['no call was answered in the window']);
  });

  test('stops at wrong answers, and tells of them', async () => {
    const { wrong } = await closedLoop(ORDER, () => Promise.reject(new Error('another answer')));
    expect(wrong).toContain('another answer');
  });
});
