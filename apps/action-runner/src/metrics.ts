import { gauge as ownGauge, metrics } from '@callboard/telemetry';
import type { CommandConsumer } from '@callboard/jetstream';
import { Counter, Gauge, Histogram } from 'prom-client';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600];

/** Clocks of two machines may differ by more than a command takes. */
const since = (issuedAt: string) => Math.max(0, Date.now() - Date.parse(issuedAt)) / 1_000;

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

  readonly #waited = new Histogram({
    name: 'callboard_command_wait_seconds',
    help: 'From the acceptance of a command until its first attempt: commands of its key before it, priorities, the stream',
    buckets: SECONDS,
    registers: [metrics],
  });
  readonly #attempts = new Histogram({
    name: 'callboard_attempt_seconds',
    help: 'How long attempts took, by what the action answered: `succeeded`, `failed`, `retryable`, `deadline`, `ended_elsewhere`, `not_done`',
    labelNames: ['ending'],
    buckets: SECONDS,
    registers: [metrics],
  });
  readonly #commands = new Histogram({
    name: 'callboard_command_seconds',
    help: 'From the acceptance of a command until its outcome was stored',
    buckets: SECONDS,
    registers: [metrics],
  });

  begins(issuedAt: string, attempt: number): void {
    if (attempt === 1) this.#waited.observe(since(issuedAt));
  }

  attempted(ending: string, ms: number): void {
    this.#attempts.observe({ ending }, ms / 1_000);
  }

  ended(issuedAt: string): void {
    this.#commands.observe(since(issuedAt));
  }

  /** Figures that are read off the consumer when someone asks. */
  observe(consumer: () => CommandConsumer | undefined, partitions: number, halts: { size: number }): void {
    ownGauge('callboard_partitions', 'Partitions of commands that there are', () => partitions);
    ownGauge(
      'callboard_keys_halted',
      'Ordering keys that wait for an operator; the same on every runner',
      () => halts.size,
    );
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
