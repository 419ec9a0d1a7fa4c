/**
 * Retention. A segment is all entries of a tenant up to a checkpoint; sealing it keeps that checkpoint, signed as it was, in the place of the entries, which may
 * then be dropped: the next entry names its hash. Sealing is the writer's; dropping is the owner's of the tables, and the tables themselves refuse to let go of
 * what nothing stands for.
 */
import type { Queryable } from './database.js';

/** Seals, of each tenant, what its newest checkpoint from before a time stands for. Returns of how many tenants. */
export async function sealSegments(db: Queryable, before: string): Promise<number> {
  const sealed = await db.query(
    `INSERT INTO audit_segments (tenant_id, position, stream_sequence, body, signature)
     SELECT DISTINCT ON (tenant_id) tenant_id, position, stream_sequence, body, signature FROM audit_checkpoints
     WHERE body::json->>'at' <= $1 ORDER BY tenant_id, position DESC
     ON CONFLICT DO NOTHING RETURNING tenant_id`,
    [before],
  );
  return sealed.length;
}

/** Drops the entries for which a segment stands. Returns how many. */
export async function dropSealed(owner: Queryable): Promise<number> {
  const [dropped] = await owner.query<{ count: number }>(
    `WITH gone AS (
       DELETE FROM audit_records r USING (SELECT tenant_id, max(position) AS position FROM audit_segments GROUP BY tenant_id) s
       WHERE r.tenant_id = s.tenant_id AND r.position <= s.position RETURNING 1)
     SELECT count(*) AS count FROM gone`,
  );
  return dropped?.count ?? 0;
}
