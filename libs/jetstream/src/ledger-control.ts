/**
 * What an operator asks of the audit writer, which has the ledger's database and the keys of what is sealed in it: `ctl.audit-writer.<verb>`. A
 * ledger in PGlite belongs to one process, so this is how others read it; with a PostgreSQL server it is the same. What is opened
 * for somebody is recorded before it is answered.
 */
import type { LedgerRow, OpenedEntry, SignedCheckpoint } from '@callboard/audit';
import { CallboardError, decodeToken, encodeToken } from '@callboard/envelope';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import { AUDIT_VERBS } from './topology.js';

/** Which entries of a tenant; everything that is named must fit. */
export interface LedgerQuery {
  tenant?: string;
  kind?: string;
  correlation_id?: string;
  actor?: string;
  /** ISO 8601, UTC. */
  since?: string;
  until?: string;
  /** Entries after this message of the audit stream, oldest first; without it the newest first. */
  after?: number;
  /** Entries before this message of the audit stream. */
  before?: number;
  limit: number;
}

/** Where the entries of a ledger come from; its own database, or its writer over NATS. */
export interface LedgerSource {
  /** In the order of the audit stream; from the first that there is, whatever its sequence says, when it is not said after which. */
  rows(after: number | undefined, limit: number): Promise<LedgerRow[]>;
  checkpoints(after: number | undefined, limit: number): Promise<(SignedCheckpoint & { stream_sequence: number })[]>;
  /** The last of each tenant, where something was sealed. */
  segments(): Promise<SignedCheckpoint[]>;
}

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

/** What the subject of a request says: the verb, and the tenant where it is a question about one. */
export function ledgerRequestOf(subject: string): { verb: string; tenantId?: string } {
  const [verb = '', tenant] = subject.slice(VERBS.length).split('.');
  return { verb, ...(tenant !== undefined && { tenantId: decodeToken(tenant) }) };
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
  ask<V extends LedgerVerb>(verb: V, asked: LedgerVerbs[V]['asked']): Promise<LedgerVerbs[V]['answered']> {
    return this.#ask<V>(verb, asked);
  }

  /** Of one tenant: it is in the subject, so what a user of NATS may ask can be narrowed to it. Throws as `ask` does. */
  search(
    tenantId: string,
    asked: Omit<LedgerVerbs['search']['asked'], 'tenant'>,
  ): Promise<LedgerVerbs['search']['answered']> {
    return this.#ask<'search'>(`search.${encodeToken(tenantId)}`, asked);
  }

  async #ask<V extends LedgerVerb>(
    subject: string,
    asked: LedgerVerbs[V]['asked'],
  ): Promise<LedgerVerbs[V]['answered']> {
    const answer = await this.#request<V>(subject, asked);
    if (answer.ok) return answer.answer;
    throw new CallboardError(answer.code, answer.message);
  }

  async #request<V extends LedgerVerb>(subject: string, asked: object): Promise<LedgerAnswer<V>> {
    try {
      const message = await this.nc.request(VERBS + subject, JSON.stringify(asked), { timeout: TIMEOUT_MS });
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
