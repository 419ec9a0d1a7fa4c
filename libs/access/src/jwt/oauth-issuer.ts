/**
 * Access tokens of an OAuth 2 or OpenID Connect issuer (RFC 9068, and those of issuers that do not keep to it). What is checked, in this
 * order: the type, the algorithm, the key, the signature, the issuer, the audience, the times, and where it is configured whether the issuer
 * still stands by it. What the claims mean here is configured, and nothing is guessed: the tenant above all.
 */
import { jwtVerify, type JWTPayload } from 'jose';
import type { Resource } from '../authenticator.js';
import type { Principal } from '../principal.js';
import { Introspection, type IntrospectionSettings } from './introspection.js';
import { IssuerDirectory } from './issuer-metadata.js';
import { TokenRefused, checkGroups, checkName, type Algorithm, type JwtIssuer, type Unverified } from './jwt-issuer.js';

/** Where a name is found, and what is put before it. A dot goes into an object. */
export interface ClaimRule {
  claim: string;
  prefix: string;
}

export interface OAuthIssuerSettings {
  issuer: string;
  jwksUri?: string;
  /** Beside the URL of the server that is called. */
  audiences: readonly string[];
  algorithms: readonly Algorithm[];
  types: readonly string[];
  clockSkewS: number;
  maxAgeS?: number;
  tenant: string | { claim: string; allow: readonly string[] };
  user: ClaimRule;
  groups: ClaimRule;
  clients?: readonly string[];
  introspection?: IntrospectionSettings;
}

const MAX_SCOPES = 256;

export class OAuthIssuer implements JwtIssuer {
  readonly #directory: IssuerDirectory;
  readonly #introspection: Introspection | undefined;

  constructor(private readonly settings: OAuthIssuerSettings) {
    this.#directory = new IssuerDirectory(settings.issuer, settings.jwksUri);
    this.#introspection = settings.introspection && new Introspection(settings.introspection, this.#directory);
  }

  takes({ payload }: Unverified): boolean {
    return payload.iss === this.settings.issuer;
  }

  async verify(token: string, { header }: Unverified, { url }: Resource): Promise<Principal> {
    const { issuer, algorithms, types, audiences, clockSkewS, maxAgeS } = this.settings;
    if (header.typ !== undefined && !types.some((type) => isType(header.typ!, type))) {
      throw new TokenRefused('it is of another type');
    }
    const { payload } = await jwtVerify(token, this.#directory.keyOf, {
      issuer,
      algorithms: [...algorithms],
      audience: [...(url === undefined ? [] : [url, `${url}/`]), ...audiences],
      clockTolerance: clockSkewS,
      requiredClaims: ['exp', 'aud'],
      ...(maxAgeS !== undefined && { maxTokenAge: maxAgeS }),
    });
    const principal = this.#toPrincipal(payload);
    await this.#introspection?.check(token);
    return principal;
  }

  #toPrincipal(payload: JWTPayload): Principal {
    const { user, groups, clients } = this.settings;
    const clientId = payload['client_id'] ?? payload['azp'];
    if (clients && !clients.includes(clientId as string)) throw new TokenRefused('it was given to another client');
    return {
      tenantId: this.#tenantOf(payload),
      userId: checkName(named(user, payload), 'user'),
      groups: checkGroups(claimOf(payload, groups.claim)).map((group) => checkName(groups.prefix + group, 'groups')),
      ...(clientId !== undefined && { clientId: checkName(clientId, 'client') }),
      scopes: scopesOf(payload),
      via: 'jwt',
      expiresAt: payload.exp! * 1_000,
    };
  }

  #tenantOf(payload: JWTPayload): string {
    const { tenant } = this.settings;
    if (typeof tenant === 'string') return tenant;
    const value = claimOf(payload, tenant.claim);
    if (typeof value === 'string' && tenant.allow.includes(value)) return value;
    throw new TokenRefused('its tenant is none of those that are allowed');
  }
}

/** RFC 7515: `application/` may be left out, and letters may be of any case. */
function isType(given: string, wanted: string): boolean {
  return given.toLowerCase().replace(/^application\//, '') === wanted.toLowerCase();
}

function claimOf(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function named({ claim, prefix }: ClaimRule, payload: JWTPayload): string | undefined {
  const value = claimOf(payload, claim);
  return typeof value === 'string' && value !== '' ? prefix + value : undefined;
}

/** RFC 8693 has a text; some issuers have a list, or the claim `scp`. None: good for nothing that needs one. */
function scopesOf(payload: JWTPayload): string[] {
  const value = payload['scope'] ?? payload['scp'] ?? '';
  const scopes = typeof value === 'string' ? value.split(' ').filter((scope) => scope !== '') : value;
  if (!Array.isArray(scopes) || scopes.length > MAX_SCOPES || !scopes.every((scope) => typeof scope === 'string')) {
    throw new TokenRefused('its scopes are no list');
  }
  return scopes;
}
