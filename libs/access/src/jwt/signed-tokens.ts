/**
 * Signed tokens, of whichever of the configured issuers. One that was found good is remembered by its digest, for a short while and never past its
 * end, so that it is verified once and then only looked up; what was revoked meanwhile is found out when it is forgotten.
 *
 * Issuers can be replaced while it is used. From then on no token is good because an issuer that is gone vouched for it, not even one that was
 * being verified.
 */
import { createHash } from 'node:crypto';
import type { Authentication, Resource, TokenAuthenticator } from '../authenticator.js';
import { readUnverified, refusalOf, type JwtIssuer, type Unverified } from './jwt-issuer.js';

/** Tokens that are remembered. The one that was used longest ago goes first. */
const MOST_KNOWN = 10_000;
/** Tokens that are looked at, at once. */
const MOST_AT_ONCE = 1_000;

const UNKNOWN_ISSUER: Authentication = {
  ok: false,
  reason: 'invalid_token',
  why: 'it is of no issuer that is known here',
};
const TOO_MANY: Authentication = { ok: false, reason: 'unavailable', why: 'too many tokens are verified now' };

interface Known {
  authentication: Authentication;
  issuer: JwtIssuer;
  until: number;
}

export class SignedTokens implements TokenAuthenticator {
  readonly #known = new Map<string, Known>();
  readonly #verifying = new Map<string, Promise<Authentication>>();

  constructor(
    private issuers: readonly JwtIssuer[],
    private options: { rememberMs: number },
  ) {}

  /** From now on these, and no other. What is remembered of one that stays the same object is still good. */
  replace(issuers: readonly JwtIssuer[], options: { rememberMs: number }): void {
    const sooner = options.rememberMs < this.options.rememberMs;
    this.issuers = issuers;
    this.options = options;
    for (const [key, { issuer }] of this.#known) if (sooner || !issuers.includes(issuer)) this.#known.delete(key);
    this.#verifying.clear();
  }

  async authenticate(token: string, resource: Resource): Promise<Authentication | undefined> {
    if (this.issuers.length === 0) return undefined;
    const digest = createHash('sha256').update(token).digest('base64url');
    const key = `${digest} ${resource.server} ${resource.url ?? ''}`;
    const known = this.#known.get(key);
    if (known && known.until > Date.now()) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known.authentication;
    }
    this.#known.delete(key);
    // Who comes while it is verified waits for the same.
    const underWay = this.#verifying.get(key);
    if (underWay) return underWay;
    const unverified = readUnverified(token);
    if (!unverified) return undefined;
    const issuer = this.issuers.find((issuer) => issuer.takes(unverified));
    if (!issuer) return UNKNOWN_ISSUER;
    if (this.#verifying.size >= MOST_AT_ONCE) return TOO_MANY;
    const verifying = this.#verify(key, token, unverified, resource, issuer);
    this.#verifying.set(key, verifying);
    return verifying.finally(() => {
      if (this.#verifying.get(key) === verifying) this.#verifying.delete(key);
    });
  }

  async #verify(
    key: string,
    token: string,
    unverified: Unverified,
    resource: Resource,
    issuer: JwtIssuer,
  ): Promise<Authentication> {
    let authentication: Authentication;
    try {
      const principal = await issuer.verify(token, unverified, resource);
      authentication = { ok: true, principal: Object.freeze(principal) };
    } catch (error) {
      const { reason, why } = refusalOf(error);
      authentication = { ok: false, reason, why };
    }
    // Another is configured now, whose word counts.
    if (!this.issuers.includes(issuer)) return (await this.authenticate(token, resource)) ?? UNKNOWN_ISSUER;
    if (authentication.ok) {
      const until = Math.min(Date.now() + this.options.rememberMs, authentication.principal.expiresAt!);
      this.#remember(key, { authentication, issuer, until });
    }
    return authentication;
  }

  #remember(key: string, known: Known): void {
    this.#known.set(key, known);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!);
  }
}
