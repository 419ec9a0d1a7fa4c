import { metrics } from '@callboard/telemetry';
import { Counter, Histogram } from 'prom-client';

/** What became of what was sent, by source. A request that names no source of ours counts under `-`, which is the name of none. */
export class IngestMetrics {
  readonly #events = new Counter({
    name: 'callboard_ingest_events_total',
    help: 'Events by what became of them: `stored`, `known`, or the code under which they were refused; a request that was refused as a whole, or whose sender was `gone` before its end, counts once',
    labelNames: ['source', 'outcome'],
    registers: [metrics],
  });
  readonly #seconds = new Histogram({
    name: 'callboard_ingest_request_seconds',
    help: 'From the first byte of a request to its answer',
    labelNames: ['source'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [metrics],
  });

  constructor(sources: Iterable<string>) {
    for (const source of sources) {
      for (const outcome of ['stored', 'known']) this.#events.inc({ source, outcome }, 0);
    }
  }

  count(source: string | undefined, outcome: string): void {
    this.#events.inc({ source: source ?? '-', outcome });
  }

  observe(source: string, seconds: number): void {
    this.#seconds.observe({ source }, seconds);
  }
}
