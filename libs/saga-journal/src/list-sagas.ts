import { HEADER, parseStoredSagaSubject, sagaPartitionSubjects } from '@callboard/envelope';
import { STREAM } from '@callboard/jetstream';
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

/** A saga by the headers of its last entry. */
export interface ListedSaga {
  saga_id: string;
  tenant_id: string;
  /** `requested` until an orchestrator has begun it. */
  phase: string;
  definition?: string;
  /** When its last entry was stored. */
  changed_at: string;
}

/** Every saga that there is a journal of, the one that changed last at the end; of one tenant, where that is said. */
export async function listSagas(nc: NatsConnection, tenantId?: string): Promise<ListedSaga[]> {
  const consumer = await jetstream(nc).consumers.get(STREAM.sagas, {
    filter_subjects: [sagaPartitionSubjects('*', tenantId)],
    deliver_policy: DeliverPolicy.LastPerSubject,
    headers_only: true,
  });
  const sagas: ListedSaga[] = [];
  let { num_pending: left } = await consumer.info(true);
  if (left === 0) return sagas;
  const messages = await consumer.consume();
  for await (const { subject, headers, timestamp } of messages) {
    const saga = parseStoredSagaSubject(subject);
    const definition = headers?.get(HEADER.sagaDefinition);
    sagas.push({
      saga_id: saga.sagaId,
      tenant_id: saga.tenantId,
      phase: headers?.get(HEADER.sagaPhase) || 'requested',
      ...(definition && { definition }),
      changed_at: timestamp,
    });
    left -= 1;
    if (left === 0) break;
  }
  await messages.close();
  return sagas.sort((a, b) => (a.changed_at < b.changed_at ? -1 : 1));
}
