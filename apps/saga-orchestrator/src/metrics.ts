import { gauge, metrics } from '@callboard/telemetry';
import type { SagaEnd } from '@callboard/saga';
import { Counter, Histogram } from 'prom-client';

export class SagaMetrics {
  readonly #started = new Counter({
    name: 'callboard_sagas_started_total',
    help: 'Sagas that began, by definition; `envelope` for those whose steps join as calls',
    labelNames: ['definition'],
    registers: [metrics],
  });
  readonly #ended = new Counter({
    name: 'callboard_sagas_ended_total',
    help: 'Sagas by how they ended: `succeeded`, `compensated`, `failed`',
    labelNames: ['definition', 'ending'],
    registers: [metrics],
  });
  readonly #seconds = new Histogram({
    name: 'callboard_saga_seconds',
    help: 'From the start of a saga until its end',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600, 3_600, 86_400],
    registers: [metrics],
  });
  readonly #moved = new Counter({
    name: 'callboard_saga_entries_refused_total',
    help: 'Entries that were decided on a journal to which somebody else had appended meanwhile; they are decided again',
    registers: [metrics],
  });

  readonly #eventsLost = new Counter({
    name: 'callboard_saga_events_lost_total',
    help: 'Events of sagas that could not be stored in time; the sagas went on',
    registers: [metrics],
  });

  eventLost(): void {
    this.#eventsLost.inc();
  }

  started(definition: string | undefined): void {
    this.#started.inc({ definition: definition ?? ENVELOPE });
  }

  ended(definition: string | undefined, ending: SagaEnd, startedAt: string): void {
    this.#ended.inc({ definition: definition ?? ENVELOPE, ending });
    this.#seconds.observe((Date.now() - Date.parse(startedAt)) / 1_000);
  }

  entryRefused(): void {
    this.#moved.inc();
  }

  observe(orchestrator: { size: number; halted: number; partitions: number }): void {
    gauge('callboard_sagas_running', 'Sagas that this process has and that have not ended', () => orchestrator.size);
    gauge(
      'callboard_sagas_halted',
      'Sagas of this process that wait for an operator: a step could not be undone',
      () => orchestrator.halted,
    );
    gauge('callboard_saga_partitions', 'Partitions of sagas that this process owns', () => orchestrator.partitions);
  }
}

const ENVELOPE = 'envelope';
