/**
 * What an MCP server tells of itself as a resource that OAuth protects: its metadata (RFC 9728), and what is missing in a request that is refused
 * (RFC 6750). Without an issuer there is nobody to send a client to, and no metadata.
 */
import type { AccessSettings } from './access-file.js';
import type { RefusalReason, Resource } from './authenticator.js';
import type { ServerSpec } from './server-spec.js';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const REALM = 'realm="callboard"';

type ResourceSettings = Pick<AccessSettings, 'publicUrl' | 'issuers'>;

export class ProtectedResource {
  readonly resource: Resource;
  /** The path of its metadata. */
  readonly metadataPath: string;
  /** The metadata, as JSON; absent where no issuer is configured. */
  readonly metadata: string | undefined;
  /** `resource_metadata`, as a challenge names it. */
  readonly #metadataParameter: string;

  constructor(
    readonly spec: ServerSpec,
    { publicUrl, issuers }: ResourceSettings,
  ) {
    const { name, path, allScopes } = spec;
    const url = publicUrl === undefined ? undefined : publicUrl + path;
    this.resource = { server: name, ...(url !== undefined && { url }) };
    const prefix = url === undefined ? '' : new URL(publicUrl!).pathname.replace(/\/$/, '');
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
      this.#metadataParameter = `, resource_metadata="${new URL(publicUrl!).origin}${this.metadataPath}"`;
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

/** What every MCP server is as a resource, by the settings that are in force. */
export class ProtectedResources {
  #settings: ResourceSettings | undefined;
  #known = new WeakMap<ServerSpec, ProtectedResource>();

  constructor(private readonly access: { readonly settings: ResourceSettings }) {}

  of(spec: ServerSpec): ProtectedResource {
    const { settings } = this.access;
    if (settings !== this.#settings) {
      this.#settings = settings;
      this.#known = new WeakMap();
    }
    let resource = this.#known.get(spec);
    if (!resource) this.#known.set(spec, (resource = new ProtectedResource(spec, settings)));
    return resource;
  }
}

/** The path under which a client looks that knows only the host (RFC 9728, section 3.1). */
export const ROOT_METADATA_PATH = WELL_KNOWN;
