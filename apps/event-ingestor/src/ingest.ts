/**
 * Taking events in: each is stored for the privacy filter, once, or its sender is told that it was not.
 *
 * Guaranteed: what is answered as stored or known is durable. Events of one source and key are stored in the order in which this process
 * took them, within a request and from request to request; where one could not be stored, those behind it were not either, so that a
 * request which is repeated keeps the order too. A sender is answered when it is on record, too, what it brought; storing does not wait for
 * that, which could put one request before another. Not guaranteed: an order between requests at two replicas.
 */
import type { Audit, AuditFact, AuditPerson } from '@callboard/audit';
import { CallboardError } from '@callboard/envelope';
import { eventName, type SourcedEvent } from '@callboard/events';
import { PublishRefused, PublishTimeout, STREAM, type RawEvents } from '@callboard/jetstream';
import type { Logger } from '@callboard/telemetry';
import { ATTRIBUTE, contextOf, sending, traceContextOf, traced } from '@callboard/tracing';

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
    private readonly audit: Audit,
  ) {}

  /**
   * The fates of the events of one request, in their order. Never rejects.
   * @param who sends them, where the credential says more than the source
   */
  async take(events: readonly SourcedEvent[], who?: AuditPerson): Promise<Fate[]> {
    if (this.refusing !== undefined) {
      const error = new CallboardError('overloaded', this.refusing, { retryAfterMs: FULL_RETRY_MS });
      return events.map(() => ({ kind: 'refused', error }));
    }
    const recorded = recordAll(this.audit, takenFacts(events, who)).catch((error: CallboardError) => error);
    const fates = await Promise.all(events.map((event) => this.#store(event)));
    const error = await recorded;
    return error instanceof CallboardError ? events.map(() => ({ kind: 'refused', error })) : fates;
  }

  async #store(event: SourcedEvent): Promise<Fate> {
    const { tenantId, sourceName: source, attributes } = event;
    const { traceparent, tracestate } = attributes.extensions;
    const { name, ...settings } = sending(STREAM.eventsRaw, {
      [ATTRIBUTE.tenant]: tenantId,
      [ATTRIBUTE.source]: source,
    });
    const parent = traceContextOf(traceparent, tracestate);
    try {
      const kind = await traced(name, { ...settings, parent }, (span) =>
        this.raw.publish(event, this.storeTimeoutMs, contextOf(span)),
      );
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

/** That events came together: one fact for those of a tenant and source. */
export function takenFacts(events: readonly SourcedEvent[], who?: AuditPerson): AuditFact[] {
  const batches = new Map<string, SourcedEvent[]>();
  for (const event of events) {
    const name = JSON.stringify([event.tenantId, event.sourceName]);
    batches.set(name, [...(batches.get(name) ?? []), event]);
  }
  return [...batches.values()].map((batch) => {
    const { tenantId, sourceName: source } = batch[0]!;
    const names = batch.map((event) => eventName(event.tenantId, event.sourceName, event.attributes));
    return { kind: 'event', what: 'taken', tenantId, ...(who && { who }), details: { source, events: names } };
  });
}

/**
 * Resolves when all are on record.
 * @throws CallboardError `unavailable`, `overloaded`
 */
export async function recordAll(audit: Pick<Audit, 'record'>, facts: readonly AuditFact[]): Promise<void> {
  await Promise.all(facts.map((fact) => audit.record(fact)));
}
