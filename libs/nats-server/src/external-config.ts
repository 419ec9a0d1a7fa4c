/**
 * What a nats-server that somebody else runs must be told about us, written into a folder: users and their permissions, made from the same
 * topology as those of a server of our own.
 *
 * Written again, it follows the topology and keeps who everybody is. A seed may be moved to where secrets are kept: what stays here is
 * the public key, and that is enough to write everything again.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inboxPrefix, type DeclaredUser, type Topology } from '@callboard/jetstream';
import { createUser } from '@nats-io/nkeys';
import { issueCredentials } from './credentials.js';
import { jetStream, nkeyAccounts, operatorMode, tlsBlock, type ServerTls } from './server-config.js';
import { writeSecret } from './write-secret.js';

export interface ExternalOptions {
  folder: string;
  topology: Topology;
  /** By nkey, in the server's configuration; or by JWT, on the account's signing keys. */
  auth: 'nkeys' | 'jwt';
  /** Where the server finds its files; for `server.conf`. */
  server: { storeDir: string; tls?: ServerTls };
  /** Users that get a new nkey beside the one of before. */
  rotate?: readonly string[];
  /** Users whose nkey of before is let go. */
  retire?: readonly string[];
}

export interface WrittenUser {
  name: string;
  /** Public: the newest first. None where users are known by JWT. */
  nkeys: string[];
  inbox_prefix: string;
  /** What proves who it is; absent when it was moved elsewhere. */
  secret_file?: string;
}

/** @throws Error when a user that is named is none. */
export async function writeExternalConfig(options: ExternalOptions): Promise<WrittenUser[]> {
  const { folder, topology, auth, server } = options;
  const { users } = topology;
  for (const name of [...(options.rotate ?? []), ...(options.retire ?? [])]) {
    if (!users.some((user) => user.name === name)) throw new Error(`the topology declares no user ${name}`);
  }
  await mkdir(join(folder, 'users'), { recursive: true, mode: 0o700 });
  const written = auth === 'jwt' ? await byJwt(options) : await byNkey(options);
  const note = '# Written by callboard nats config. Changes here are lost.';
  await writeSecret(join(folder, 'accounts.conf'), [note, ...written.lines, ''].join('\n'));
  const declared = topology.streams.reduce((sum, { config }) => sum + Math.max(0, config.max_bytes ?? 0), 0);
  const conf = [
    '# One nats-server with everything that Callboard needs. Written by callboard nats config; changes here are lost.',
    'port: 4222',
    'max_payload: 1MB',
    ...jetStream({ storeDir: server.storeDir, syncInterval: 'always', maxFileStore: 2 * declared }),
    ...(server.tls ? tlsBlock(server.tls) : []),
    'include ./accounts.conf',
    '',
  ];
  await writeFile(join(folder, 'server.conf'), conf.join('\n'));
  const grants = users.map((user) => ({ ...user, ...written.users.find(({ name }) => name === user.name)! }));
  await writeFile(usersFile(folder), `${JSON.stringify(grants, null, 2)}\n`);
  return written.users;
}

interface Written {
  lines: string[];
  users: WrittenUser[];
}

async function byNkey({ folder, topology, rotate = [], retire = [] }: ExternalOptions): Promise<Written> {
  const before = await usersBefore(folder);
  const users = await Promise.all(
    topology.users.map(async (user): Promise<DeclaredUser & WrittenUser> => {
      const { name } = user;
      const secret = join(folder, 'users', `${name}.nk`);
      let nkeys = before.get(name) ?? [];
      if (retire.includes(name)) nkeys = nkeys.slice(0, 1);
      if (nkeys.length === 0 || rotate.includes(name)) {
        const pair = createUser();
        await writeSecret(secret, pair.getSeed());
        nkeys = [pair.getPublicKey(), ...nkeys.slice(0, 1)];
      }
      return { ...user, nkeys, inbox_prefix: inboxPrefix(name), ...(existsSync(secret) && { secret_file: secret }) };
    }),
  );
  return {
    lines: nkeyAccounts(users),
    users: users.map(({ name, nkeys, inbox_prefix, secret_file }) => ({
      name,
      nkeys,
      inbox_prefix,
      ...(secret_file && { secret_file }),
    })),
  };
}

async function byJwt({ folder, topology }: ExternalOptions): Promise<Written> {
  const credentials = await issueCredentials(folder, topology.users, false);
  return {
    lines: operatorMode(credentials),
    users: topology.users.map(({ name }) => ({
      name,
      nkeys: [],
      inbox_prefix: inboxPrefix(name),
      secret_file: credentials.files.get(name)!,
    })),
  };
}

function usersFile(folder: string): string {
  return join(folder, 'users.json');
}

async function usersBefore(folder: string): Promise<Map<string, string[]>> {
  const text = await readFile(usersFile(folder), 'utf8').catch(() => '[]');
  const users = JSON.parse(text) as WrittenUser[];
  return new Map(users.filter(({ nkeys }) => nkeys.length > 0).map(({ name, nkeys }) => [name, nkeys]));
}
