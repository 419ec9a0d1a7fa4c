/**
 * Who may connect, and as what: an operator, one account with JetStream, and in it one user for each user of the topology.
 *
 * Keys are made once and kept in the data dir. A user's credentials file holds nothing but its identity; what it may do is
 * written on the signing key of its role, which is part of the account and so of the server's configuration. So permissions
 * follow the topology at every start, and a credentials file that someone copied never keeps an old permission.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { DeclaredUser } from '@callboard/jetstream';
import {
  createAccount,
  createOperator,
  createUser,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  fromSeed,
  newScopedSigner,
  type KeyPair,
} from '@nats-io/jwt';
import { writeSecret } from './write-secret.js';

export interface Credentials {
  operator: { jwt: string };
  systemAccount: { id: string; jwt: string };
  account: { id: string; jwt: string };
  /** Path of each user's credentials file. */
  files: ReadonlyMap<string, string>;
}

/** What `keys.json` keeps: every seed, what was signed with it, and what was granted then. */
interface Kept extends Omit<Credentials, 'files'> {
  seeds: Record<'operator' | 'systemAccount' | 'account', string>;
  /** Seed of the signing key of each role. */
  roleSeeds: Record<string, string>;
  grants: DeclaredUser[];
}

const UNLIMITED = -1;

/**
 * Makes or reads the keys in a folder, and a credentials file for every declared user.
 * @param storeExists whether a server has stored anything under these keys.
 */
export async function issueCredentials(
  folder: string,
  users: DeclaredUser[],
  storeExists: boolean,
): Promise<Credentials> {
  const file = join(folder, 'keys.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  const kept = text === undefined ? undefined : (JSON.parse(text) as Kept);
  // The store belongs to the account's key: under a new one, every stream would seem to be gone.
  if (!kept && storeExists) {
    throw new Error(`${file} is missing, and what is stored belongs to its keys: put it back, or empty the data dir`);
  }
  const files = new Map(users.map(({ name }) => [name, join(folder, 'creds', `${name}.creds`)]));
  const complete = [...files.values()].every((creds) => existsSync(creds));
  if (kept && complete && isDeepStrictEqual(kept.grants, users)) return { ...kept, files };

  const issued = await sign(kept, users);
  await mkdir(join(folder, 'creds'), { recursive: true, mode: 0o700 });
  for (const [name, creds] of files) {
    if (!kept || !existsSync(creds)) await issueUser(creds, name, issued);
  }
  await writeSecret(file, JSON.stringify(issued, null, 2));
  return { ...issued, files };
}

/** To whoever asks, once, within a minute. */
const ONE_ANSWER = { max: 1, ttl: 60_000_000_000 };

async function sign(kept: Kept | undefined, users: DeclaredUser[]): Promise<Kept> {
  const seeds = kept?.seeds ?? {
    operator: seedOf(createOperator()),
    systemAccount: seedOf(createAccount()),
    account: seedOf(createAccount()),
  };
  const roleSeeds = { ...kept?.roleSeeds };
  for (const { name } of users) roleSeeds[name] ??= seedOf(createAccount());

  const operator = pairOf(seeds.operator);
  const systemAccount = pairOf(seeds.systemAccount);
  const account = pairOf(seeds.account);
  const systemId = systemAccount.getPublicKey();
  return {
    operator: { jwt: await encodeOperator('callboard', operator, { system_account: systemId }) },
    systemAccount: { id: systemId, jwt: await encodeAccount('SYS', systemAccount, {}, { signer: operator }) },
    account: {
      id: account.getPublicKey(),
      jwt: await encodeAccount(
        'CALLBOARD',
        account,
        {
          limits: {
            conn: UNLIMITED,
            leaf: UNLIMITED,
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            imports: UNLIMITED,
            exports: UNLIMITED,
            wildcards: true,
            mem_storage: UNLIMITED,
            disk_storage: UNLIMITED,
            streams: UNLIMITED,
            consumer: UNLIMITED,
          },
          signing_keys: users.map(({ name, publish, subscribe, responds }) =>
            newScopedSigner(pairOf(roleSeeds[name]!), name, {
              pub: publish,
              sub: subscribe,
              // Left out, the encoder puts in zeros, which nats-server takes for the right to answer once within two minutes.
              resp: responds ? ONE_ANSWER : undefined,
              subs: UNLIMITED,
              data: UNLIMITED,
              payload: UNLIMITED,
            }),
          ),
        },
        { signer: operator },
      ),
    },
    seeds,
    roleSeeds,
    grants: users,
  };
}

async function issueUser(file: string, name: string, { account, roleSeeds }: Kept): Promise<void> {
  const user = createUser();
  const role = pairOf(roleSeeds[name]!);
  const jwt = await encodeUser(name, user, role, { issuer_account: account.id }, { scopedUser: true });
  await writeSecret(file, fmtCreds(jwt, user));
}

function pairOf(seed: string): KeyPair {
  return fromSeed(Buffer.from(seed));
}

function seedOf(pair: KeyPair): string {
  return Buffer.from(pair.getSeed()).toString();
}
