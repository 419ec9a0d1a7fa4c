/**
 * What proves that a webhook is from whom it says: an HMAC-SHA-256 with a shared secret, over the body as it came.
 *
 * Both schemes are a few lines over node:crypto, which the libraries of the two could not replace: `@octokit/webhooks-methods` (6.0.0)
 * signs text, where the scheme signs bytes, and `standardwebhooks` (1.1.1) has one replay window for all, reads times leniently and
 * hashes in JavaScript. The specs hold ours against both.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** GitHub's `X-Hub-Signature-256`. It says nothing about when, nor about any header. */
export function isSignedForGitHub(secrets: readonly Uint8Array[], signature: string, body: Uint8Array): boolean {
  const [, hex] = /^sha256=([0-9a-f]{64})$/.exec(signature) ?? [];
  return hex !== undefined && isOneOf([Buffer.from(hex, 'hex')], secrets, [body]);
}

/** The `webhook-…` headers of standard-webhooks. */
export interface StandardHeaders {
  id: string;
  /** Seconds since 1970, as text. */
  timestamp: string;
  /** Several, separated by spaces, each with its version. */
  signature: string;
}

export function isSignedByStandard(
  secrets: readonly Uint8Array[],
  headers: StandardHeaders,
  body: Uint8Array,
): boolean {
  const { id, timestamp, signature } = headers;
  const given = signature
    .split(' ')
    .filter((part) => /^v1,[A-Za-z0-9+/]{43}=$/.test(part))
    .slice(0, MOST_SIGNATURES)
    .map((part) => Buffer.from(part.slice(3), 'base64'));
  return isOneOf(given, secrets, [Buffer.from(`${id}.${timestamp}.`), body]);
}

/** A sender signs with each of its own secrets while it changes them. */
const MOST_SIGNATURES = 8;

function isOneOf(given: Uint8Array[], secrets: readonly Uint8Array[], parts: Uint8Array[]): boolean {
  return secrets.some((secret) => {
    const hmac = createHmac('sha256', secret);
    for (const part of parts) hmac.update(part);
    const right = hmac.digest();
    return given.some((signature) => timingSafeEqual(signature, right));
  });
}
