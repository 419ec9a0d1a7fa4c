import { parseRecord, type AuditRecord } from '@callboard/audit';
import { STREAM } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { TestNats } from './test-nats.js';

/** Every record of the audit stream, in the order in which it was stored. */
export async function readAudit(sre: JetStreamManager): Promise<AuditRecord[]> {
  const { first_seq, last_seq } = (await sre.streams.info(STREAM.audit)).state;
  const records: AuditRecord[] = [];
  // A stream that never had a message says 0, which is no sequence.
  for (let seq = Math.max(1, first_seq); seq <= last_seq; seq++) {
    const message = await sre.direct.getMessage(STREAM.audit, { seq });
    if (message) records.push(parseRecord(message.data));
  }
  return records;
}

/** Takes the audit stream away from those who publish to it, or its room; returns what gives it back. */
export async function stopAudit(
  nats: Pick<TestNats, 'connect'>,
  how: 'gone' | 'full' = 'gone',
): Promise<() => Promise<void>> {
  const jsm = await jetstreamManager(await nats.connect('provisioner'));
  const { config } = await jsm.streams.info(STREAM.audit);
  await jsm.streams.update(
    STREAM.audit,
    how === 'gone' ? { ...config, subjects: ['elsewhere'] } : { ...config, max_bytes: 1 },
  );
  return async () => void (await jsm.streams.update(STREAM.audit, config));
}
