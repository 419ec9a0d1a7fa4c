/**
 * Taking events in: each is stored for the privacy filter, once, or its sender is told that it was not.
 *
 * Guaranteed: what is answered as stored or known is durable. Events of one source and key are stored in the order in which this process
 * took them, within a request and from request to request; where one could not be stored, those behind it were not either, so that a
 * request which is repeated keeps the order too. Not guaranteed: an order between requests at two replicas.
 */
import { CallboardError } from '@callboard/envelope';
import { eventName, type SourcedEvent } from '@callboard/events';
import { PublishRefused, PublishTimeout, type RawEvents } from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';

export type Fate =
  | { kind: 'stored' | 'known'; event: string }
  /** Not stored, as far as is known. */
  | { kind: 'refused'; error: CallboardError };

const FULL_RETRY_MS = 5_000;
const AWAY_RETRY_MS = 1_000;

export class Ingest {
  /** Why nothing is taken now, for those who ask. */
  refusing: string | undefined;

  constructor(
    private readonly raw: Pick<RawEvents, 'publish'>,
    private readonly storeTimeoutMs: number,
    private readonly log: Logger,
  ) {}

  /** The fates of the events of one request, in their order. Never rejects. */
  async take(events: readonly SourcedEvent[]): Promise<Fate[]> {
    if (this.refusing !== undefined) {
      const error = new CallboardError('overloaded', this.refusing, { retryAfterMs: FULL_RETRY_MS });
      return events.map(() => ({ kind: 'refused', error }));
    }
    return Promise.all(events.map((event) => this.#store(event)));
  }

  async #store(event: SourcedEvent): Promise<Fate> {
    try {
      const kind = await this.raw.publish(event, this.storeTimeoutMs);
      return { kind, event: eventName(event.tenantId, event.sourceName, event.attributes) };
    } catch (error) {
      return { kind: 'refused', error: this.#toRefusal(error, event.sourceName) };
    }
  }

  #toRefusal(error: unknown, source: string): CallboardError {
    if (error instanceof PublishTimeout) {
      return new CallboardError('unavailable', 'The event could not be stored now', { retryAfterMs: AWAY_RETRY_MS });
    }
    if (error instanceof PublishRefused && error.isFull) {
      return new CallboardError('overloaded', 'The stream of raw events is full', { retryAfterMs: FULL_RETRY_MS });
    }
    this.log.error({ source, err: error }, 'an event could not be stored: the server refuses it');
    return new CallboardError('internal');
  }
}
