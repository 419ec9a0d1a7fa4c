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

/** What an entry is found by, and what it follows. */
export type Placed = Pick<
  LedgerEntry,
  'tenant_id' | 'position' | 'previous' | 'stream_sequence' | 'kind' | 'at' | 'correlation_id' | 'actor' | 'details'
>;

/**
 * The same of a body, a third of the work of reading all of it. A body of any other form than most have is read as JSON: with a character that is
 * escaped, a member that is not known here, lists or objects among its details; and those of the ledger itself, whose details are asked for.
 */
export function placedBy(body: string): Placed {
  const plain = PLAIN.exec(body);
  if (!plain || plain[4] === 'ledger') return JSON.parse(body) as LedgerEntry;
  const [, actor, at, correlation_id, kind, position, previous, stream_sequence, tenant_id] = plain;
  const placed: Placed = {
    tenant_id: tenant_id!,
    position: Number(position),
    previous: previous!,
    stream_sequence: Number(stream_sequence),
    kind: kind as AuditKind,
    at: at!,
  };
  if (correlation_id !== undefined) placed.correlation_id = correlation_id;
  if (actor !== undefined) placed.actor = actor;
  return placed;
}

const CHARS = String.raw`[^"\\\x00-\x1f]*`;
const TEXT = `"${CHARS}"`;
const SAID = `"(${CHARS})"`;
const COUNT = '(0|[1-9][0-9]{0,14})';
const DETAIL = `${TEXT}:(?:${TEXT}|-?(?:0|[1-9][0-9]{0,14})|true|false)`;
/** Canonical JSON has its members in this order. */
const PLAIN = new RegExp(
  `^\\{(?:"action":${TEXT},)?(?:"actor":${SAID},)?"app":${TEXT},(?:"arguments_digest":${TEXT},)?"at":${SAID},(?:"code":${TEXT},)?` +
    `(?:"correlation_id":${SAID},)?(?:"details":\\{(?:${DETAIL}(?:,${DETAIL})*)?\\},)?"id":${TEXT},"instance":${TEXT},"kind":${SAID},` +
    `"position":${COUNT},"previous":${SAID},"sealed":${TEXT},"source_digest":${TEXT},"stream_sequence":${COUNT},` +
    `"tenant_id":${SAID},"what":${TEXT}\\}$`,
);

/** SHA-256 in base64url: of a body, and of a message of AUDIT. */
export function digestOf(bytes: string | Uint8Array): string {
  return hash('sha256', bytes, 'base64url');
}
