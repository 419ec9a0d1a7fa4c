/** Tokens of signed-in users, as Backstage itself issues them: signed by a key that Backstage is started with. */
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const TOKEN_S = 3_600;
const KEY_ID = 'fixture';

export class BackstageUsers {
  private constructor(
    /** For Backstage to read. */
    readonly configFile: string,
    private readonly key: KeyObject,
  ) {}

  /** The key and the configuration that names it are kept in the folder, which is made where it is not there. */
  static async create(folder: string): Promise<BackstageUsers> {
    await mkdir(folder, { recursive: true });
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicKeyFile = join(folder, 'public.pem');
    const privateKeyFile = join(folder, 'private.pem');
    await writeFile(publicKeyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    await writeFile(privateKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const keys = [{ keyId: KEY_ID, algorithm: 'ES256', publicKeyFile, privateKeyFile }];
    const configFile = join(folder, 'app-config.users.json');
    await writeFile(configFile, JSON.stringify({ auth: { keyStore: { provider: 'static', static: { keys } } } }));
    return new BackstageUsers(configFile, privateKey);
  }

  /** For the user at that Backstage; `ownership` is what is the user's beside its own ref, such as its groups. */
  token(url: string, userRef: string, ownership: string[] = [], seconds = TOKEN_S): string {
    const iat = Math.floor(Date.now() / 1_000);
    const exp = iat + seconds;
    // With this signature Backstage makes a token of less power from the user's, for one of its plug-ins to pass on to another.
    const uip = this.#signed('vnd.backstage.limited-user', { sub: userRef, iat, exp }).split('.')[2];
    const claims = {
      iss: `${url}/api/auth`,
      aud: 'backstage',
      sub: userRef,
      ent: [userRef, ...ownership],
      iat,
      exp,
      uip,
    };
    return this.#signed('vnd.backstage.user', claims);
  }

  #signed(typ: string, claims: object): string {
    const header = { typ, alg: 'ES256', kid: KEY_ID };
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: this.key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}
