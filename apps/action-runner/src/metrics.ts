import { metrics } from '@callboard/telemetry';
import type { CommandConsumer } from '@callboard/jetstream';
import { Counter, Gauge } from 'prom-client';

export class RunnerMetrics {
  readonly outcomes = new Counter({
    name: 'callboard_outcomes_total',
    help: 'Commands ended by this runner, by status; `late` when an outcome was there already',
    labelNames: ['action', 'status'],
    registers: [metrics],
  });
  readonly retries = new Counter({
    name: 'callboard_command_retries_total',
    help: 'Attempts begun after the first',
    labelNames: ['action'],
    registers: [metrics],
  });

  /** Figures that are read off the consumer when someone asks. */
  observe(consumer: () => CommandConsumer | undefined): void {
    const gauge = (name: string, help: string, read: (consumer: CommandConsumer) => number) =>
      new Gauge({
        name,
        help,
        registers: [metrics],
        collect() {
          const source = consumer();
          this.set(source ? read(source) : 0);
        },
      });
    gauge('callboard_partitions_owned', 'Partitions that this runner owns', (source) => source.partitions.length);
    gauge('callboard_commands_running', 'Commands running now', (source) => source.running);
    gauge('callboard_commands_buffered', 'Commands read ahead or running', (source) => source.buffered);
  }
}
