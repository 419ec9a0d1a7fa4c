/** Tokens of signed-in users, as Backstage itself issues them: signed by a key that Backstage is started with. */
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TOKEN_S = 3_600;
const KEY_ID = 'spec';

export class BackstageUsers {
  private constructor(
    /** For Backstage to read. */
    readonly configFile: string,
    private readonly folder: string,
    private readonly key: KeyObject,
  ) {}

  static async create(): Promise<BackstageUsers> {
    const folder = await mkdtemp(join(tmpdir(), 'callboard-users-'));
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicKeyFile = join(folder, 'public.pem');
    const privateKeyFile = join(folder, 'private.pem');
    await writeFile(publicKeyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    await writeFile(privateKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const keys = [{ keyId: KEY_ID, algorithm: 'ES256', publicKeyFile, privateKeyFile }];
    const configFile = join(folder, 'app-config.users.json');
    await writeFile(configFile, JSON.stringify({ auth: { keyStore: { provider: 'static', static: { keys } } } }));
    return new BackstageUsers(configFile, folder, privateKey);
  }

  /** For the user at that Backstage; `ownership` is what is the user's beside its own ref, such as its groups. */
  token(url: string, userRef: string, ownership: string[] = []): string {
    const now = Math.floor(Date.now() / 1_000);
    const header = { typ: 'vnd.backstage.user', alg: 'ES256', kid: KEY_ID };
    const claims = {
      iss: `${url}/api/auth`,
      aud: 'backstage',
      sub: userRef,
      ent: [userRef, ...ownership],
      iat: now,
      exp: now + TOKEN_S,
    };
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: this.key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  dispose(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}
