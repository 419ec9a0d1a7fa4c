/**
 * How many commands a front end has under way at once while several tenants call. It is found, not set: up to some number, more at once is more a second;
 * beyond it each only waits for the others, and that number is 2 on one machine and 100 on the next. So the limit grows while commands are in line and acceptance
 * takes less than twice as long as alone, and shrinks when it takes longer.
 *
 * What acceptance takes alone changes too, so it is measured again and again. Where no command was alone for a while, those in line go one by one until
 * it is known: some thirty of them, or for a quarter of a second. Where it cannot be known, because too many tenants always have one under way, the limit stays.
 *
 * Invariant: the limit is `most` at most, and but for such moments `LEAST` at least (U1). Not promised: that it is the best one in the first seconds.
 */

export const LEAST = 2;
/** Before anything is known. */
export const FIRST = 16;
/** A command is alone with as many ahead of it at most. */
const ALONE = 1;
export const MEASURE_EVERY_MS = 10_000;
const MEASURE_MS = 250;
/** Acceptances of which the median counts as one measurement. */
const SAMPLES = 16;
/** Of the last measurements alone the least counts: whatever else happened made the others longer. */
const REMEMBERED = 5;
/** Acceptance that takes so many times what it does alone waits for others. */
const LONGER = 2;
const SHRINK = 0.8;

export class UnderWayLimit {
  #limit: number;
  readonly #all = new Measurements();
  readonly #alone = new Measurements();
  /** The last measurements alone, with when they were made. */
  readonly #known: { tookMs: number; at: number }[] = [];
  /** From then on for `MEASURE_MS` commands go one by one. */
  #measureFrom: number | undefined;

  /** `now`: milliseconds of a clock that only goes forward */
  constructor(
    private readonly most: number,
    private readonly now: () => number,
  ) {
    this.#limit = Math.min(FIRST, most);
  }

  get value(): number {
    return this.#isMeasuring() ? 1 : this.#limit;
  }

  /**
   * A command was accepted.
   * @param tookMs what that took
   * @param ahead commands that were under way when it began
   * @param inLine does another one wait for its turn?
   */
  accepted(tookMs: number, ahead: number, inLine: boolean): void {
    // What is told while commands go one by one says nothing of the limit.
    const all = this.#isMeasuring() ? undefined : this.#all.add(tookMs);
    if (ahead <= ALONE) this.#wasAlone(tookMs);
    if (all === undefined || this.#known.length === 0) return;
    const least = Math.min(...this.#known.map((each) => each.tookMs));
    if (all > LONGER * least) this.#limit = Math.max(Math.min(LEAST, this.most), Math.floor(this.#limit * SHRINK));
    else if (inLine) this.#limit = Math.min(this.#limit + 1, this.most);
  }

  #wasAlone(sampleMs: number): void {
    const tookMs = this.#alone.add(sampleMs);
    if (tookMs === undefined) return;
    const at = this.now();
    const before = this.#known.at(-1);
    this.#known.push({ tookMs, at });
    if (this.#known.length > REMEMBERED) this.#known.shift();
    // The first commands that go one by one still meet those of before: it takes two.
    if (before && at - before.at < MEASURE_EVERY_MS) this.#measureFrom = at + MEASURE_EVERY_MS;
  }

  #isMeasuring(): boolean {
    const now = this.now();
    const since = now - (this.#measureFrom ??= now);
    if (since >= MEASURE_MS) this.#measureFrom = now + MEASURE_EVERY_MS;
    return since >= 0 && since < MEASURE_MS;
  }
}

class Measurements {
  #samples: number[] = [];

  /** @returns the median, when there are enough for one */
  add(sample: number): number | undefined {
    this.#samples.push(sample);
    if (this.#samples.length < SAMPLES) return undefined;
    const median = this.#samples.sort((a, b) => a - b)[SAMPLES / 2];
    this.#samples = [];
    return median;
  }
}
