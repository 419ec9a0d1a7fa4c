/** Two tenants of one deployment: their users with tokens, their sources of events, and the mark by which whatever is theirs is known. */
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const TENANTS = ['acme', 'globex'] as const;
export type Tenant = (typeof TENANTS)[number];

export interface User {
  tenant: Tenant;
  userId: string;
  token: string;
}

export interface TwoTenants {
  users: User[];
  /** Of the source of each, which is called as the tenant is. */
  ingestTokens: Record<Tenant, string>;
  /** A configuration file for `callboard up`. */
  configFile: string;
}

export const otherOf = (tenant: Tenant): Tenant => (tenant === 'acme' ? 'globex' : 'acme');

/** Stands in all that a tenant sends, and in nothing that any other does. */
export const markOf = (tenant: Tenant): string => `of-${tenant}`;

const newToken = () => randomBytes(24).toString('base64url');

/** Writes what the stack needs to know of them into the folder. */
export async function configureTwoTenants(folder: string, usersEach: number): Promise<TwoTenants> {
  const users = TENANTS.flatMap((tenant) =>
    Array.from({ length: usersEach }, (_, n): User => ({ tenant, userId: `user:default/u${n}`, token: newToken() })),
  );
  const ingestTokens = { acme: newToken(), globex: newToken() };
  // JSON is YAML.
  const write = async (name: string, content: unknown) => {
    const path = join(folder, name);
    await writeFile(path, JSON.stringify(content), { mode: 0o600 });
    return path;
  };
  const tokens = users.map(({ tenant, userId, token }) => ({
    sha256: createHash('sha256').update(token).digest('hex'),
    tenant_id: tenant,
    user_id: userId,
    allow_unrestricted: true,
  }));
  const sources = TENANTS.map((tenant) => ({
    name: tenant,
    type: 'cloudevents',
    tenant,
    token: { env: `FAULTS_TOKEN_${tenant.toUpperCase()}` },
  }));
  const configFile = await write('callboard.yaml', {
    sources: await write('sources.yaml', { sources }),
    env: {
      'mcp-frontend': { CALLBOARD_TOKENS_FILE: await write('tokens.json', tokens), CALLBOARD_SYNC_WINDOW_MS: '1' },
      'event-ingestor': { FAULTS_TOKEN_ACME: ingestTokens.acme, FAULTS_TOKEN_GLOBEX: ingestTokens.globex },
    },
  });
  return { users, ingestTokens, configFile };
}
