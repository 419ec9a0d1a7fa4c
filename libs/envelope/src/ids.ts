import { createHash, randomBytes } from 'node:crypto';
import type { CommandEnvelope } from './envelope.js';
import { actionId, type ActionName } from './subjects.js';

/** A fresh correlation id: `c_` and 24 characters, unguessable (144 bits), safe in subjects, URLs and file names. */
export function newCorrelationId(): string {
  return randomName('c_');
}

/** `prefix` and 24 characters, as unguessable as a correlation id. */
export function randomName(prefix: string): string {
  return `${prefix}${nextRandom().toString('base64url')}`;
}

// One system call feeds many ids: randomBytes(18) alone costs more than the rest of building an envelope.
const POOL_BYTES = 18 * 256;
let pool = Buffer.alloc(0);
let used = 0;
function nextRandom(): Buffer {
  if (used + 18 > pool.length) {
    pool = randomBytes(POOL_BYTES);
    used = 0;
  }
  used += 18;
  return pool.subarray(used - 18, used);
}

export interface IdempotencyScope {
  tenantId: string;
  userId: string;
  action: ActionName;
  idempotencyKey: string;
}

/** The correlation id that an idempotency key stands for: `i_` and 43 characters, equal exactly for equal scopes. */
export function idempotentCorrelationId(scope: IdempotencyScope): string {
  const parts = [scope.tenantId, scope.userId, actionId(scope.action), scope.idempotencyKey];
  return `i_${createHash('sha256').update(JSON.stringify(parts)).digest('base64url')}`;
}

/** The correlation id of a command that a dead letter is sent again as: `r_` and 43 characters, the same however often it is. */
export function redriveCorrelationId(correlationId: string, letterSequence: number): string {
  return `r_${createHash('sha256')
    .update(JSON.stringify([correlationId, letterSequence]))
    .digest('base64url')}`;
}

/**
 * SHA-256 of a JSON value, independent of the order of object members. The value must be plain JSON; recursion is bounded by
 * the nesting depth that the edge admits.
 */
export function fingerprint(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('base64url');
}

/** JSON with the members of each object in order, and nothing between them: equal for equal values. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
}

/** What a caller asked for, apart from when: two commands of one correlation id must agree in this. */
export function commandFingerprint(envelope: CommandEnvelope): string {
  return fingerprint([
    envelope.tool,
    envelope.method,
    envelope.args,
    envelope.ordering_key,
    envelope.deadline_ms,
    envelope.priority,
    envelope.saga_id,
    envelope.saga_step,
    envelope.compensation,
    envelope.input_responses,
    envelope.request_state,
  ]);
}
