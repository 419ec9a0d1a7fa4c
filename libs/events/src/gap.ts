/**
 * A gap: an event of our own that says that events of a source may be missing. A source that delivers at most once cannot be made to deliver
 * again, but what it may have lost must not look like silence.
 */
import type { SourcedEvent } from './sourced-event.js';

export const GAP_TYPE = 'io.callboard.gap';

/** Why events may be missing. */
export type GapReason =
  /** The source had forgotten the subscription: what came until it was made anew is not known. */
  | 'subscription_lost'
  /** An answer that may have carried events did not arrive, or could not be read. */
  | 'answer_lost'
  /** The process that was taking events ended before it had stored them. */
  | 'interrupted';

export interface Gap {
  /** Made once, however often the event is published. */
  id: string;
  reason: GapReason;
  /** Between these two, events may be missing; ISO 8601, UTC. */
  since: string;
  until: string;
  /** How many may be missing, where that is known. */
  atMost?: number;
  topics: readonly string[];
}

export function gapEvent(tenantId: string, sourceName: string, gap: Gap): SourcedEvent {
  const { id, reason, since, until, atMost, topics } = gap;
  const data = { reason, since, until, ...(atMost !== undefined && { at_most: atMost }), topics };
  return {
    tenantId,
    sourceName,
    key: GAP_TYPE,
    attributes: {
      id,
      source: `//callboard/${sourceName}`,
      type: GAP_TYPE,
      time: until,
      datacontenttype: 'application/json',
      extensions: {},
    },
    data: Buffer.from(JSON.stringify(data)),
  };
}
