/**
 * Where the streams and buckets keep what of a tenant: what `callboard tenants export` reads, and `callboard tenants erase` empties, in this order.
 * Every stream of the topology is here; a spec compares.
 *
 * The order is part of what erasing promises. What makes new work goes first. A command goes before its outcome, so that at no moment there is a
 * command that has ended and does not look like it: a runner would begin it again. A deadline goes before the outcome that ends it.
 */
import { encodeToken } from '@callboard/envelope';
import { BUCKET, STREAM } from './topology.js';

/** How a stream keeps what is of a tenant. */
export type TenantPlace =
  /** At subjects that name the tenant, as they are stored. */
  | { kind: 'subjects'; stream: string; subjects: string[] }
  /** The same in a bucket, where who watches it must hear that a key is gone. */
  | { kind: 'keys'; bucket: string; stream: string; subjects: string[] }
  /** The messages at these subjects whose header names the tenant; all of a session together. */
  | { kind: 'session messages'; stream: string; subjects: string[] }
  /** The records at these keys whose principal is of the tenant. */
  | { kind: 'session records'; bucket: string; stream: string; subjects: string[] }
  /** For the privacy filter alone: it is asked. */
  | { kind: 'filter'; stream: string; subjects: string[] }
  /** Stays, because what is personal in it is sealed with keys that are destroyed, or it is not in it. */
  | { kind: 'sealed'; stream: string; subjects: string[] };

/** Holds nothing of any tenant. */
const NOTHING = [BUCKET.actions, BUCKET.leases, BUCKET.ingest, BUCKET.filterLeases, BUCKET.sagaLeases];

/** Streams that hold nothing of any tenant. */
export const TENANTLESS: readonly string[] = NOTHING.map((bucket) => `KV_${bucket}`);

/** @throws RangeError when the name holds half a surrogate pair */
export function tenantPlaces(tenantId: string): TenantPlace[] {
  const tenant = encodeToken(tenantId);
  const at = (stream: string, ...subjects: string[]): TenantPlace => ({ kind: 'subjects', stream, subjects });
  const of = (kind: 'filter' | 'sealed', stream: string, ...subjects: string[]): TenantPlace => ({
    kind,
    stream,
    subjects,
  });
  const keys = (bucket: string, pattern: string): TenantPlace => ({
    ...{ kind: 'keys', bucket, stream: `KV_${bucket}` },
    subjects: [`$KV.${bucket}.${pattern}`],
  });
  return [
    at(STREAM.schedules, `schedule.${tenant}.*`, `tick.${tenant}.*`, `unschedule.${tenant}.*`),
    at(STREAM.commands, `cmd.*.${tenant}.*.*.*.*`),
    at(STREAM.sagas, `saga.*.${tenant}.*`),
    at(STREAM.dispatch, `dispatch.*.${tenant}.*.*`, `handed.${tenant}.*.*`),
    at(
      STREAM.outcomes,
      ...[`deadline.${tenant}.*`, `due.${tenant}.*`, `out.${tenant}.*`],
      ...[`attempt.${tenant}.*.*.*`, `input.${tenant}.*.*`, `answer.${tenant}.*.*`],
    ),
    at(STREAM.progress, `progress.${tenant}.*`),
    // What the filter has goes on to the streams that follow.
    of('filter', STREAM.eventsRaw, `raw.*.${tenant}.*.*.*.*`),
    of('filter', STREAM.eventsHeld, `held.${tenant}.*.*.*.*`),
    at(STREAM.events, `evt.${tenant}.*.*.*.*`),
    at(
      STREAM.deadLetters,
      `dlq.${STREAM.commands}.cmd.*.${tenant}.>`,
      `dlq.${STREAM.schedules}.tick.${tenant}.>`,
      `dlq.${STREAM.eventsRaw}.${tenant}.>`,
    ),
    { kind: 'session messages', stream: STREAM.sessions, subjects: ['mcp.session.*.*.*'] },
    {
      ...{ kind: 'session records', bucket: BUCKET.sessions, stream: `KV_${BUCKET.sessions}` },
      subjects: [`$KV.${BUCKET.sessions}.sessions.*`],
    },
    keys(BUCKET.subscriptions, `${tenant}.*.*`),
    keys(BUCKET.digests, `${tenant}.>`),
    at(STREAM.budgets, `budget.*.${tenant}`, `budget.*.${tenant}.*`, `taken.${tenant}.*`),
    keys(BUCKET.halts, `${tenant}.*`),
    of('filter', `KV_${BUCKET.pseudonymKeys}`, `$KV.${BUCKET.pseudonymKeys}.${tenant}`),
    of('sealed', STREAM.audit, `audit.${tenant}.*.*`),
    of('sealed', STREAM.auditCheckpoints, `checkpoint.${tenant}`),
  ];
}
