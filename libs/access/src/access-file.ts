/**
 * The access file: under which URL clients know the front ends and the ingestors, whose tokens are good here, and what their claims mean. One YAML file; what it
 * does not say is not allowed.
 */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  ConfigError,
  SecretReader,
  YamlFile,
  httpUrl,
  record,
  secretRef,
  shapeOf,
  type SecretRef,
} from '@callboard/config';
import { LIMITS } from '@callboard/envelope';
import type { BackstageSettings } from './jwt/backstage-issuer.js';
import { ALGORITHMS, type Algorithm } from './jwt/jwt-issuer.js';
import type { ClaimRule, OAuthIssuerSettings } from './jwt/oauth-issuer.js';

/** What is wrong with the access file. */
export class AccessError extends Error {
  override readonly name = 'AccessError';
}

export interface AccessSettings {
  /** The URL that the paths of MCP servers are added to; absent where there is no issuer. */
  publicUrl?: string;
  /** The URL that the paths of sources of events are added to; absent as the other. */
  ingestUrl?: string;
  /** May a request without credentials be served, where the address is a loopback address? */
  anonymous: boolean;
  /** How long a token that was found good is believed without looking again. */
  rememberMs: number;
  issuers: readonly OAuthIssuerSettings[];
  backstages: readonly BackstageSettings[];
}

export const NO_ACCESS_FILE: AccessSettings = { anonymous: true, rememberMs: 0, issuers: [], backstages: [] };

const DEFAULT_ALGORITHMS: readonly Algorithm[] = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'];

interface WrittenIssuer {
  issuer: string;
  jwks_uri?: string;
  audiences: string[];
  algorithms?: Algorithm[];
  types: string[];
  clock_skew_s: number;
  max_age_s?: number;
  tenant: string | { claim: string; allow: string[] };
  user: ClaimRule;
  groups: ClaimRule;
  clients?: string[];
  introspection?: { client_id: string; client_secret: SecretRef };
}

interface WrittenBackstage {
  url: string;
  issuer?: string;
  tenant: string;
  clock_skew_s: number;
  plugins: string[];
  plugin_audience: string;
}

interface Written {
  public_url?: string;
  ingest_url?: string;
  anonymous: boolean;
  remember_s: number;
  issuers: WrittenIssuer[];
  backstages: WrittenBackstage[];
}

const name = { type: 'string', minLength: 1, maxLength: LIMITS.nameChars };
const names = { type: 'array', items: name, minItems: 1, maxItems: 256 };
const claim = (usual: string) => ({
  ...record({ claim: { ...name, default: usual }, prefix: { type: 'string', maxLength: 64, default: '' } }),
  default: {},
});
const clockSkew = { type: 'integer', minimum: 0, maximum: 300, default: 30 };
const FILE = shapeOf<Written>(
  record({
    public_url: httpUrl,
    ingest_url: httpUrl,
    anonymous: { type: 'boolean', default: true },
    remember_s: { type: 'integer', minimum: 0, maximum: 3_600, default: 60 },
    issuers: {
      type: 'array',
      default: [],
      maxItems: 32,
      items: record(
        {
          issuer: httpUrl,
          jwks_uri: httpUrl,
          audiences: { ...names, minItems: 0, default: [] },
          algorithms: { type: 'array', items: { enum: [...ALGORITHMS] }, minItems: 1 },
          types: { ...names, default: ['at+jwt', 'JWT'] },
          clock_skew_s: clockSkew,
          max_age_s: { type: 'integer', minimum: 1 },
          tenant: { anyOf: [name, record({ claim: name, allow: names }, ['claim', 'allow'])] },
          user: claim('sub'),
          groups: claim('groups'),
          clients: names,
          introspection: record({ client_id: name, client_secret: secretRef }, ['client_id', 'client_secret']),
        },
        ['issuer', 'tenant'],
      ),
    },
    backstages: {
      type: 'array',
      default: [],
      maxItems: 32,
      items: record(
        {
          url: httpUrl,
          issuer: httpUrl,
          tenant: name,
          clock_skew_s: clockSkew,
          plugins: {
            type: 'array',
            items: { type: 'string', pattern: '^[a-z0-9_-]{1,64}$' },
            maxItems: 64,
            default: [],
          },
          plugin_audience: { ...name, default: 'callboard' },
        },
        ['url', 'tenant'],
      ),
    },
  }),
);

/** @throws AccessError with the place of what is wrong */
export async function parseAccess(
  text: string,
  path: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<AccessSettings> {
  const yaml = YamlFile.parse(text, path, AccessError);
  const written = yaml.check(FILE);
  const secrets = new SecretReader(yaml, dirname(path), env);
  const seen = new Set<string>();
  const once = (place: (string | number)[], issuer: string) => {
    if (seen.has(issuer)) throw yaml.mistake(place, 'is the issuer of another entry already');
    seen.add(issuer);
  };
  const overHttps = (place: (string | number)[], url: string | undefined) => {
    if (url === undefined || url.startsWith('https:') || isLoopback(new URL(url).hostname)) return;
    throw yaml.mistake(place, 'must be an https URL: what it says is believed');
  };
  const reading = written.issuers.map(async ({ introspection, ...issuer }, i): Promise<OAuthIssuerSettings> => {
    const place = ['issuers', i];
    once([...place, 'issuer'], issuer.issuer);
    overHttps([...place, 'issuer'], issuer.issuer);
    overHttps([...place, 'jwks_uri'], issuer.jwks_uri);
    return {
      issuer: issuer.issuer,
      ...(issuer.jwks_uri !== undefined && { jwksUri: issuer.jwks_uri }),
      audiences: issuer.audiences,
      algorithms: issuer.algorithms ?? DEFAULT_ALGORITHMS,
      types: issuer.types,
      clockSkewS: issuer.clock_skew_s,
      ...(issuer.max_age_s !== undefined && { maxAgeS: issuer.max_age_s }),
      tenant: issuer.tenant,
      user: issuer.user,
      groups: issuer.groups,
      ...(issuer.clients && { clients: issuer.clients }),
      ...(introspection && {
        introspection: {
          clientId: introspection.client_id,
          clientSecret: await secrets.one([...place, 'introspection', 'client_secret'], introspection.client_secret),
        },
      }),
    };
  });
  const issuers = await Promise.all(reading);
  const backstages = written.backstages.map((backstage, i): BackstageSettings => {
    const url = backstage.url.replace(/\/$/, '');
    const issuer = backstage.issuer ?? `${url}/api/auth`;
    once(['backstages', i, 'issuer'], issuer);
    overHttps(['backstages', i, 'url'], url);
    return {
      ...{ url, issuer, tenant: backstage.tenant, clockSkewS: backstage.clock_skew_s },
      ...{ plugins: backstage.plugins, pluginAudience: backstage.plugin_audience },
    };
  });
  if (issuers.length > 0 && written.public_url === undefined) {
    throw yaml.mistake(['issuers'], 'need a public_url beside them: tokens are made for the URL that clients use');
  }
  const { public_url: publicUrl, ingest_url: ingestUrl = publicUrl } = written;
  return {
    ...(publicUrl !== undefined && { publicUrl: publicUrl.replace(/\/$/, '') }),
    ...(ingestUrl !== undefined && { ingestUrl: ingestUrl.replace(/\/$/, '') }),
    anonymous: written.anonymous,
    rememberMs: written.remember_s * 1_000,
    issuers,
    backstages,
  };
}

/**
 * @param path empty without a file
 * @throws ConfigError when the file cannot be read, AccessError when it cannot be used
 */
export async function readAccess(path: string): Promise<AccessSettings> {
  if (path === '') return NO_ACCESS_FILE;
  const content = await readFile(path, 'utf8').catch(() => {
    throw new ConfigError(['CALLBOARD_ACCESS names a file that cannot be read']);
  });
  return parseAccess(content, path);
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
