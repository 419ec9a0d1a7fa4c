/** A real OpenID provider on loopback, where everybody is signed in as whoever the spec says and consents to everything. */
import { createHash, generateKeyPairSync, randomBytes, verify, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { freePort } from '@callboard/nats-server';
import type { Configuration, Provider, TokenEndpointGrantContext } from 'oidc-provider';

export interface TestIssuer {
  readonly url: string;
  readonly clientId: string;
  readonly redirectUri: string;
  /** Does what a person's browser does with an authorization URL, and returns what the client is called back with. */
  authorize(url: URL): Promise<URLSearchParams>;
  /** Signs the user in for a resource, and returns the access token. */
  token(resource: string): Promise<string>;
  /** A client that has a secret and no user. Its id is its `sub`, too. */
  readonly machine: { clientId: string; clientSecret: string };
  /** What a machine gets for a resource in its own name, with some of the scopes (RFC 6749, 4.4). */
  machineToken(resource: string, scope?: string): Promise<string>;
  /** Approves a device code, as a person does who types it in. */
  approve(userCode: string): Promise<void>;
  stop(): Promise<void>;
}

export interface TestIssuerOptions {
  /** Who is signed in. */
  user: string;
  claims: Record<string, unknown>;
  /** Scopes that a resource may be asked for. */
  scopes: string[];
  /** The client that may exchange tokens (RFC 8693), and the one audience for which it gets them. */
  exchange?: { clientId: string; clientSecret: string; audience: string };
  /** What the provider finds at https addresses: documents of clients whose ids these are. */
  documents?: Record<string, object>;
}

const CLIENT_ID = 'spec-client';
const MACHINE = { clientId: 'spec-machine', clientSecret: 'the-secret-of-the-machine' };
const REDIRECT_URI = 'http://127.0.0.1:9/callback';
const EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

export async function startTestIssuer(options: TestIssuerOptions): Promise<TestIssuer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const provider = await newProvider(url, options);
  const server = createServer((req, res) => {
    if (req.url!.startsWith('/interaction/')) {
      interact(provider, options, req, res).catch((error: unknown) => res.writeHead(500).end(String(error)));
    } else void provider.callback()(req, res);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const authorize = async (start: URL) => {
    const browser = new Browser();
    const end = await browser.follow(start.href, (location) => location.startsWith(REDIRECT_URI));
    return new URL(end).searchParams;
  };
  return {
    url,
    clientId: CLIENT_ID,
    redirectUri: REDIRECT_URI,
    authorize,
    token: async (resource) => {
      const verifier = randomBytes(32).toString('base64url');
      const client = { client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, resource };
      const start = new URL(`${url}/auth`);
      start.search = new URLSearchParams({
        ...client,
        response_type: 'code',
        scope: options.scopes.join(' '),
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }).toString();
      const code = (await authorize(start)).get('code')!;
      const grant = { ...client, grant_type: 'authorization_code', code, code_verifier: verifier };
      const answer = await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(grant) });
      return ((await answer.json()) as { access_token: string }).access_token;
    },
    machine: MACHINE,
    machineToken: async (resource, scope = options.scopes.join(' ')) => {
      const body = new URLSearchParams({ grant_type: 'client_credentials', resource, scope });
      const credentials = Buffer.from(`${MACHINE.clientId}:${MACHINE.clientSecret}`).toString('base64');
      const headers = { authorization: `Basic ${credentials}` };
      const answer = await fetch(`${url}/token`, { method: 'POST', headers, body });
      return ((await answer.json()) as { access_token: string }).access_token;
    },
    approve: async (userCode) => {
      const browser = new Browser();
      const page = await browser.get(`${url}/device?user_code=${userCode}`);
      const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)![1]!;
      const form = new URLSearchParams({ xsrf, user_code: userCode, confirm: 'yes' });
      await browser.follow(`${url}/device`, () => false, form);
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function newProvider(url: string, { claims, scopes, exchange, documents }: TestIssuerOptions): Promise<Provider> {
  // Only who needs it loads it, and is told that it is not meant for this.
  const { Provider } = await import('oidc-provider');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = {
    ...privateKey.export({ format: 'jwk' }),
    kid: randomBytes(6).toString('hex'),
    use: 'sig',
    alg: 'ES256',
  };
  const configuration: Configuration = {
    jwks: { keys: [key as never] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    clients: [
      {
        client_id: CLIENT_ID,
        application_type: 'native',
        redirect_uris: [REDIRECT_URI],
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', DEVICE_GRANT],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
      },
      {
        client_id: MACHINE.clientId,
        client_secret: MACHINE.clientSecret,
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'client_secret_basic',
        id_token_signed_response_alg: 'ES256',
      },
      ...(exchange
        ? [
            {
              client_id: exchange.clientId,
              client_secret: exchange.clientSecret,
              redirect_uris: [],
              response_types: [],
              grant_types: [EXCHANGE_GRANT],
              token_endpoint_auth_method: 'client_secret_basic' as const,
              id_token_signed_response_alg: 'ES256' as const,
            },
          ]
        : []),
    ],
    scopes: ['openid', 'offline_access', ...scopes],
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    extraTokenClaims: () => claims,
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: () => true,
    ...(documents && {
      fetch: async (asked: string | URL | Request) => {
        const document = documents[String(asked)];
        return document ? Response.json(document) : new Response(null, { status: 404 });
      },
    }),
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      ...(documents && { clientIdMetadataDocument: { enabled: true, ack: 'draft-02' } }),
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: scopes.join(' '),
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  };
  const provider = new Provider(url, configuration);
  if (exchange) exchangeTokens(provider, publicKey, exchange.audience);
  return provider;
}

/** Gives a token for the audience to a user of its own; the provider has no such grant itself. */
function exchangeTokens(provider: Provider, key: KeyObject, audience: string): void {
  const exchange = async (ctx: TokenEndpointGrantContext<Record<string, string>>) => {
    const { client, params } = ctx.oidc;
    const [header, payload, signature] = params['subject_token']!.split('.') as [string, string, string];
    const signed = Buffer.from(`${header}.${payload}`);
    const isOwn = verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
    if (!isOwn || params['audience'] !== audience) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_target' };
      return;
    }
    const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string };
    const scope = params['scope'] ?? '';
    const token = new provider.AccessToken({ accountId: sub, client, scope, gty: 'token_exchange' } as never);
    token.resourceServer = new provider.ResourceServer(audience, {
      scope,
      audience,
      accessTokenFormat: 'jwt',
      accessTokenTTL: 60,
      jwt: { sign: { alg: 'ES256' } },
    });
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: token.expiration,
    };
  };
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope'];
  provider.registerGrantType(EXCHANGE_GRANT, exchange, parameters);
}

async function interact(provider: Provider, { user }: TestIssuerOptions, req: IncomingMessage, res: ServerResponse) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') return provider.interactionFinished(req, res, { login: { accountId: user } });
  const clientId = String(params['client_id']);
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const grant = known ?? new provider.Grant({ accountId: session!.accountId, clientId });
  const scope = String(params['scope'] ?? '');
  grant.addOIDCScope(scope);
  for (const resource of [params['resource'] ?? []].flat()) grant.addResourceScope(String(resource), scope);
  await provider.interactionFinished(
    req,
    res,
    { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true },
  );
}

/** Follows redirects and keeps cookies, and does nothing else that a browser does. */
class Browser {
  readonly #cookies = new Map<string, string>();

  async get(url: string, form?: URLSearchParams): Promise<string> {
    return (await this.#ask(url, form)).text();
  }

  /** Returns where it ends: at the first location that `isEnd` takes, or where there is no further redirect. */
  async follow(start: string, isEnd: (location: string) => boolean, form?: URLSearchParams): Promise<string> {
    let url = start;
    let answer = await this.#ask(url, form);
    for (let hops = 0; hops < 20; hops++) {
      const location = answer.headers.get('location');
      await answer.arrayBuffer();
      if (location === null) return url;
      url = new URL(location, url).href;
      if (isEnd(url)) return url;
      answer = await this.#ask(url);
    }
    throw new Error('too many redirects');
  }

  async #ask(url: string, body?: URLSearchParams): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, { redirect: 'manual', headers: { cookie }, ...(body && { method: 'POST', body }) });
    for (const set of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
      this.#cookies.set(name!, value!);
    }
    return answer;
  }
}
