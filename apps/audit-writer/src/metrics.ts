import { gauge, metrics } from '@callboard/telemetry';
import { Counter } from 'prom-client';

export class WriterMetrics {
  readonly entries = new Counter({
    name: 'callboard_ledger_entries_total',
    help: 'Entries that this process has written to the ledger',
    registers: [metrics],
  });
  readonly #checkpoints = new Counter({
    name: 'callboard_ledger_checkpoints_total',
    help: 'Rounds of checkpoints, taken and failed',
    labelNames: ['what'],
    registers: [metrics],
  });
  /** Records of the stream that the ledger does not have, and since when the oldest of them is there, in milliseconds. */
  lag = { records: 0, oldestAt: 0 };
  /** When everything that the ledger had was vouched for in both places. */
  anchoredAt = Date.now();

  constructor() {
    for (const what of ['taken', 'failed']) this.#checkpoints.inc({ what }, 0);
    gauge('callboard_audit_lag_records', 'Records of the stream that the ledger does not have', () => this.lag.records);
    gauge('callboard_audit_lag_seconds', 'Age of the oldest record that the ledger does not have', () =>
      this.lag.records === 0 ? 0 : (Date.now() - this.lag.oldestAt) / 1_000,
    );
    gauge(
      'callboard_ledger_checkpoint_age_seconds',
      'Since when nothing more was vouched for by a checkpoint in both places',
      () => (Date.now() - this.anchoredAt) / 1_000,
    );
  }

  checkpoint(what: 'taken' | 'failed'): void {
    this.#checkpoints.inc({ what });
    if (what === 'taken') this.anchoredAt = Date.now();
  }
}
