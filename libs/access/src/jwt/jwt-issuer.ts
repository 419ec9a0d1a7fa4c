/** What every kind of issuer of signed tokens has in common. */
import { LIMITS, isWellFormed } from '@callboard/envelope';
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, type ProtectedHeaderParameters } from 'jose';
import type { RefusalReason, Resource } from '../authenticator.js';
import type { Principal } from '../principal.js';

/** A token as it says that it is; nothing of it is believed. */
export interface Unverified {
  header: ProtectedHeaderParameters;
  payload: JWTPayload;
}

export interface JwtIssuer {
  /** Does the token say that it is of this issuer? */
  takes(token: Unverified): boolean;
  /** @throws TokenRefused */
  verify(token: string, unverified: Unverified, resource: Resource): Promise<Principal>;
}

/** Signatures that nobody can make who can check them. */
export const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
  constructor(
    readonly why: string,
    readonly reason: RefusalReason = 'invalid_token',
    options?: { cause?: unknown },
  ) {
    super(why, options);
  }
}

/** `undefined` for what is no signed token. */
export function readUnverified(token: string): Unverified | undefined {
  if (token.split('.', 4).length !== 3) return undefined;
  try {
    return { header: decodeProtectedHeader(token), payload: decodeJwt(token) };
  } catch {
    return undefined;
  }
}

/** What went wrong in words that hold nothing of the token. */
export function refusalOf(error: unknown): TokenRefused {
  if (error instanceof TokenRefused) return error;
  if (error instanceof errors.JWTExpired) return new TokenRefused('it has expired');
  if (error instanceof errors.JWTClaimValidationFailed) return new TokenRefused(`its ${error.claim} does not fit`);
  if (error instanceof errors.JOSEAlgNotAllowed) return new TokenRefused('its algorithm is not allowed');
  if (error instanceof errors.JWKSNoMatchingKey) return new TokenRefused('its key is not one of the issuer');
  if (error instanceof errors.JWSSignatureVerificationFailed) return new TokenRefused('its signature is not valid');
  if (error instanceof errors.JWKSTimeout) {
    return new TokenRefused('the keys of its issuer cannot be had now', 'unavailable', { cause: error });
  }
  if (error instanceof errors.JOSEError) return new TokenRefused('it is not well formed');
  return new TokenRefused('the keys of its issuer cannot be had now', 'unavailable', { cause: error });
}

/** @throws TokenRefused for what no envelope could carry */
export function checkName(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= LIMITS.nameChars && isWellFormed(value))
    return value;
  throw new TokenRefused(`its ${what} is no name`);
}

/** @throws TokenRefused for more groups than an envelope could carry: leaving some out could undo a rule that forbids */
export function checkGroups(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  const groups = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(groups) || groups.length > LIMITS.groups) {
    throw new TokenRefused(`its groups are no list of ${LIMITS.groups} at most`);
  }
  return groups.map((group) => checkName(group, 'groups'));
}
