/**
 * What an operator asks of the audit writer, which has the ledger's database and the keys of what is sealed in it: `ctl.audit-writer.<verb>`. A
 * ledger in PGlite belongs to one process, so this is how others read it; with a PostgreSQL server it is the same. What is opened
 * for somebody is recorded before it is answered.
 */
import type { LedgerRow, OpenedEntry, SignedCheckpoint } from '@callboard/audit';
import { CallboardError } from '@callboard/envelope';
import { AUDIT_VERBS } from '@callboard/jetstream';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import type { LedgerQuery, LedgerSource } from './ledger-reader.js';

export interface LedgerVerbs {
  rows: { asked: { after?: number; limit: number }; answered: LedgerRow[] };
  checkpoints: {
    asked: { after?: number; limit: number };
    answered: (SignedCheckpoint & { stream_sequence: number })[];
  };
  segments: { asked: object; answered: SignedCheckpoint[] };
  /** Seals what is older than a time; drops what is sealed, where the database is the writer's own. */
  seal: { asked: { before: string; by: string }; answered: { tenants: number } };
  drop: { asked: { by: string }; answered: { entries: number } };
  /** `user` is who it is about; `by` is who asks, for the record. */
  search: { asked: LedgerQuery & { user?: string; by: string }; answered: OpenedEntry[] };
  /** Forgets a person of a tenant, or the tenant. */
  erase: { asked: { tenant: string; user?: string; by: string }; answered: { keys: number } };
  /** The public key of checkpoints, and how far the ledger is. */
  status: { asked: object; answered: LedgerStatus };
}
export type LedgerVerb = keyof LedgerVerbs;

export interface LedgerStatus {
  public_key: string;
  /** Last message of the audit stream that the ledger has; last one there is; last one that is vouched for in both places. */
  written: number;
  stream: number;
  anchored: number;
}

export type LedgerAnswer<V extends LedgerVerb> =
  | { ok: true; answer: LedgerVerbs[V]['answered'] }
  | { ok: false; code: 'not_found' | 'invalid_request' | 'unavailable'; message: string };

/** All audit writers together: one of them answers. */
export const LEDGER_QUEUE = 'audit-writer';
const VERBS = AUDIT_VERBS.replace('*', '');
const TIMEOUT_MS = 60_000;

/** The verb in the subject of a request. */
export function ledgerVerbOf(subject: string): string {
  return subject.slice(VERBS.length);
}

export class LedgerControl implements LedgerSource {
  constructor(private readonly nc: NatsConnection) {}

  rows(after: number | undefined, limit: number): Promise<LedgerRow[]> {
    return this.ask('rows', { ...from(after), limit });
  }

  checkpoints(after: number | undefined, limit: number): Promise<(SignedCheckpoint & { stream_sequence: number })[]> {
    return this.ask('checkpoints', { ...from(after), limit });
  }

  segments(): Promise<SignedCheckpoint[]> {
    return this.ask('segments', {});
  }

  /** @throws CallboardError when no audit writer runs, none answers, or it cannot be done. */
  async ask<V extends LedgerVerb>(verb: V, asked: LedgerVerbs[V]['asked']): Promise<LedgerVerbs[V]['answered']> {
    const answer = await this.#request<V>(verb, asked);
    if (answer.ok) return answer.answer;
    throw new CallboardError(answer.code, answer.message);
  }

  async #request<V extends LedgerVerb>(verb: V, asked: LedgerVerbs[V]['asked']): Promise<LedgerAnswer<V>> {
    try {
      const message = await this.nc.request(VERBS + verb, JSON.stringify(asked), { timeout: TIMEOUT_MS });
      return message.json<LedgerAnswer<V>>();
    } catch (cause) {
      const message =
        cause instanceof errors.NoRespondersError || (cause instanceof errors.RequestError && cause.isNoResponders())
          ? 'No audit writer runs: the ledger can be read when one does'
          : 'No audit writer has answered';
      throw new CallboardError('unavailable', message, { cause });
    }
  }
}

function from(after: number | undefined): { after?: number } {
  return after === undefined ? {} : { after };
}
