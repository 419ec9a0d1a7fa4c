/**
 * What a runner that dies costs those who wait for its keys: until its lease has run out nobody may act for it, and then the others
 * work off what came meanwhile, beside what goes on coming.
 */
import { LEASE_RENEW_MS, LEASE_TTL_MS } from '@callboard/jetstream';
import { ownersOf } from './balance.js';

export interface Load {
  partitions: number;
  runners: number;
  /** Commands a second, of all partitions. */
  perSecond: number;
  /** What one runner does at most, commands a second. */
  perRunner: number;
}

export interface Failover {
  /** From the death of a runner until the others have its partitions: at least, and at most. */
  takeoverMs: { least: number; most: number };
  /** Commands that wait by then, at most. */
  backlog: number;
  /** From the takeover until nothing waits; Infinity when the others cannot keep up. */
  catchUpMs: number;
}

/** The last renewal was at most one interval before the death, and the lease counts from it. */
export function takeover(): Failover['takeoverMs'] {
  return { least: LEASE_TTL_MS - LEASE_RENEW_MS, most: LEASE_TTL_MS };
}

/** Of the runner with the most partitions, with work spread evenly over them. */
export function simulateFailover({ partitions, runners, perSecond, perRunner }: Load): Failover {
  const takeoverMs = takeover();
  const most = Math.max(...ownersOf(partitions, runners).map(({ length }) => length));
  const backlog = (perSecond * (most / partitions) * takeoverMs.most) / 1_000;
  const others = runners - 1;
  if (others === 0) return { takeoverMs, backlog, catchUpMs: Infinity };
  // Who takes the most, and has the most afterwards, is the last to be done.
  const taken = backlog * (Math.ceil(most / others) / most);
  const share = Math.max(...ownersOf(partitions, others).map(({ length }) => length)) / partitions;
  const spare = perRunner - perSecond * share;
  return { takeoverMs, backlog, catchUpMs: spare > 0 ? (taken / spare) * 1_000 : Infinity };
}
