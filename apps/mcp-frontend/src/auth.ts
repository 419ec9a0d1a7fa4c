/**
 * Who is calling. A bearer token is looked up in the tokens file, which holds only hashes of tokens. On a loopback address a
 * request without credentials is the anonymous local user; on any other address there is no anonymous user.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '@callboard/config';
import type { Principal } from './call.js';

const ANONYMOUS: Principal = Object.freeze({ tenantId: 'default', userId: 'user:local/anonymous' });
const SHA256_HEX = /^[0-9a-f]{64}$/i;
/** RFC 6750: the scheme is case-insensitive, a token is one b64token. */
const BEARER = /^Bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

export type Authentication = { ok: true; principal: Principal } | { ok: false; challenge: string };

interface KnownToken {
  digest: Buffer;
  principal: Principal;
}

const NO_CREDENTIALS: Authentication = { ok: false, challenge: 'Bearer realm="callboard"' };
const INVALID_TOKEN: Authentication = {
  ok: false,
  challenge: 'Bearer realm="callboard", error="invalid_token", error_description="The token is not known here"',
};

export class Authenticator {
  readonly #anonymous: Authentication;

  constructor(
    private readonly tokens: readonly KnownToken[],
    options: { anonymous: boolean },
  ) {
    this.#anonymous = options.anonymous ? { ok: true, principal: ANONYMOUS } : NO_CREDENTIALS;
  }

  /** @throws ConfigError when nobody could ever call, or the tokens file is not what it must be */
  static async load(config: { httpHost: string; tokensFile: string }): Promise<Authenticator> {
    const anonymous = isLoopback(config.httpHost);
    if (config.tokensFile === '' && !anonymous) {
      throw new ConfigError([
        'CALLBOARD_TOKENS_FILE is not set: it must name a file of tokens, because CALLBOARD_HTTP_HOST is not a loopback address',
      ]);
    }
    return new Authenticator(config.tokensFile === '' ? [] : await readTokens(config.tokensFile), { anonymous });
  }

  authenticate(authorization: string | undefined): Authentication {
    if (authorization === undefined) return this.#anonymous;
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) return INVALID_TOKEN;
    const digest = createHash('sha256').update(token).digest();
    let found: KnownToken | undefined;
    // Every token is compared, and each in constant time: how long it takes says nothing.
    for (const known of this.tokens) if (timingSafeEqual(known.digest, digest)) found = known;
    return found ? { ok: true, principal: found.principal } : INVALID_TOKEN;
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function readTokens(file: string): Promise<KnownToken[]> {
  const wrong = (what: string) => new ConfigError([`CALLBOARD_TOKENS_FILE ${what}`]);
  let entries: unknown;
  try {
    entries = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    throw wrong('names a file that cannot be read as JSON');
  }
  if (!Array.isArray(entries)) throw wrong('must name a file with a JSON array');
  return entries.map((entry: unknown, index) => {
    const { sha256, tenant_id: tenantId, user_id: userId } = (entry ?? {}) as Record<string, unknown>;
    if (typeof sha256 !== 'string' || !SHA256_HEX.test(sha256)) {
      throw wrong(`entry ${index} must have sha256: the SHA-256 of a token in hex`);
    }
    if (typeof tenantId !== 'string' || tenantId === '' || typeof userId !== 'string' || userId === '') {
      throw wrong(`entry ${index} must have tenant_id and user_id`);
    }
    return { digest: Buffer.from(sha256, 'hex'), principal: Object.freeze({ tenantId, userId }) };
  });
}
