/**
 * Who is calling. A bearer token is shown to each kind of authenticator in turn, and the first that knows its kind decides. Where it is
 * allowed, a request without credentials is the anonymous local user.
 */
import { ANONYMOUS, type Principal } from './principal.js';

/** What the caller wants to use. */
export interface Resource {
  /** The name of an MCP server; empty for the one at `/mcp`. */
  server: string;
  /** Its URL as clients know it, which tokens are made for (RFC 8707); absent where no issuer is configured. */
  url?: string;
}

/**
 * `invalid_token`: it is not known, not for this resource, or no longer good. `forbidden`: it is good, and not for this server.
 * `unavailable`: whether it is good cannot be found out now.
 */
export type RefusalReason = 'no_credentials' | 'invalid_token' | 'forbidden' | 'unavailable';

export interface Refused {
  ok: false;
  reason: RefusalReason;
  /** For the log, in a few words that hold nothing of the token. */
  why?: string;
}
export type Authentication = { ok: true; principal: Principal } | Refused;

/** One kind of token. */
export interface TokenAuthenticator {
  /** `undefined` when the token is none of its kind. */
  authenticate(token: string, resource: Resource): Promise<Authentication | undefined>;
}

/** RFC 6750: the scheme is case-insensitive, a token is one b64token. */
const BEARER = /^Bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;
/** Of a token; longer ones are not looked at. */
const MAX_TOKEN_CHARS = 12 * 1024;

/** The token of an `Authorization` header; undefined when there is none of that scheme. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
}

const ANONYMOUS_USER: Authentication = { ok: true, principal: ANONYMOUS };
const NO_CREDENTIALS: Authentication = { ok: false, reason: 'no_credentials' };
const INVALID_TOKEN: Authentication = { ok: false, reason: 'invalid_token', why: 'nobody knows it' };

export class Authenticator {
  constructor(
    private readonly kinds: readonly TokenAuthenticator[],
    /** `anonymous`: may a request without credentials be served now? */
    private readonly options: { readonly anonymous: boolean },
  ) {}

  /** @param authorization the header of that name */
  async authenticate(authorization: string | undefined, resource: Resource): Promise<Authentication> {
    if (authorization === undefined) return this.options.anonymous ? ANONYMOUS_USER : NO_CREDENTIALS;
    const token = bearerToken(authorization);
    if (token === undefined || token.length > MAX_TOKEN_CHARS) return INVALID_TOKEN;
    for (const kind of this.kinds) {
      const authentication = await kind.authenticate(token, resource);
      if (authentication) return authentication;
    }
    return INVALID_TOKEN;
  }
}
