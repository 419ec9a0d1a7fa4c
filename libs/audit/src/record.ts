/**
 * One record of the audit stream, `audit.<tenant>.<kind>.<correlation id, or its own id>`: JSON, snake_case, one line of it per fact.
 *
 * What tells of a person is in `personal`, and nowhere else. The audit writer seals that member before a record becomes part of the ledger, so
 * that destroying a key forgets the person and leaves every hash as it was. Each `personal` has a salt: without it nobody can guess
 * who is behind a digest of the record.
 */
import {
  CallboardError,
  LIMITS,
  auditSubject,
  isWellFormed,
  parseAuditSubject,
  randomName,
  type JsonObject,
} from '@callboard/envelope';
import type { Json } from '@callboard/redaction';
import { AUDIT_KINDS, type AuditDetails, type AuditFact, type AuditKind } from './fact.js';
import { recordArguments } from './recorded-arguments.js';

export const RECORD_VERSION = '1.0';

export interface AuditRecord {
  record_version: typeof RECORD_VERSION;
  /** `a_…` */
  id: string;
  at: string;
  app: string;
  instance: string;
  tenant_id: string;
  kind: AuditKind;
  what: string;
  correlation_id?: string;
  action?: string;
  code?: string;
  details?: AuditDetails;
  arguments_digest?: string;
  personal: PersonalPart;
}

export interface PersonalPart {
  salt: string;
  user_id?: string;
  groups?: readonly string[];
  client_id?: string;
  via?: string;
  address?: string;
  target?: string;
  arguments?: Json;
  /** Why the arguments are not here. */
  arguments_withheld?: string;
}

export interface AuditOrigin {
  app: string;
  instance: string;
}

export interface WrittenRecord {
  /** Under which the stream knows it, should it come again. */
  messageId: string;
  subject: string;
  data: Buffer;
}

/** Most characters of what a caller may have chosen; the rest is cut. */
const MOST_TARGET_CHARS = 1_024;

export function writeRecord(fact: AuditFact, { app, instance }: AuditOrigin): WrittenRecord {
  const id = randomName('a_');
  const salt = randomName('');
  const personal: PersonalPart = { salt };
  const { who, target, args } = fact;
  // One by one: spreading each into a literal makes a temporary object of every field, on every call.
  if (who?.userId !== undefined) personal.user_id = who.userId;
  if (who?.groups !== undefined) personal.groups = who.groups;
  if (who?.clientId !== undefined) personal.client_id = who.clientId;
  if (who?.via !== undefined) personal.via = who.via;
  if (who?.address !== undefined) personal.address = who.address;
  if (target !== undefined) personal.target = target.slice(0, MOST_TARGET_CHARS);
  const record: AuditRecord = {
    record_version: RECORD_VERSION,
    id,
    at: new Date().toISOString(),
    app,
    instance,
    tenant_id: fact.tenantId,
    kind: fact.kind,
    what: fact.what,
    personal,
  };
  if (fact.correlationId !== undefined) record.correlation_id = fact.correlationId;
  if (fact.action !== undefined) record.action = fact.action;
  if (fact.code !== undefined) record.code = fact.code;
  if (fact.details !== undefined) record.details = fact.details;
  if (args) {
    const { digest, redacted, withheld } = recordArguments(args, salt, fact.tenantId);
    record.arguments_digest = digest;
    if (redacted !== undefined) personal.arguments = redacted;
    if (withheld !== undefined) personal.arguments_withheld = withheld;
  }
  const subject = auditSubject(fact.tenantId, fact.kind, fact.correlationId ?? id);
  return { messageId: fact.once ?? id, subject, data: Buffer.from(JSON.stringify(record)) };
}

/**
 * Reads a message of the audit stream.
 * @throws CallboardError `invalid_request`, without anything of the message, when it is no record.
 */
export function parseRecord(data: Uint8Array): AuditRecord {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'));
  } catch {
    throw new CallboardError('invalid_request', 'The audit record is not JSON');
  }
  const record = (value ?? {}) as AuditRecord;
  const { personal } = record;
  const isRecord =
    record.record_version === RECORD_VERSION &&
    [record.id, record.at, record.app, record.instance, record.tenant_id, record.what].every(isText) &&
    AUDIT_KINDS.includes(record.kind) &&
    !Number.isNaN(Date.parse(record.at)) &&
    isObject(personal) &&
    isText(personal.salt) &&
    (personal.user_id === undefined || isText(personal.user_id)) &&
    [record.correlation_id, record.action, record.code].every((text) => text === undefined || isText(text));
  if (!isRecord) throw new CallboardError('invalid_request', 'The audit record has wrong members');
  return record;
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** The record in a message of the audit stream, if it is one that a ledger can hold and that is what its subject says. */
export function readRecord(subject: string, data: Uint8Array): AuditRecord | undefined {
  try {
    const record = parseRecord(data);
    const address = parseAuditSubject(subject);
    const { tenant_id, kind, id, correlation_id, at } = record;
    const fits =
      address.tenantId === tenant_id &&
      address.kind === kind &&
      address.id === (correlation_id ?? id) &&
      INSTANT.test(at) &&
      isStorable(tenant_id) &&
      isStorable(id) &&
      isStorable(correlation_id ?? '');
    return fits ? record : undefined;
  } catch {
    return undefined;
  }
}

/** PostgreSQL has no character NUL, and an index no long text. */
function isStorable(text: string): boolean {
  return text.length <= LIMITS.nameChars && isWellFormed(text) && !text.includes('\0');
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
