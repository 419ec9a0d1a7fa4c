import { metrics, soon } from '@callboard/telemetry';
import { Counter, Gauge } from 'prom-client';

/** What clients get of events, as figures. */
export interface EventMetrics {
  read(): void;
  poll(): void;
  /** An answer with so many events; `truncated` when it said that some may be missing. */
  gave(events: number, truncated: boolean): void;
  /** A client was told that something came. */
  updated(): void;
}

const counter = (name: string, help: string) => new Counter({ name, help, registers: [metrics] });

export function eventMetrics(): EventMetrics {
  const reads = counter('callboard_event_reads_total', 'Reads of past events, as a tool or as a resource');
  const polls = counter('callboard_event_polls_total', 'Polls of subscriptions that were answered');
  const delivered = counter('callboard_events_delivered_total', 'Events in answers to clients, repeated ones included');
  const truncations = counter('callboard_event_truncations_total', 'Answers that said that events may be missing');
  const updates = counter('callboard_event_updates_total', 'Notifications that a resource of events was updated');
  return {
    read: () => reads.inc(),
    poll: () => polls.inc(),
    gave: (events, truncated) => {
      delivered.inc(events);
      if (truncated) truncations.inc();
    },
    updated: () => updates.inc(),
  };
}

/** @param count asked when somebody asks for the figures */
export function watchSubscriptions(count: () => Promise<number>): void {
  let last = 0;
  new Gauge({
    name: 'callboard_event_subscriptions',
    help: 'Named subscriptions of all clients',
    registers: [metrics],
    async collect() {
      last = (await soon(count())) ?? last;
      this.set(last);
    },
  });
}
