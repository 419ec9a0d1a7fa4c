/**
 * Secrets from HashiCorp Vault (or OpenBao): its KV engine, version 2, over its HTTP API.
 *
 * V1 A secret is in memory for as long as the cache may keep it, of at most `MOST_CACHED` paths, and nowhere else.
 * V2 No error says more than where a secret should be and the status: answers of Vault are not quoted.
 * V3 A token of ours is renewed before it ends; one that Vault takes no more is replaced once for each read that it refuses.
 * V4 Vault's word is final: what it refuses or does not answer is an error, and no older value stands in for it.
 */
import { readFile } from 'node:fs/promises';
import { IsIn, IsInt, IsNotEmpty, IsOptional, IsString, IsUrl, Max, Min } from 'class-validator';
import { ConfigError, FromEnv, loadConfig } from './load-config.js';

/** Where a secret is in Vault. */
export interface VaultRef {
  path: string;
  key: string;
}

export class VaultConfig {
  @FromEnv('CALLBOARD_VAULT_URL', 'URL of Vault, for secrets that are named as `vault`; none: there are none')
  @IsOptional()
  @IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false })
  url?: string = undefined;

  @FromEnv('CALLBOARD_VAULT_AUTH', 'How we prove who we are: `token`, or `kubernetes` by the service account')
  @IsIn(['token', 'kubernetes'])
  auth: string = 'token';

  @FromEnv('CALLBOARD_VAULT_TOKEN_FILE', 'File with the token; read again when Vault refuses it')
  @IsOptional()
  @IsString()
  tokenFile?: string = undefined;

  @FromEnv('CALLBOARD_VAULT_ROLE', 'Role of the Kubernetes login')
  @IsOptional()
  @IsString()
  role?: string = undefined;

  @FromEnv('CALLBOARD_VAULT_AUTH_MOUNT', 'Where the Kubernetes login is mounted')
  @IsString()
  @IsNotEmpty()
  authMount: string = 'kubernetes';

  @FromEnv('CALLBOARD_VAULT_JWT_FILE', "File with the service account's token")
  @IsString()
  @IsNotEmpty()
  jwtFile: string = '/var/run/secrets/kubernetes.io/serviceaccount/token';

  @FromEnv('CALLBOARD_VAULT_MOUNT', 'Where the KV engine, version 2, is mounted')
  @IsString()
  @IsNotEmpty()
  mount: string = 'secret';

  @FromEnv('CALLBOARD_VAULT_NAMESPACE', 'Namespace of Vault, where it has any')
  @IsOptional()
  @IsString()
  namespace?: string = undefined;

  @FromEnv('CALLBOARD_VAULT_CACHE_MS', 'How long a secret may be kept in memory before Vault is asked again')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  cacheMs: number = 60_000;

  @FromEnv('CALLBOARD_VAULT_TIMEOUT_MS', 'How long Vault may take to answer')
  @IsInt()
  @Min(100)
  @Max(60_000)
  timeoutMs: number = 5_000;
}

export class VaultError extends Error {
  override readonly name = 'VaultError';
  constructor(
    message: string,
    /** Of Vault's answer; absent when there was none. */
    readonly status?: number,
  ) {
    super(message);
  }
}

const MOST_CACHED = 256;
/** Larger is no secret of ours. */
const MOST_BYTES = 1024 * 1024;
/** Of its life, after which a token is renewed. */
const RENEW_AFTER = 2 / 3;

interface Token {
  value: string;
  /** Infinity: it is not ours to renew. */
  renewAt: number;
  endsAt: number;
  renewable: boolean;
}
interface Cached {
  values: Promise<ReadonlyMap<string, string>>;
  until: number;
}

export class VaultClient {
  readonly #cache = new Map<string, Cached>();
  #token: Promise<Token> | undefined;

  private constructor(
    private readonly config: VaultConfig & { url: string },
    private readonly now: () => number,
  ) {}

  /**
   * Undefined where no Vault is configured.
   * @throws ConfigError naming the variable that is wrong or missing.
   */
  static fromEnv(env: NodeJS.ProcessEnv, now: () => number = Date.now): VaultClient | undefined {
    const config = loadConfig(VaultConfig, env);
    const { url } = config;
    if (url === undefined) return undefined;
    if (config.auth === 'token' && config.tokenFile === undefined) {
      throw new ConfigError(['CALLBOARD_VAULT_TOKEN_FILE is not set: name the file with the token of Vault']);
    }
    if (config.auth === 'kubernetes' && config.role === undefined) {
      throw new ConfigError(['CALLBOARD_VAULT_ROLE is not set: name the role of the Kubernetes login']);
    }
    return new VaultClient({ ...config, url: url.replace(/\/+$/, '') }, now);
  }

  /** @throws VaultError when it is not there, or Vault does not give it. */
  async read({ path, key }: VaultRef): Promise<string> {
    const value = (await this.#valuesOf(path)).get(key);
    if (value) return value;
    // Whoever puts it there does not want to wait.
    this.#cache.delete(path);
    throw new VaultError(`Vault has no text ${key} at ${path}`);
  }

  #valuesOf(path: string): Promise<ReadonlyMap<string, string>> {
    const cached = this.#cache.get(path);
    if (cached && cached.until > this.now()) return cached.values;
    const values = this.#fetchValues(path);
    this.#cache.delete(path);
    this.#cache.set(path, { values, until: this.now() + this.config.cacheMs });
    if (this.#cache.size > MOST_CACHED) this.#cache.delete(this.#cache.keys().next().value!);
    // A refusal is no value to keep.
    values.catch(() => {
      if (this.#cache.get(path)?.values === values) this.#cache.delete(path);
    });
    return values;
  }

  async #fetchValues(path: string): Promise<ReadonlyMap<string, string>> {
    const steps = path.split('/').map(encodeURIComponent).join('/');
    const where = `${this.config.mount}/data/${steps}`;
    let token = await this.#currentToken();
    let answer = await this.#ask('GET', where, token.value);
    if (answer.status === 403) {
      this.#token = undefined;
      token = await this.#currentToken();
      answer = await this.#ask('GET', where, token.value);
    }
    if (answer.status !== 200) {
      const why = answer.status === 404 ? 'there is none' : `status ${answer.status}`;
      throw new VaultError(`Vault does not give ${path}: ${why}`, answer.status);
    }
    const { data } = (answer.body as { data?: { data?: Record<string, unknown> | null } }).data ?? {};
    const texts = Object.entries(data ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
    return new Map(texts);
  }

  /** One login or renewal at a time, whoever waits for it. */
  async #currentToken(): Promise<Token> {
    const token = await this.#token?.catch(() => undefined);
    if (token && this.now() < token.renewAt) return token;
    const next = token && token.renewable && this.now() < token.endsAt ? this.#renew(token) : this.#login();
    this.#token = next;
    return next;
  }

  async #login(): Promise<Token> {
    const { auth, authMount, role, jwtFile, tokenFile } = this.config;
    if (auth === 'token') {
      return { value: await textOf(tokenFile!), renewAt: Infinity, endsAt: Infinity, renewable: false };
    }
    const body = { role, jwt: await textOf(jwtFile) };
    const answer = await this.#ask('POST', `auth/${authMount}/login`, undefined, body);
    if (answer.status !== 200)
      throw new VaultError(`Vault refuses the Kubernetes login: status ${answer.status}`, answer.status);
    return this.#tokenOf(answer.body);
  }

  async #renew(token: Token): Promise<Token> {
    const answer = await this.#ask('POST', 'auth/token/renew-self', token.value, {});
    return answer.status === 200 ? this.#tokenOf(answer.body) : this.#login();
  }

  #tokenOf(body: unknown): Token {
    const auth = (body as { auth?: { client_token?: unknown; lease_duration?: unknown; renewable?: unknown } }).auth;
    if (typeof auth?.client_token !== 'string' || typeof auth.lease_duration !== 'number') {
      throw new VaultError('Vault answered a login with no token');
    }
    const lifeMs = auth.lease_duration > 0 ? auth.lease_duration * 1_000 : Infinity;
    return {
      value: auth.client_token,
      renewAt: this.now() + lifeMs * RENEW_AFTER,
      endsAt: this.now() + lifeMs,
      renewable: auth.renewable === true,
    };
  }

  async #ask(method: string, path: string, token?: string, body?: object): Promise<{ status: number; body: unknown }> {
    const { url, namespace, timeoutMs } = this.config;
    try {
      const response = await fetch(`${url}/v1/${path}`, {
        method,
        headers: {
          'X-Vault-Request': 'true',
          ...(token && { 'X-Vault-Token': token }),
          ...(namespace && { 'X-Vault-Namespace': namespace }),
          ...(body && { 'Content-Type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        // A redirect would carry our token to somebody whom nobody has named.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        return { status: response.status, body: undefined };
      }
      return { status: 200, body: JSON.parse(await boundedText(response)) as unknown };
    } catch (error) {
      if (error instanceof VaultError) throw error;
      // What was thrown may quote the answer.
      const why =
        (error as Error).name === 'TimeoutError'
          ? `it took more than ${timeoutMs} ms`
          : 'it cannot be reached, or its answer cannot be read';
      throw new VaultError(`Vault does not answer: ${why}`);
    }
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MOST_BYTES) throw new VaultError(`Vault answered more than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function textOf(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (text !== '') return text;
  throw new VaultError(`${file} cannot be read, or is empty: it proves to Vault who we are`);
}
