import type { Limit } from '@callboard/http';
import { EventReader } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { EventCalls } from './event-calls.js';
import { EventFeed } from './event-feed.js';
import type { EventMetrics } from './event-metrics.js';
import { EventResources } from './event-resources.js';
import { EventSearch } from './event-search.js';
import { EventsExtension } from './events-extension.js';
import { Subscriptions, type SubscriptionLimits } from './subscriptions.js';

export interface EventOptions extends SubscriptionLimits {
  /** Polls that may wait at once. */
  waits: Limit;
  metrics: EventMetrics;
  /** Is the extension `io.modelcontextprotocol/events` switched on? */
  experimental: boolean;
}

/** All that serves events to clients; one for the process. */
export interface Events {
  calls: EventCalls;
  resources: EventResources;
  subscriptions: Subscriptions;
  /** Where it is switched on. */
  extension: EventsExtension | undefined;
  stop(): void;
}

export async function openEvents(
  nc: NatsConnection,
  options: EventOptions,
  onError: (error: unknown) => void,
): Promise<Events> {
  const search = new EventSearch(await EventReader.open(nc));
  const subscriptions = await Subscriptions.open(nc, options);
  const feed = await EventFeed.start(nc, onError);
  const { waits, metrics } = options;
  const calls = new EventCalls(search, feed, subscriptions, waits, metrics);
  return {
    calls,
    resources: new EventResources(calls, feed, metrics),
    subscriptions,
    extension: options.experimental ? new EventsExtension(search, feed, metrics) : undefined,
    stop: () => feed.stop(),
  };
}
