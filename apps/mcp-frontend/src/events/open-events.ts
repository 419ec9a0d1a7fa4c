import type { Audit } from '@callboard/audit';
import type { Limit } from '@callboard/http';
import { EventReader } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { EventCalls } from './event-calls.js';
import { EventFeed } from './event-feed.js';
import type { EventMetrics } from './event-metrics.js';
import { EventResources } from './event-resources.js';
import { EventSearch } from './event-search.js';
import { EventsExtension } from './events-extension.js';
import type { ServerAccess } from '../server-access.js';
import { Subscriptions, type SubscriptionLimits } from './subscriptions.js';

export interface EventOptions extends SubscriptionLimits {
  /** Polls that may wait at once. */
  waits: Limit;
  metrics: EventMetrics;
  /** Is the extension `io.modelcontextprotocol/events` switched on? */
  experimental: boolean;
}

/** What serves events to the clients of one MCP server. */
export interface ServedEvents {
  calls: EventCalls;
  resources: EventResources;
  /** Where it is switched on. */
  extension: EventsExtension | undefined;
}

/** All that serves events to clients; one for the process. */
export interface Events {
  subscriptions: Subscriptions;
  of(access: ServerAccess): ServedEvents;
  /** Answers all who wait with what there is. */
  close(): void;
  stop(): void;
}

export async function openEvents(
  nc: NatsConnection,
  options: EventOptions,
  onError: (error: unknown) => void,
  audit: Audit,
): Promise<Events> {
  const search = new EventSearch(await EventReader.open(nc));
  const subscriptions = await Subscriptions.open(nc, options);
  const feed = await EventFeed.start(nc, onError);
  const { waits, metrics } = options;
  const served: ServedEvents[] = [];
  return {
    subscriptions,
    of: (access) => {
      const calls = new EventCalls(search, feed, subscriptions, waits, metrics, audit, access);
      const resources = new EventResources(calls, feed, metrics, access);
      const extension = options.experimental ? new EventsExtension(search, feed, metrics, audit, access) : undefined;
      served.push({ calls, resources, extension });
      return served.at(-1)!;
    },
    close: () => served.forEach(({ calls }) => calls.close()),
    stop: () => feed.stop(),
  };
}
