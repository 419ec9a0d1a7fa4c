/** For specs: an issuer whose every word the spec decides. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK, type JWTPayload } from 'jose';

interface Key {
  kid: string;
  privateKey: CryptoKey;
  jwk: JWK;
}

export class SpecIssuer {
  /** How often each path was asked. */
  readonly asked = new Map<string, number>();
  /** Answers in place of the usual ones, by path. */
  readonly answers = new Map<string, { status: number; body: string; location?: string }>();
  key!: Key;
  published: JWK[] = [];
  active = true;
  /** Waited for before a path is answered. */
  hold: (path: string) => Promise<void> = async () => undefined;
  #keys = 0;
  readonly #server = createServer(async (req, res) => {
    const path = req.url!;
    await this.hold(path);
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
    const answer = this.answers.get(path);
    if (answer) {
      res.writeHead(answer.status, answer.location ? { location: answer.location } : {}).end(answer.body);
      return;
    }
    const known = this.#answer(path);
    res.writeHead(known ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(known ?? {}));
  });

  static async start(): Promise<SpecIssuer> {
    const issuer = new SpecIssuer();
    issuer.#server.listen(0, '127.0.0.1');
    await once(issuer.#server, 'listening');
    await issuer.rotate();
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Signs with a new key from now on, and publishes it beside the others. */
  async rotate(publish = true): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const kid = `key-${++this.#keys}`;
    this.key = { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
    if (publish) this.published.push(this.key.jwk);
  }

  /** A token as it should be, but for what the spec changes. */
  token(claims: JWTPayload = {}, header: Record<string, unknown> = {}, key = this.key): Promise<string> {
    const now = Math.floor(Date.now() / 1_000);
    const usual = {
      iss: this.url,
      aud: 'https://callboard.example/mcp',
      sub: 'jane',
      org: 'acme',
      iat: now,
      exp: now + 600,
    };
    return new SignJWT({ ...usual, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'at+jwt', ...header })
      .sign(key.privateKey);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer(path: string): object | undefined {
    switch (path) {
      case '/.well-known/openid-configuration':
        return { issuer: this.url, jwks_uri: `${this.url}/keys`, introspection_endpoint: `${this.url}/introspect` };
      case '/keys':
        return { keys: this.published };
      case '/introspect':
        return { active: this.active };
      default:
        return undefined;
    }
  }
}
