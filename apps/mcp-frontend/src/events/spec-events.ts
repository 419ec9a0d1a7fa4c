/** For specs: what serves events, on a real nats-server. */
import { Limit } from '@callboard/http';
import type { NatsConnection } from '@nats-io/transport-node';
import type { EventMetrics } from './event-metrics.js';
import { openEvents, type EventOptions, type Events } from './open-events.js';

const NOTHING_COUNTED: EventMetrics = {
  read: () => undefined,
  poll: () => undefined,
  gave: () => undefined,
  updated: () => undefined,
};

export function startEvents(nc: NatsConnection, options: Partial<EventOptions> = {}): Promise<Events> {
  return openEvents(
    nc,
    {
      waits: new Limit('waiting polls', 64, 1_000),
      maxPerPrincipal: 8,
      maxPerTenant: 16,
      ttlMs: 3_600_000,
      metrics: NOTHING_COUNTED,
      experimental: false,
      ...options,
    },
    () => undefined,
  );
}
