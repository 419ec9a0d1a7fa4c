/** For specs: a ledger in memory, as its writer makes it, and whoever tampers with it. */
import { CheckpointSigner, type SignedCheckpoint } from './checkpoint.js';
import { GENESIS, digestOf, nextRow, type ChainHead, type LedgerRow } from './ledger-entry.js';
import { parseRecord, writeRecord } from './record.js';
import { newKey, seal } from './sealing.js';
import { LedgerVerifier, type VerifyReport } from './verifier.js';

export const signer = new CheckpointSigner(Buffer.alloc(32, 3));
const KEY = newKey(Buffer.alloc(32, 4), 'acme', 'jane').opened;
const TENANTS = ['acme', 'globex', ''];
const EVERY = 10;

export interface SpecLedger {
  rows: LedgerRow[];
  checkpoints: SignedCheckpoint[];
  anchored: SignedCheckpoint[];
  messages: { sequence: number; subject: string; data: Buffer }[];
}

/** @param inStream how many of the last messages are still in the stream */
export function makeLedger(records: number, inStream = records): SpecLedger {
  const heads = new Map<string, ChainHead>();
  const ledger: SpecLedger = { rows: [], checkpoints: [], anchored: [], messages: [] };
  for (let sequence = 1; sequence <= records; sequence++) {
    const tenantId = TENANTS[(sequence * 7) % TENANTS.length]!;
    const fact = { kind: 'call', what: 'submitted', tenantId, who: { userId: 'jane' }, args: { n: sequence } } as const;
    const { subject, data } = writeRecord(sequence % 2 ? { ...fact, correlationId: `c_${sequence}` } : fact, {
      app: 'spec',
      instance: 'spec-1',
    });
    const record = parseRecord(data);
    const head = heads.get(tenantId) ?? { position: 0, hash: GENESIS };
    const row = nextRow(head, record, seal(KEY, record), { sequence, digest: digestOf(data) });
    heads.set(tenantId, row);
    ledger.rows.push(row);
    ledger.messages.push({ sequence, subject, data });
    if (row.position % EVERY !== 0) continue;
    const { position, hash } = row;
    const at = new Date(0).toISOString();
    const signed = signer.sign({ tenant_id: tenantId, position, hash, stream_sequence: sequence, at });
    ledger.anchored.push(signed);
    ledger.checkpoints.push({ ...signed, stream_sequence: sequence });
  }
  ledger.messages = ledger.messages.slice(records - inStream);
  return ledger;
}

export function verify({ rows, checkpoints, anchored, messages }: SpecLedger): VerifyReport {
  const verifier = new LedgerVerifier(signer.publicKey);
  verifier.checkpoints(checkpoints, anchored);
  const bodies = new Map<number, string | undefined>();
  const ordered = [...rows].sort((a, b) => a.stream_sequence - b.stream_sequence);
  for (const row of ordered) bodies.set(row.stream_sequence, verifier.row(row));
  for (const { sequence, subject, data } of messages) verifier.message(sequence, subject, data, bodies.get(sequence));
  return verifier.finish(messages.at(-1)?.sequence);
}
