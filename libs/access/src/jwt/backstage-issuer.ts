/**
 * Backstage's own tokens. That of a signed-in user names its entity and what owns for it; that of a plug-in names the plug-in, and the user that it
 * calls for, if it does. Both are made for a short time and by keys of the Backstage, which change.
 */
import { jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import type { Principal } from '../principal.js';
import { keysAt } from './issuer-metadata.js';
import { TokenRefused, checkGroups, checkName, type JwtIssuer, type Unverified } from './jwt-issuer.js';

const USER = 'vnd.backstage.user';
const LIMITED_USER = 'vnd.backstage.limited-user';
const PLUGIN = 'vnd.backstage.plugin';
const USER_AUDIENCE = 'backstage';
const ALGORITHMS = ['ES256', 'RS256', 'EdDSA'];
const GROUP = /^group:/i;

export interface BackstageSettings {
  /** Where its back end answers. */
  url: string;
  /** As its tokens name it. */
  issuer: string;
  tenant: string;
  clockSkewS: number;
  /** Plug-ins that may call, and what their tokens name as the plug-in that is called. */
  plugins: readonly string[];
  pluginAudience: string;
}

export class BackstageIssuer implements JwtIssuer {
  readonly #userKeys: JWTVerifyGetKey;
  readonly #pluginKeys: ReadonlyMap<string, JWTVerifyGetKey>;

  constructor(private readonly settings: BackstageSettings) {
    const { url, plugins } = settings;
    this.#userKeys = keysAt(`${url}/api/auth/.well-known/jwks.json`);
    this.#pluginKeys = new Map(plugins.map((id) => [id, keysAt(`${url}/api/${id}/.backstage/auth/v1/jwks.json`)]));
  }

  takes({ header, payload }: Unverified): boolean {
    if (header.typ === USER) return payload.iss === this.settings.issuer;
    return (
      header.typ === PLUGIN && payload.aud === this.settings.pluginAudience && this.#pluginKeys.has(payload.sub ?? '')
    );
  }

  verify(token: string, { header, payload }: Unverified): Promise<Principal> {
    return header.typ === USER ? this.#verifyUser(token) : this.#verifyPlugin(token, payload.sub!);
  }

  async #verifyUser(token: string): Promise<Principal> {
    const { issuer } = this.settings;
    const { payload } = await this.#check(token, this.#userKeys, { typ: USER, issuer, audience: USER_AUDIENCE });
    const groups = checkGroups(payload['ent']).filter((ref) => GROUP.test(ref));
    return this.#principal(payload, checkName(payload.sub, 'user'), groups);
  }

  async #verifyPlugin(token: string, pluginId: string): Promise<Principal> {
    const keys = this.#pluginKeys.get(pluginId)!;
    const { payload } = await this.#check(token, keys, { typ: PLUGIN, audience: this.settings.pluginAudience });
    const clientId = `plugin:${pluginId}`;
    const { obo } = payload;
    if (obo === undefined) return { ...this.#principal(payload, clientId, []), clientId };
    if (typeof obo !== 'string') throw new TokenRefused('it is for a user that it does not name');
    const { payload: user } = await this.#check(obo, this.#userKeys, { typ: LIMITED_USER });
    return { ...this.#principal(payload, checkName(user.sub, 'user'), []), clientId };
  }

  #check(token: string, keys: JWTVerifyGetKey, wanted: { typ: string; issuer?: string; audience?: string }) {
    const { clockSkewS: clockTolerance } = this.settings;
    return jwtVerify(token, keys, {
      ...wanted,
      algorithms: ALGORITHMS,
      clockTolerance,
      requiredClaims: ['iat', 'exp', 'sub'],
    });
  }

  #principal({ exp }: JWTPayload, userId: string, groups: string[]): Principal {
    return { tenantId: this.settings.tenant, userId, groups, via: 'backstage', expiresAt: exp! * 1_000 };
  }
}
