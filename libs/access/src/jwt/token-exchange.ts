/**
 * Asks an issuer for a token with which a far side can be called for a user, in exchange for the one with which the user came (RFC 8693). The
 * user's token is shown to nobody but the issuer that made it.
 */
import { decodeJwt } from 'jose';
import { askIssuer, basicAuthorization } from './issuer-http.js';
import { IssuerDirectory } from './issuer-metadata.js';

export interface TokenExchangeSettings {
  issuer: string;
  clientId: string;
  /** What the far side is called by the issuer: a name, or a URL (RFC 8707). */
  audience?: string;
  resource?: string;
  scopes: readonly string[];
}

/** `foreign`: the token is not of this issuer. `refused`: the issuer gives none for it. `unavailable`: it does not say now. */
export type Exchanged = { kind: 'given'; token: string } | { kind: 'foreign' | 'refused' | 'unavailable' };

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

export class TokenExchange {
  readonly #directory: IssuerDirectory;

  constructor(private readonly settings: TokenExchangeSettings) {
    this.#directory = new IssuerDirectory(settings.issuer);
  }

  /** Never rejects, and says nothing of either token. */
  async exchange(token: string, clientSecret: string): Promise<Exchanged> {
    const { issuer, clientId, audience, resource, scopes } = this.settings;
    if (issuerOf(token) !== issuer) return { kind: 'foreign' };
    try {
      const { token_endpoint: endpoint } = await this.#directory.metadata();
      if (endpoint === undefined) return { kind: 'unavailable' };
      const { status, body } = await askIssuer(endpoint, {
        method: 'POST',
        headers: {
          authorization: basicAuthorization(clientId, clientSecret),
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: new URLSearchParams({
          grant_type: GRANT,
          subject_token: token,
          subject_token_type: ACCESS_TOKEN,
          requested_token_type: ACCESS_TOKEN,
          ...(audience !== undefined && { audience }),
          ...(resource !== undefined && { resource }),
          ...(scopes.length > 0 && { scope: scopes.join(' ') }),
        }),
      });
      if (status >= 400 && status < 500 && status !== 429) return { kind: 'refused' };
      const { access_token: given, token_type: type } = (body ?? {}) as Record<string, unknown>;
      const isGood =
        status === 200 && typeof given === 'string' && B64TOKEN.test(given) && /^bearer$/i.test(String(type));
      return isGood ? { kind: 'given', token: given } : { kind: 'unavailable' };
    } catch {
      return { kind: 'unavailable' };
    }
  }
}

/** Not verified: the front end has done that, and the issuer does. */
function issuerOf(token: string): unknown {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
