/**
 * The figures of running processes in time lapse: what they tell in a fifth of a second is taken for what they tell in a minute, so that alerts which
 * wait for minutes can be seen to fire and to clear at real figures within seconds. Only the clock of the rules is another one, by one factor
 * everywhere: gauges that tell a duration are stretched by it too.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** Series with their samples at an instant. */
export type Scrape = Map<string, number>;

const MINUTE_MS = 200;
const DURATIONS = /^callboard_(audit_lag_seconds|ledger_checkpoint_age_seconds|filter_oldest_raw_seconds)\b/;
/**
 * How long the last figures go on, in minutes: longer than any window that an alert about a symptom looks back, and than the shorter one of any
 * two that one about a promise does.
 */
const REST_MINUTES = 400;
/** No scrape takes so long. */
const STUCK_MS = 60_000;

export class TimeLapse {
  readonly #startedAt = Date.now();
  /** Of each minute what was told last before its end. */
  readonly #scrapes: Scrape[] = [];
  #latest: Scrape = new Map();
  #latestAt = Date.now();
  #stopped = false;
  #failed: unknown;
  readonly #running: Promise<void>;

  /** @param scrape what all processes that are there tell now */
  constructor(scrape: () => Promise<Scrape>) {
    this.#running = this.#run(scrape).catch((error: unknown) => void (this.#failed = error));
  }

  async #run(scrape: () => Promise<Scrape>): Promise<void> {
    while (!this.#stopped) {
      this.#latest = await scrape();
      this.#latestAt = Date.now();
      // A scrape that took longer leaves minutes without one of their own, as an interval of several minutes does.
      for (const until = this.#now(); this.#scrapes.length <= until;) this.#scrapes.push(this.#latest);
      await delay(MINUTE_MS - ((Date.now() - this.#startedAt) % MINUTE_MS));
    }
  }

  #now(): number {
    return Math.floor((Date.now() - this.#startedAt) / MINUTE_MS);
  }

  /** The last whole minute. */
  get minute(): number {
    return this.#scrapes.length - 1;
  }

  /** What was told last. */
  get latest(): Scrape {
    return this.#latest;
  }

  /**
   * Resolves when so many minutes more have been seen.
   * @throws what a scrape has thrown, or Error when one does not end: nothing more will be seen
   */
  async minutes(count: number): Promise<void> {
    for (const until = this.minute + count; this.minute < until;) {
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#stopped) throw new Error('the time lapse was stopped');
      if (Date.now() - this.#latestAt > STUCK_MS) throw new Error(`a scrape has not ended within ${STUCK_MS} ms`);
      await delay(MINUTE_MS / 2);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** The minute in which everything has been at rest for long. */
  get atRest(): number {
    return this.minute + REST_MINUTES;
  }

  /** For promtool: the series of these metrics, with the last figures going on until all is at rest. */
  series(metrics: ReadonlySet<string>): { series: string; values: string }[] {
    const names = new Set(this.#scrapes.flatMap((scrape) => [...scrape.keys()]));
    return [...names]
      .filter((name) => metrics.has(name.split('{', 1)[0]!))
      .map((series) => {
        const factor = DURATIONS.test(series) ? 60_000 / MINUTE_MS : 1;
        const samples = this.#scrapes.map((scrape, i) => {
          const value = scrape.get(series);
          if (value !== undefined) return String(value * factor);
          return this.#scrapes[i - 1]?.has(series) ? 'stale' : '_';
        });
        const last = this.#scrapes.at(-1)?.get(series);
        return { series, values: [...samples, last === undefined ? '' : `${last * factor}x${REST_MINUTES}`].join(' ') };
      });
  }
}
