/**
 * Arguments as they are recorded: redacted as every event is, and a digest of what they were.
 *
 * The digest is salted, and the salt is sealed with the rest of what is personal: whoever has the record and the arguments can prove that they
 * are those, and once the key is destroyed nobody can find out by trying.
 */
import { hash, randomBytes } from 'node:crypto';
import { canonicalJson, type JsonObject } from '@callboard/envelope';
import { redact, type Json } from '@callboard/redaction';

export interface RecordedArguments {
  digest: string;
  /** Redacted; left out when they are too long, or cannot be read by the redaction. */
  redacted?: Json;
  withheld?: string;
}

/** Prose costs up to a few microseconds a character: what is longer is recorded by its digest alone. */
const MOST_CHARS = 4_096;

/** Pseudonyms tell values of one record apart, and are good for nothing else: the key lives with the process. */
const KEY = randomBytes(32);

export function recordArguments(args: JsonObject, salt: string, tenantId: string): RecordedArguments {
  const text = canonicalJson(args);
  const digest = argumentsDigest(text, salt);
  if (text.length > MOST_CHARS) return { digest, withheld: 'too_long' };
  const redaction = redact(args as Json, { key: KEY, tenant: tenantId });
  return redaction.ok ? { digest, redacted: redaction.value } : { digest, withheld: redaction.reason };
}

/** Of arguments in canonical JSON. */
export function argumentsDigest(canonical: string, salt: string): string {
  return hash('sha256', `${salt}\n${canonical}`, 'base64url');
}
