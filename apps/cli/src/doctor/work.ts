import { LedgerControl } from '@callboard/jetstream';
/** What an operator is told of work that does not go on by itself: sagas that are halted, an audit writer that is behind. */
import { listSagas } from '@callboard/saga-journal';
import type { NatsConnection } from '@nats-io/transport-node';
import { failed, ok, warning, type Finding } from './finding.js';

/** A writer that works has written a record within a moment: so many wait only when it does not. */
const BEHIND_RECORDS = 10_000;

export async function checkSagas(nc: NatsConnection): Promise<Finding[]> {
  const sagas = await listSagas(nc);
  const halted = sagas.filter(({ phase }) => phase === 'halted').map(({ saga_id }) => saga_id);
  if (halted.length === 0) return [ok('sagas', `${sagas.length}, none halted`)];
  const fix = 'callboard sagas show, then retry, skip or abort: docs/sagas.md';
  return [warning('sagas', 'sagas_halted', `${halted.length} halted: ${halted.slice(0, 3).join(', ')}`, fix)];
}

export async function checkAuditWriter(nc: NatsConnection): Promise<Finding[]> {
  try {
    const { written, stream } = await new LedgerControl(nc).ask('status', {});
    const behind = stream - written;
    if (behind < BEHIND_RECORDS) return [ok('audit writer', `${behind} records not in the ledger yet`)];
    const fix = 'see its log and its database: when AUDIT is full, nothing is done any more';
    return [warning('audit writer', 'audit_behind', `${behind} records not in the ledger yet`, fix)];
  } catch {
    const fix = 'start one, or see the logs of those that run: when AUDIT is full, nothing is done any more';
    return [failed('audit writer', 'audit_writer_silent', 'none answers', fix)];
  }
}
