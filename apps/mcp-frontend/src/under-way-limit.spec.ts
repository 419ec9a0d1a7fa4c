import { expect, it } from '@jest/globals';
import { FIRST, LEAST, MEASURE_EVERY_MS, UnderWayLimit } from './under-way-limit.js';

const MOST = 64;

/** A machine that accepts so many commands at once in so many milliseconds each, and more of them later; and somebody who always has another one. */
class Machine {
  nowMs = 0;
  readonly limit = new UnderWayLimit(MOST, () => this.nowMs);
  readonly #underWay: { from: number; until: number; ahead: number }[] = [];
  /** The limits that there were, but for moments of measuring. */
  limits: number[] = [];
  accepted = 0;

  constructor(
    public atOnce: number,
    public tookMs: number,
    /** Commands of other tenants, which wait for nobody. */
    private readonly others = 0,
  ) {}

  run(ms: number): void {
    const until = this.nowMs + ms;
    this.limits = [];
    this.accepted = 0;
    while (this.nowMs < until) {
      const { value } = this.limit;
      if (value > 1) this.limits.push(value);
      while (this.#underWay.length < Math.max(value, this.others)) this.#start();
      this.#underWay.sort((a, b) => a.until - b.until);
      const { from, until: now, ahead } = this.#underWay.shift()!;
      this.nowMs = now;
      this.accepted += 1;
      this.limit.accepted(now - from, ahead, true);
    }
  }

  get range(): [number, number] {
    const sorted = [...this.limits].sort((a, b) => a - b);
    return [sorted[0]!, sorted.at(-1)!];
  }

  #start(): void {
    const ahead = this.#underWay.length;
    const longer = Math.max(1, (ahead + 1) / this.atOnce);
    this.#underWay.push({ from: this.nowMs, until: this.nowMs + this.tookMs * longer, ahead });
  }
}

it('stays at its least where more at once only wait for each other', () => {
  const machine = new Machine(1, 1);
  machine.run(2_000);
  machine.run(60_000);
  expect(machine.range[0]).toBe(LEAST);
  expect(machine.range[1]).toBeLessThanOrEqual(LEAST + 4);
});

it('grows as long as acceptance takes no longer, and no further than it may', () => {
  const small = new Machine(10, 5);
  small.run(10_000);
  small.run(30_000);
  // Twice as long as alone is where it turns.
  expect(small.range[0]).toBeGreaterThan(12);
  expect(small.range[1]).toBeLessThan(25);
  const large = new Machine(1_000, 5);
  large.run(10_000);
  large.run(30_000);
  expect(large.range).toEqual([MOST, MOST]);
});

it('follows a machine that becomes slower, and one that becomes quicker', () => {
  const machine = new Machine(1_000, 1);
  machine.run(10_000);
  machine.tookMs = 10;
  machine.run(6 * MEASURE_EVERY_MS);
  machine.run(MEASURE_EVERY_MS);
  expect(machine.range).toEqual([MOST, MOST]);
  machine.atOnce = 1;
  machine.run(MEASURE_EVERY_MS);
  machine.run(2 * MEASURE_EVERY_MS);
  expect(machine.range[1]).toBeLessThanOrEqual(LEAST + 4);
});

it('takes a small part of the time for finding out', () => {
  const machine = new Machine(1_000, 5);
  machine.run(30_000);
  machine.run(60_000);
  // At 64 at once.
  expect(machine.accepted / ((60_000 / 5) * MOST)).toBeGreaterThan(0.97);
});

it('stays as it is where no command is ever alone', () => {
  const machine = new Machine(1, 1, 10);
  machine.run(60_000);
  expect(machine.range).toEqual([FIRST, FIRST]);
});

it('is never more than it may be', () => {
  const limit = new UnderWayLimit(2, () => 0);
  for (let i = 0; i < 1_000; i++) limit.accepted(i < 500 ? 1 : 10, i % 4, true);
  expect(limit.value).toBeLessThanOrEqual(2);
});
