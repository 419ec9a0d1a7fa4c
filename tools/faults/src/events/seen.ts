/** An event as it is seen from outside, in the terms of the run; undefined when it is none of the run's. */
import type { JsonObject } from '@callboard/envelope';
import { GAP_TYPE } from '@callboard/events';
import type { SeenEvent, SeenGap, Way } from './history.js';

/** As the tools for events give it. */
export interface GivenEvent {
  source: string;
  topic: string;
  key: string;
  event: JsonObject;
}

const WAY_OF: Record<string, Way> = { backstage: 'plug-in', local: 'ingestor', 'backstage-bus': 'bus' };

export function seenEvent(given: GivenEvent): SeenEvent | undefined {
  const way = WAY_OF[given.source];
  const { n } = (given.event['data'] ?? {}) as { n?: unknown };
  if (way === undefined || given.topic === GAP_TYPE || typeof n !== 'number') return undefined;
  return { way, key: given.key, value: n, text: JSON.stringify(given) };
}

export function seenGap({ topic, event }: GivenEvent): SeenGap | undefined {
  if (topic !== GAP_TYPE) return undefined;
  const { reason, since, until } = event['data'] as { reason: string; since: string; until: string };
  return { reason, since: Date.parse(since), until: Date.parse(until) };
}
