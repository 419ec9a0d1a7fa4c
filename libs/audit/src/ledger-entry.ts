/**
 * One entry of a tenant's chain in the ledger: a record, sealed, with where it stands.
 *
 * The body is canonical JSON and names the hash of the entry before it; the hash of an entry is SHA-256 of its body. So one hash stands for
 * everything up to it, and a body is what was hashed, byte for byte: nobody has to write it anew to check it. What a database keeps beside it
 * to find it by is in the body too.
 */
import { hash } from 'node:crypto';
import { canonicalJson } from '@callboard/envelope';
import type { AuditDetails, AuditKind } from './fact.js';
import type { AuditRecord, PersonalPart } from './record.js';

/** What comes before the first entry of a chain. */
export const GENESIS = '';

export interface LedgerEntry {
  tenant_id: string;
  /** From 1 on, without a gap. */
  position: number;
  /** Hash of the entry before. */
  previous: string;
  /** Of the message in AUDIT. */
  stream_sequence: number;
  /** SHA-256 of the message in AUDIT, as it was. */
  source_digest: string;
  id: string;
  at: string;
  app: string;
  instance: string;
  kind: AuditKind;
  what: string;
  correlation_id?: string;
  action?: string;
  code?: string;
  details?: AuditDetails;
  arguments_digest?: string;
  /** Stands for the person in this tenant's chain; who it is, is known by a key that can be destroyed. */
  actor?: string;
  /** The personal part, encrypted. */
  sealed: string;
}

/** An entry as it is shown: without what is personal where its key was destroyed. */
export type OpenedEntry = Omit<LedgerEntry, 'sealed'> & { hash: string; personal?: PersonalPart };

/** An entry as a database keeps it. */
export interface LedgerRow {
  tenant_id: string;
  position: number;
  stream_sequence: number;
  kind: string;
  at: string;
  correlation_id: string | null;
  actor: string | null;
  body: string;
  hash: string;
}

export interface ChainHead {
  position: number;
  hash: string;
}

export interface SealedPart {
  actor?: string;
  sealed: string;
}

/** The row that follows `head` in the chain of the record's tenant. */
export function nextRow(
  head: ChainHead,
  record: AuditRecord,
  { actor, sealed }: SealedPart,
  source: { sequence: number; digest: string },
): LedgerRow {
  const { record_version: _version, personal: _personal, ...open } = record;
  const entry: LedgerEntry = {
    ...open,
    position: head.position + 1,
    previous: head.hash,
    stream_sequence: source.sequence,
    source_digest: source.digest,
    ...(actor !== undefined && { actor }),
    sealed,
  };
  const body = canonicalJson(entry);
  return {
    tenant_id: entry.tenant_id,
    position: entry.position,
    stream_sequence: entry.stream_sequence,
    kind: entry.kind,
    at: entry.at,
    correlation_id: entry.correlation_id ?? null,
    actor: entry.actor ?? null,
    body,
    hash: digestOf(body),
  };
}

/** SHA-256 in base64url: of a body, and of a message of AUDIT. */
export function digestOf(bytes: string | Uint8Array): string {
  return hash('sha256', bytes, 'base64url');
}
