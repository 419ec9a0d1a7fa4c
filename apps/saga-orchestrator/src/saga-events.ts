/**
 * Tells the event stream of sagas: that one began, waits for an approval, is halted, or has ended. The events take the way of all events, through the
 * privacy filter, and say whose saga it is by its id alone: neither arguments nor results, and nobody's name.
 *
 * Each is stored once, for its id follows from the saga: whoever takes a saga over tells all of it again. A saga does not wait for long, and goes
 * on without them when they cannot be stored.
 */
import type { ErrorBody, JsonObject } from '@callboard/envelope';
import type { SourcedEvent } from '@callboard/events';
import type { RawEvents } from '@callboard/jetstream';
import type { SagaState } from '@callboard/saga';
import type { Logger } from '@callboard/telemetry';
import type { SagaMetrics } from './metrics.js';

/** Reserved: no source of an ingestor has this name. */
const SOURCE = 'callboard';
const STORE_MS = 5_000;

export class SagaEvents {
  constructor(
    private readonly raw: Pick<RawEvents, 'publish'>,
    private readonly metrics: SagaMetrics,
    private readonly log: Logger,
  ) {}

  started(saga: SagaState): Promise<void> {
    return this.#tell(saga, 'saga.started', saga.started_at, '', {});
  }

  approvalWaits(saga: SagaState, effect: string, step: string): Promise<void> {
    return this.#tell(saga, 'saga.approval_waits', saga.steps[step]?.started_at, effect, { step });
  }

  halted(saga: SagaState, effect: string, step: string, { code }: ErrorBody): Promise<void> {
    return this.#tell(saga, 'saga.halted', undefined, effect, { step, code });
  }

  ended(saga: SagaState): Promise<void> {
    return this.#tell(saga, 'saga.ended', saga.ended_at, '', { ending: saga.phase });
  }

  /** Never rejects. */
  async #tell(saga: SagaState, type: string, time: string | undefined, of: string, more: JsonObject): Promise<void> {
    const { tenant_id: tenantId, saga_id: id, definition } = saga;
    const named = definition && { definition: definition.id, version: definition.version };
    const event: SourcedEvent = {
      tenantId,
      sourceName: SOURCE,
      key: id,
      attributes: {
        id: [id, type, of].filter(Boolean).join(':'),
        source: '/sagas',
        type,
        subject: id,
        ...(time !== undefined && { time }),
        datacontenttype: 'application/json',
        extensions: {},
      },
      data: Buffer.from(JSON.stringify({ saga_id: id, ...named, ...more })),
    };
    try {
      await this.raw.publish(event, STORE_MS);
    } catch (error) {
      this.metrics.eventLost();
      this.log.warn({ err: error, saga: id, tenant: tenantId, type }, 'an event of a saga could not be stored');
    }
  }
}
