/** Where an issuer has its keys, as it says itself (OpenID Connect Discovery, RFC 8414). Asked when first needed, and again now and then. */
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose';
import { checkFarUrl, fetchJson, TIMEOUT_MS } from './issuer-http.js';
import { TokenRefused } from './jwt-issuer.js';

export interface IssuerMetadata {
  issuer: string;
  jwks_uri: string;
  introspection_endpoint?: string;
  token_endpoint?: string;
  device_authorization_endpoint?: string;
}

/** How long metadata are believed, and how long nobody asks again after it failed. */
const FRESH_MS = 3_600_000;
const COOL_DOWN_MS = 5_000;
/** A token with a key that is not known makes us ask for the keys so often at most. */
const KEYS_COOL_DOWN_MS = 10_000;
const KEYS_FRESH_MS = 600_000;

export class IssuerDirectory {
  #known: { at: number; metadata: Promise<IssuerMetadata> } | undefined;
  #failedAt = -Infinity;
  #keys: { uri: string; get: JWTVerifyGetKey } | undefined;

  constructor(
    readonly issuer: string,
    /** Instead of what the issuer would say. */
    private readonly jwksUri?: string,
  ) {}

  /** The key that a token names. */
  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    const uri = this.jwksUri ?? (await this.metadata()).jwks_uri;
    if (this.#keys?.uri !== uri) this.#keys = { uri, get: keysAt(uri) };
    return this.#keys.get(header, token);
  };

  /** @throws TokenRefused `unavailable` */
  async metadata(): Promise<IssuerMetadata> {
    const now = Date.now();
    if (this.#known && now - this.#known.at < FRESH_MS) return this.#known.metadata;
    if (now - this.#failedAt < COOL_DOWN_MS) throw new TokenRefused('its issuer could not be asked', 'unavailable');
    const metadata = discover(this.issuer);
    this.#known = { at: now, metadata };
    try {
      return await metadata;
    } catch (error) {
      this.#failedAt = Date.now();
      this.#known = undefined;
      throw error;
    }
  }
}

/** The keys at an address, kept for a while; a key that is not known is looked for anew, with a cool-down. */
export function keysAt(uri: string): JWTVerifyGetKey {
  let failedAt = -Infinity;
  const ask = async (): Promise<Response> => {
    if (Date.now() - failedAt < COOL_DOWN_MS)
      throw new TokenRefused('the keys of its issuer cannot be had now', 'unavailable');
    try {
      const keys = (await fetchJson(uri)) as { keys?: unknown } | null;
      if (!Array.isArray(keys?.keys)) throw new TokenRefused('the keys of its issuer are none', 'unavailable');
      return Response.json(keys);
    } catch (error) {
      failedAt = Date.now();
      throw error;
    }
  };
  return createRemoteJWKSet(new URL(uri), {
    cooldownDuration: KEYS_COOL_DOWN_MS,
    cacheMaxAge: KEYS_FRESH_MS,
    timeoutDuration: TIMEOUT_MS,
    [customFetch]: ask,
  });
}

export async function discover(issuer: string): Promise<IssuerMetadata> {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const places = [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
  let thrown: unknown;
  for (const place of places) {
    try {
      return checkMetadata(await fetchJson(place), issuer);
    } catch (error) {
      thrown = error;
    }
  }
  throw thrown;
}

function checkMetadata(answer: unknown, issuer: string): IssuerMetadata {
  const metadata = (answer ?? {}) as Record<string, unknown>;
  if (metadata.issuer !== issuer) throw new TokenRefused('its issuer goes by another name', 'unavailable');
  const optional = (name: 'introspection_endpoint' | 'token_endpoint' | 'device_authorization_endpoint') =>
    metadata[name] === undefined ? {} : { [name]: checkFarUrl(metadata[name], issuer) };
  return {
    issuer,
    jwks_uri: checkFarUrl(metadata.jwks_uri, issuer),
    ...optional('introspection_endpoint'),
    ...optional('token_endpoint'),
    ...optional('device_authorization_endpoint'),
  };
}
