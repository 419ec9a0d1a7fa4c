/** Metrics by OpenTelemetry's interface, as Backstage's own are: they go wherever the site sends those, or nowhere. */
import { metrics } from '@opentelemetry/api';

export interface Meter {
  count(topic: string, result: 'stored' | 'known' | 'retried'): void;
  stop(): void;
}

export function measure(waiting: () => number): Meter {
  const meter = metrics.getMeter('callboard');
  const events = meter.createCounter('callboard.events.forwarded', {
    description: 'Events by topic and result: stored, known (stored before), retried',
  });
  const gauge = meter.createObservableGauge('callboard.events.waiting', {
    description: 'Events that have come and are not stored yet; their publishers wait',
  });
  const observe = (result: { observe(value: number): void }) => result.observe(waiting());
  gauge.addCallback(observe);
  return {
    count: (topic, result) => events.add(1, { topic, result }),
    stop: () => gauge.removeCallback(observe),
  };
}
