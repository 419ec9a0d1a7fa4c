/** For specs: what serves events, on a real nats-server. */
import { MemoryAudit } from '@callboard/audit';
import { Limit } from '@callboard/http';
import type { NatsConnection } from '@nats-io/transport-node';
import type { EventMetrics } from './event-metrics.js';
import { openAccess } from '../spec-access.js';
import { quotas } from '../spec-quotas.js';
import { openEvents, type EventOptions, type Events, type ServedEvents } from './open-events.js';

export type SpecEvents = Events & ServedEvents;

const NOTHING_COUNTED: EventMetrics = {
  read: () => undefined,
  poll: () => undefined,
  gave: () => undefined,
  updated: () => undefined,
};

export async function startEvents(
  nc: NatsConnection,
  { policies, ...options }: Partial<EventOptions> & { policies?: string } = {},
  audit = new MemoryAudit(),
): Promise<SpecEvents> {
  const events = await openEvents(
    nc,
    {
      waits: new Limit('waiting polls', 64, 1_000),
      quotas: quotas(),
      ttlMs: 3_600_000,
      metrics: NOTHING_COUNTED,
      experimental: false,
      ...options,
    },
    () => undefined,
    audit,
  );
  return { ...events, ...events.of((await openAccess(policies)).access) };
}
