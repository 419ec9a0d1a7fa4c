import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { writeSecret } from '@callboard/nats-server';
import type { pathsOf } from './data-dir.js';

export interface Secrets {
  /** The bearer token of whoever may read the data dir: to call, and to send events as the ingestor's source `local`. */
  token: string;
  /** Seals what a client carries between two rounds of one call; every front end needs the same. */
  requestStateKey: string;
  /** Key of the tokens with which far sides report; runners write them, front ends check them. */
  resultsKey: string;
  /** What pseudonyms are made with; whoever has it can tell whether a value is behind one. */
  pseudonymKey: string;
  /** Wraps the keys of what is personal in the ledger. */
  auditSealingKey: string;
  /** Seed of the key that signs checkpoints of the ledger. */
  auditSigningKey: string;
}

interface KnownToken {
  sha256: string;
  tenant_id: string;
  user_id: string;
  allow_unrestricted?: boolean;
}

/** Makes the stack's secrets once, and sees to it that the front end knows the token. */
export async function keepSecrets(paths: ReturnType<typeof pathsOf>): Promise<Secrets> {
  const kept = await readJson<Partial<Secrets>>(paths.secrets);
  const secrets: Secrets = {
    token: `cbt_${randomBytes(24).toString('base64url')}`,
    requestStateKey: randomBytes(32).toString('base64'),
    resultsKey: randomBytes(32).toString('base64'),
    pseudonymKey: randomBytes(32).toString('base64'),
    auditSealingKey: randomBytes(32).toString('base64'),
    auditSigningKey: randomBytes(32).toString('base64'),
    // A data dir that an earlier version made has not all of them.
    ...kept,
  };
  if (!isDeepStrictEqual(kept, secrets)) await writeSecret(paths.secrets, JSON.stringify(secrets, null, 2));

  const sha256 = createHash('sha256').update(secrets.token).digest('hex');
  const known = (await readJson<KnownToken[]>(paths.tokens)) ?? [];
  // An earlier version did not say that it may do everything.
  if (!known.some((token) => token.sha256 === sha256 && token.allow_unrestricted)) {
    const others = known.filter((token) => token.sha256 !== sha256);
    const own = { sha256, tenant_id: 'default', user_id: 'user:local/operator', allow_unrestricted: true };
    await writeSecret(paths.tokens, JSON.stringify([...others, own], null, 2));
  }
  return secrets;
}

async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as T);
}
