/** An OAuth issuer whose tokens are good at the target, and which signs whatever it is told; and its keys, as everybody may read them. */
import { createHmac, generateKeyPairSync, sign, type JsonWebKey, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const AUDIENCE = 'https://callboard.example/mcp';
const TTL_S = 600;

export type Claims = Record<string, unknown>;
interface Pair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

const pair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const part = (json: object) => Buffer.from(JSON.stringify(json)).toString('base64url');

/** What the metadata of an issuer say that they must not. */
export type Lie =
  | 'metadata elsewhere'
  | 'keys elsewhere'
  | 'another name'
  | 'a file'
  | 'another protocol'
  | 'credentials in the address'
  | 'no end';
export const LIES: Lie[] = [
  'metadata elsewhere',
  'keys elsewhere',
  'another name',
  'a file',
  'another protocol',
  'credentials in the address',
  'no end',
];

export class SpecIssuer {
  readonly key = pair();
  readonly strange = pair();
  /** Paths that somebody asked for and that are none of an issuer's. */
  readonly lured: string[] = [];

  private constructor(private readonly server: Server) {}

  /** @param lie what it lies about, with the address to which it would lead whoever believes it */
  static async start(lie?: { about: Lie; inside: string }): Promise<SpecIssuer> {
    const server = createServer();
    const issuer = new SpecIssuer(server);
    server.on('request', (req, res) => {
      if (lie && issuer.#lie(lie, req.url!, res)) return;
      const known: Record<string, object> = {
        '/.well-known/openid-configuration': { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` },
        '/keys': { keys: [issuer.jwk] },
      };
      const answer = known[req.url!];
      if (!answer && !req.url!.startsWith('/.well-known/')) issuer.lured.push(req.url!);
      res.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return issuer;
  }

  #lie({ about, inside }: { about: Lie; inside: string }, path: string, res: ServerResponse): boolean {
    const isMetadata = path.startsWith('/.well-known/');
    const redirected = about === 'metadata elsewhere' ? isMetadata : about === 'keys elsewhere' && !isMetadata;
    if (redirected) res.writeHead(307, { location: inside }).end();
    else if (!isMetadata || about === 'keys elsewhere') return false;
    else if (about === 'no end') {
      res.writeHead(200, { 'content-type': 'application/json' });
      const more = () => {
        while (!res.destroyed && res.write(' '.repeat(65_536)));
      };
      res.on('drain', more);
      more();
    } else {
      const keys: Partial<Record<Lie, string>> = {
        'another name': inside,
        'a file': 'file:///etc/hostname',
        'another protocol': inside.replace('http:', 'ftp:'),
        'credentials in the address': inside.replace('http://', 'http://admin:admin@'),
      };
      const metadata = { issuer: about === 'another name' ? inside : this.url, jwks_uri: keys[about] };
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(metadata));
    }
    return true;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get jwk(): JsonWebKey {
    return { ...this.key.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256', use: 'sig' };
  }

  claims(more: Claims = {}): Claims {
    const now = Math.floor(Date.now() / 1_000);
    const usual = {
      iss: this.url,
      aud: AUDIENCE,
      sub: 'user:default/mallory',
      org: 'acme',
      iat: now,
      exp: now + TTL_S,
    };
    return { ...usual, ...more };
  }

  /** A good token, but for what is changed in it. */
  token(claims: Claims = {}, header: object = {}, key: KeyObject = this.key.privateKey): string {
    const signed = `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'k1', ...header })}.${part(this.claims(claims))}`;
    const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  /** A good token with another signature, or none. */
  unsigned(header: object, signature = ''): string {
    return `${part({ typ: 'at+jwt', kid: 'k1', ...header })}.${part(this.claims())}.${signature}`;
  }

  /** Signed by whoever has read the public key, as if it were a secret. */
  byPublicKey(alg: 'HS256' | 'HS512', secret: string): string {
    const signed = `${part({ alg, typ: 'at+jwt', kid: 'k1' })}.${part(this.claims())}`;
    const mac = createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret).update(signed);
    return `${signed}.${mac.digest('base64url')}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
