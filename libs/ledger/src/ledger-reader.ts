/** Reads a ledger: to verify all of it, to search it, to export it. */
import type { LedgerRow, SignedCheckpoint } from '@callboard/audit';
import type { LedgerQuery, LedgerSource } from '@callboard/jetstream';
import type { Database } from './database.js';

const ROW = 'tenant_id, position, stream_sequence, kind, at, correlation_id, actor, body, hash';

export class LedgerReader implements LedgerSource {
  constructor(private readonly db: Database) {}

  rows(after: number | undefined, limit: number): Promise<LedgerRow[]> {
    return this.#inOrder<LedgerRow>(ROW, 'audit_records', after, limit);
  }

  search({ after, before, limit, ...equal }: LedgerQuery): Promise<LedgerRow[]> {
    const parameters: unknown[] = [];
    const where = [
      ['tenant_id =', equal.tenant],
      ['kind =', equal.kind],
      ['correlation_id =', equal.correlation_id],
      ['actor =', equal.actor],
      ['at >=', equal.since],
      ['at <=', equal.until],
      ['stream_sequence >', after],
      ['stream_sequence <', before],
    ]
      .filter(([, value]) => value !== undefined)
      .map(([test, value]) => `${test} $${parameters.push(value)}`);
    return this.db.query<LedgerRow>(
      `SELECT ${ROW} FROM audit_records ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''}
       ORDER BY stream_sequence ${after === undefined ? 'DESC' : 'ASC'} LIMIT $${parameters.push(limit)}`,
      parameters,
    );
  }

  checkpoints(after: number | undefined, limit: number): Promise<(SignedCheckpoint & { stream_sequence: number })[]> {
    const columns = 'tenant_id, position, stream_sequence, body, signature';
    return this.#inOrder(columns, 'audit_checkpoints', after, limit);
  }

  #inOrder<T>(columns: string, table: string, after: number | undefined, limit: number): Promise<T[]> {
    const where = after === undefined ? '' : 'WHERE stream_sequence > $2';
    return this.db.query<T>(`SELECT ${columns} FROM ${table} ${where} ORDER BY stream_sequence LIMIT $1`, [
      limit,
      ...(after === undefined ? [] : [after]),
    ]);
  }

  segments(): Promise<SignedCheckpoint[]> {
    return this.db.query<SignedCheckpoint & { stream_sequence: number }>(
      `SELECT DISTINCT ON (tenant_id) tenant_id, position, stream_sequence, body, signature FROM audit_segments
       ORDER BY tenant_id, position DESC`,
    );
  }
}
