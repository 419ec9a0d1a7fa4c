import { gauge, metrics, soon } from '@callboard/telemetry';
import type { EventAddress } from '@callboard/envelope';
import type { JetStreamManager } from '@nats-io/jetstream';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { FilterConsumer } from './filter-consumer.js';
import type { RedactedEvent, Verdict } from './judge-event.js';
import type { PolicyFile } from './policy-file.js';
import { rawBacklog } from './raw-backlog.js';
import type { HoldReason } from './raw-event.js';

/** Counts, times and codes; never a value of an event. Sources and topics are of a form that was checked before they get here. */
export class FilterMetrics {
  readonly #events = new Counter({
    name: 'callboard_filter_events_total',
    help: 'Events that this filter has stored: passed, or held back',
    labelNames: ['source', 'fate'],
    registers: [metrics],
  });
  readonly #held = new Counter({
    name: 'callboard_filter_held_total',
    help: 'Events held back, by reason',
    labelNames: ['reason'],
    registers: [metrics],
  });
  readonly #redactions = new Counter({
    name: 'callboard_filter_redactions_total',
    help: 'Values replaced in events, by type',
    labelNames: ['type'],
    registers: [metrics],
  });
  readonly #seconds = new Histogram({
    name: 'callboard_filter_seconds',
    help: 'From the moment an event was stored raw until it was passed or held back',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [metrics],
  });
  readonly #lost = new Counter({
    name: 'callboard_filter_workers_lost_total',
    help: 'Threads that were replaced, by what ended them',
    labelNames: ['reason'],
    registers: [metrics],
  });

  passed({ address }: RedactedEvent, found: Extract<Verdict, { ok: true }>['found']): void {
    this.#events.inc({ source: address.source, fate: 'passed' });
    for (const [type, count] of Object.entries(found)) this.#redactions.inc({ type }, count);
  }

  held({ source }: EventAddress, reason: HoldReason): void {
    this.#events.inc({ source, fate: 'held' });
    this.#held.inc({ reason });
  }

  took(ms: number): void {
    this.#seconds.observe(Math.max(0, ms) / 1_000);
  }

  lost(reason: 'timed_out' | 'filter_crashed'): void {
    this.#lost.inc({ reason });
  }

  /** Figures that are read when someone asks. */
  observe(jsm: JetStreamManager, consumer: () => FilterConsumer | undefined, policies: PolicyFile): void {
    gauge(
      'callboard_filter_partitions_owned',
      'Partitions that this filter owns',
      () => consumer()?.partitions.length ?? 0,
    );
    gauge('callboard_filter_buffered', 'Events that this filter has in memory', () => consumer()?.buffered ?? 0);
    gauge('callboard_filter_policy_broken', '1 while the policy file is not the policy in force', () =>
      Number(policies.broken),
    );
    const backlog = lately(() => rawBacklog(jsm));
    new Gauge({
      name: 'callboard_filter_pending',
      help: 'Raw events that no filter is done with, by partition',
      labelNames: ['partition'],
      registers: [metrics],
      async collect() {
        (await backlog())?.pending.forEach((count, partition) => this.set({ partition }, count));
      },
    });
    new Gauge({
      name: 'callboard_filter_oldest_raw_seconds',
      help: 'Age of the oldest raw event; 0 when there is none',
      registers: [metrics],
      async collect() {
        const now = await backlog();
        if (now) this.set(now.oldestMs / 1_000);
      },
    });
  }
}

/** The same answer for all who ask within a second; none while the server is away. */
function lately<T>(ask: () => Promise<T>): () => Promise<T | undefined> {
  let askedAt = 0;
  let answer: Promise<T | undefined> = Promise.resolve(undefined);
  return () => {
    if (Date.now() - askedAt > 1_000) {
      askedAt = Date.now();
      answer = soon(ask());
    }
    return answer;
  };
}
