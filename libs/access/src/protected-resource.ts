/**
 * What an MCP server, or a source of events, tells of itself as a resource that OAuth protects: its metadata (RFC 9728), and what is missing in a
 * request that is refused (RFC 6750). Without an issuer there is nobody to send a client to, and no metadata.
 */
import type { AccessSettings } from './access-file.js';
import type { RefusalReason, Resource } from './authenticator.js';
import type { ServerSpec } from './server-spec.js';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const REALM = 'realm="callboard"';

/** What is protected. */
export interface ProtectedSpec {
  /** Empty for the MCP server at `/mcp`. */
  readonly name: string;
  /** Below the URL that clients know. */
  readonly path: string;
  readonly title?: string | undefined;
  /** Scopes that every request needs. */
  readonly scopes: readonly string[];
  /** Every scope that something there needs. */
  readonly allScopes: readonly string[];
}

type ResourceSettings = Pick<AccessSettings, 'publicUrl' | 'ingestUrl' | 'issuers'>;

export class ProtectedResource<S extends ProtectedSpec = ServerSpec> {
  readonly resource: Resource;
  /** The path of its metadata. */
  readonly metadataPath: string;
  /** The metadata, as JSON; absent where no issuer is configured. */
  readonly metadata: string | undefined;
  /** `resource_metadata`, as a challenge names it. */
  readonly #metadataParameter: string;

  constructor(
    readonly spec: S,
    { url: base, issuers }: { url?: string | undefined } & Pick<ResourceSettings, 'issuers'>,
  ) {
    const { name, path, allScopes } = spec;
    const url = base === undefined ? undefined : base + path;
    this.resource = { server: name, ...(url !== undefined && { url }) };
    const prefix = url === undefined ? '' : new URL(base!).pathname.replace(/\/$/, '');
    this.metadataPath = WELL_KNOWN + prefix + path;
    this.#metadataParameter = '';
    if (url !== undefined && issuers.length > 0) {
      this.metadata = JSON.stringify({
        resource: url,
        authorization_servers: issuers.map(({ issuer }) => issuer),
        bearer_methods_supported: ['header'],
        resource_name: spec.title ?? (name || 'Callboard'),
        ...(allScopes.length > 0 && { scopes_supported: allScopes }),
      });
      this.#metadataParameter = `, resource_metadata="${new URL(base!).origin}${this.metadataPath}"`;
    }
  }

  /** The WWW-Authenticate of a 401. */
  challenge(reason: RefusalReason): string {
    const error =
      reason === 'no_credentials' ? '' : ', error="invalid_token", error_description="The token is not good here"';
    const { scopes } = this.spec;
    const scope = this.metadata !== undefined && scopes.length > 0 ? `, scope="${scopes.join(' ')}"` : '';
    return `Bearer ${REALM}${error}${this.#metadataParameter}${scope}`;
  }

  /** The WWW-Authenticate of a 403: with these scopes the same request would do. */
  stepUp(scopes: readonly string[]): string {
    return `Bearer ${REALM}, error="insufficient_scope", scope="${scopes.join(' ')}"${this.#metadataParameter}`;
  }
}

/** What everything that is protected is as a resource, by the settings that are in force. */
export class ProtectedResources<S extends ProtectedSpec = ServerSpec> {
  #settings: ResourceSettings | undefined;
  #known = new WeakMap<S, ProtectedResource<S>>();

  /** @param url which of the URLs that clients know is before the paths */
  constructor(
    private readonly access: { readonly settings: ResourceSettings },
    private readonly url: 'publicUrl' | 'ingestUrl' = 'publicUrl',
  ) {}

  of(spec: S): ProtectedResource<S> {
    const { settings } = this.access;
    if (settings !== this.#settings) {
      this.#settings = settings;
      this.#known = new WeakMap();
    }
    let resource = this.#known.get(spec);
    if (!resource) {
      resource = new ProtectedResource(spec, { url: settings[this.url], issuers: settings.issuers });
      this.#known.set(spec, resource);
    }
    return resource;
  }
}

/** The path under which a client looks that knows only the host (RFC 9728, section 3.1). */
export const ROOT_METADATA_PATH = WELL_KNOWN;
