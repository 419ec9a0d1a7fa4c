import { metrics } from '@callboard/telemetry';
import { Counter, Gauge } from 'prom-client';

export class BusMetrics {
  readonly #answers = new Counter({
    name: 'callboard_bus_answers_total',
    help: 'Reads of an event bus by how they were answered: `events`, `empty`, `gone`, `refused`, `lost`',
    labelNames: ['source', 'answer'],
    registers: [metrics],
  });
  readonly #gaps = new Counter({
    name: 'callboard_bus_gaps_total',
    help: 'Gaps that were told, by reason: events of the bus may be missing',
    labelNames: ['source', 'reason'],
    registers: [metrics],
  });
  readonly #reads = new Gauge({
    name: 'callboard_bus_reading',
    help: '1 while this replica reads the event bus',
    labelNames: ['source'],
    registers: [metrics],
  });

  constructor(sources: Iterable<string>) {
    for (const source of sources) this.#reads.set({ source }, 0);
  }

  answered(source: string, answer: string): void {
    this.#answers.inc({ source, answer });
  }

  gap(source: string, reason: string): void {
    this.#gaps.inc({ source, reason });
  }

  reads(source: string, here: boolean): void {
    this.#reads.set({ source }, here ? 1 : 0);
  }
}
