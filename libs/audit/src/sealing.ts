/**
 * Encrypts what is personal in a record, under the key of the person that it tells of, so that destroying the key forgets the person. The chain holds
 * the encrypted text, and stays as it is.
 *
 * Each tenant has a key, and each person of a tenant has one; all are random, and kept wrapped by the installation's sealing key. A person
 * is found by a keyed hash of the user id, under the tenant's key, and appears in the chain as a random `actor`: with the person's key goes what
 * connects the two. A record that tells of nobody is sealed under its tenant's key.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { randomName } from '@callboard/envelope';
import type { SealedPart } from './ledger-entry.js';
import type { AuditRecord, PersonalPart } from './record.js';

/** A key as a database keeps it. `subject` is empty for the tenant's own. */
export interface KeptKey {
  tenant_id: string;
  subject: string;
  actor: string;
  wrapped: string;
}

export interface SealingKey {
  actor: string;
  key: Uint8Array;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const TENANTS_OWN = '';

export function newKey(kek: Uint8Array, tenantId: string, subject: string): { kept: KeptKey; opened: SealingKey } {
  const key = randomBytes(32);
  const actor = subject === TENANTS_OWN ? '' : randomName('p_');
  const kept = { tenant_id: tenantId, subject, actor, wrapped: encrypt(kek, key, binding(tenantId, subject)) };
  return { kept, opened: { actor, key } };
}

/** @throws Error when it was wrapped by another key, or is not as it was */
export function unwrap(kek: Uint8Array, { tenant_id, subject, actor, wrapped }: KeptKey): SealingKey {
  return { actor, key: decrypt(kek, wrapped, binding(tenant_id, subject)) };
}

/** What stands for a user in the table of keys. */
export function subjectOf(tenantKey: Uint8Array, userId: string): string {
  return createHmac('sha256', tenantKey).update(`subject\n${userId}`).digest('base64url');
}

export function seal({ actor, key }: SealingKey, { id, tenant_id, personal }: AuditRecord): SealedPart {
  const sealed = encrypt(key, Buffer.from(JSON.stringify(personal)), binding(tenant_id, id));
  return actor === '' ? { sealed } : { actor, sealed };
}

/** @throws Error when the key is another, or the text is not as it was */
export function openSealed(
  { key }: SealingKey,
  entry: { id: string; tenant_id: string; sealed: string },
): PersonalPart {
  return JSON.parse(Buffer.from(decrypt(key, entry.sealed, binding(entry.tenant_id, entry.id))).toString('utf8'));
}

function binding(tenantId: string, of: string): Buffer {
  return Buffer.from(JSON.stringify([tenantId, of]));
}

function encrypt(key: Uint8Array, plain: Uint8Array, about: Buffer): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(about);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64url');
}

function decrypt(key: Uint8Array, text: string, about: Buffer): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new RangeError('too short for something sealed');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES)).setAAD(about);
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
