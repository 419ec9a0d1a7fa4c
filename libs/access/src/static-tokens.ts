/**
 * Tokens for machines, from a file that holds only their hashes. Each is limited to what it is for: servers, actions, scopes. One that is not
 * limited says so itself, so that nobody hands out everything by leaving something out.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError, record, shapeOf } from '@callboard/config';
import { LIMITS } from '@callboard/envelope';
import type { Authentication, Resource, TokenAuthenticator } from './authenticator.js';
import type { Principal } from './principal.js';

export interface StaticToken {
  digest: Buffer;
  principal: Principal;
  /** Names of the MCP servers that it is good for, `default` for the one at `/mcp`; absent when for all. */
  servers?: readonly string[];
}

interface Written {
  sha256: string;
  tenant_id: string;
  user_id: string;
  groups: string[];
  client_id?: string;
  servers?: string[];
  actions?: string[];
  scopes?: string[];
  expires_at?: string;
  allow_unrestricted: boolean;
}

const name = { type: 'string', minLength: 1, maxLength: LIMITS.nameChars };
const names = { type: 'array', items: name, maxItems: 256 };
const ENTRY = shapeOf<Written>(
  record(
    {
      sha256: { type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
      tenant_id: name,
      user_id: name,
      groups: { ...names, maxItems: LIMITS.groups, default: [] },
      client_id: name,
      servers: names,
      actions: names,
      scopes: names,
      expires_at: name,
      allow_unrestricted: { type: 'boolean', default: false },
    },
    ['sha256', 'tenant_id', 'user_id'],
  ),
);

const EXPIRED: Authentication = { ok: false, reason: 'invalid_token', why: 'it has expired' };
const OTHER_SERVER: Authentication = { ok: false, reason: 'forbidden', why: 'it is for other servers' };

export class StaticTokens implements TokenAuthenticator {
  constructor(private tokens: readonly StaticToken[]) {}

  /** From now on these, and no other. */
  replace(tokens: readonly StaticToken[]): void {
    this.tokens = tokens;
  }

  async authenticate(token: string, resource: Resource): Promise<Authentication | undefined> {
    const digest = createHash('sha256').update(token).digest();
    let found: StaticToken | undefined;
    // Every token is compared, and each in constant time: how long it takes says nothing.
    for (const known of this.tokens) if (timingSafeEqual(known.digest, digest)) found = known;
    if (!found) return undefined;
    const { principal, servers } = found;
    if (principal.expiresAt !== undefined && principal.expiresAt <= Date.now()) return EXPIRED;
    if (servers && !servers.includes(resource.server || 'default')) return OTHER_SERVER;
    return { ok: true, principal };
  }
}

/**
 * The text of a tokens file, and the tokens in it.
 * @throws ConfigError when the tokens file is not what it must be; nothing of a token is in its message
 */
export async function readStaticTokens(file: string): Promise<{ text: string; says: StaticToken[] }> {
  const wrong = (what: string) => new ConfigError([`CALLBOARD_TOKENS_FILE ${what}`]);
  let text: string;
  let entries: unknown;
  try {
    text = await readFile(file, 'utf8');
    entries = JSON.parse(text);
  } catch {
    throw wrong('names a file that cannot be read as JSON');
  }
  if (!Array.isArray(entries)) throw wrong('must name a file with a JSON array');
  const says = entries.map((entry: unknown, index): StaticToken => {
    if (!ENTRY(entry)) throw wrong(`entry ${index} ${mistakeIn()}`);
    const { servers, actions, scopes, allow_unrestricted: unrestricted } = entry;
    if (unrestricted === Boolean(servers ?? actions ?? scopes)) {
      throw wrong(
        unrestricted
          ? `entry ${index} has allow_unrestricted and restrictions: leave one of them out`
          : `entry ${index} is restricted to nothing: give it servers, actions or scopes, or "allow_unrestricted": true if it may do everything`,
      );
    }
    const expiresAt = entry.expires_at === undefined ? undefined : Date.parse(entry.expires_at);
    if (Number.isNaN(expiresAt)) throw wrong(`entry ${index} must have a date and time in expires_at`);
    const principal: Principal = {
      tenantId: entry.tenant_id,
      userId: entry.user_id,
      groups: entry.groups,
      ...(entry.client_id !== undefined && { clientId: entry.client_id }),
      ...(scopes && { scopes }),
      ...(actions && { actions }),
      via: 'static',
      ...(expiresAt !== undefined && { expiresAt }),
    };
    const digest = Buffer.from(entry.sha256, 'hex');
    return { digest, principal: Object.freeze(principal), ...(servers && { servers }) };
  });
  return { text, says };
}

function mistakeIn(): string {
  const { instancePath, keyword, params } = ENTRY.errors![0]!;
  const member = instancePath.split('/')[1];
  if (keyword === 'required') return `must have ${String(params['missingProperty'])}`;
  if (keyword === 'additionalProperties') return `has a key ${String(params['additionalProperty'])} that is not known`;
  if (member === 'sha256') return 'must have sha256: the SHA-256 of a token in hex';
  return member === undefined ? 'must be an object' : `must have another ${member}`;
}
