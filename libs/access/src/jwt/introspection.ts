/** Asks an issuer whether it still stands by a token (RFC 7662). The tokens themselves are remembered by who asks. */
import { basicAuthorization, fetchJson } from './issuer-http.js';
import type { IssuerDirectory } from './issuer-metadata.js';
import { TokenRefused } from './jwt-issuer.js';

export interface IntrospectionSettings {
  clientId: string;
  clientSecret: string;
}

export class Introspection {
  readonly #authorization: string;

  constructor(
    { clientId, clientSecret }: IntrospectionSettings,
    private readonly directory: IssuerDirectory,
  ) {
    this.#authorization = basicAuthorization(clientId, clientSecret);
  }

  /** @throws TokenRefused when the token was revoked, or the issuer does not say */
  async check(token: string): Promise<void> {
    const { introspection_endpoint: endpoint } = await this.directory.metadata();
    if (endpoint === undefined) throw new TokenRefused('its issuer cannot be asked for revoked tokens', 'unavailable');
    const answer = await fetchJson(endpoint, {
      method: 'POST',
      headers: { authorization: this.#authorization, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
    });
    if ((answer as { active?: unknown } | null)?.active !== true) throw new TokenRefused('it was revoked');
  }
}
