/**
 * Who sends to a source with a token of an issuer, or of a Backstage, that the access file knows. Each source that takes such tokens is a resource
 * of its own, for which tokens are made (RFC 8707) and which says where to get one (RFC 9728).
 *
 * The tenant that a token names must be that of the source: a source is nobody's way into another tenant. A token that is not limited by scopes, as those
 * of a Backstage, is good only where the source names its user.
 */
import {
  ProtectedResources,
  missingScopes,
  type Access,
  type Authenticator,
  type Principal,
  type ProtectedResource,
  type ProtectedSpec,
  type RefusalReason,
} from '@callboard/access';
import { namePattern } from '@callboard/config';
import type { CloudEventsSource } from './sources.js';

interface SourceSpec extends ProtectedSpec {
  readonly tenantId: string;
  readonly users: readonly RegExp[] | undefined;
}

/** `insufficient_scope`: the sender is who may send, and the token would be good with other scopes. */
export type SenderRefusal = RefusalReason | 'insufficient_scope';

export type Sender =
  | { ok: true; principal: Principal }
  | {
      ok: false;
      reason: SenderRefusal;
      /** For the metrics, in a few words that hold nothing of the token. */
      why: string;
      /** Known where the token itself is good. */
      principal?: Principal;
      /** The WWW-Authenticate of the answer, where the reason has one. */
      challenge?: string;
    };

export class Senders {
  readonly #specs: ReadonlyMap<string, SourceSpec>;
  readonly #resources: ProtectedResources<SourceSpec>;
  readonly #authenticator: Authenticator;

  constructor(sources: readonly CloudEventsSource[], access: Pick<Access, 'authenticator' | 'settings'>) {
    this.#authenticator = access.authenticator;
    this.#resources = new ProtectedResources<SourceSpec>(access, 'ingestUrl');
    this.#specs = new Map(sources.flatMap((source) => (source.access ? [[source.name, specOf(source)]] : [])));
  }

  /** Of every source, by the settings that are in force. */
  get resources(): ProtectedResource<SourceSpec>[] {
    return [...this.#specs.values()].map((spec) => this.#resources.of(spec));
  }

  /**
   * @param authorization the header of that name
   * @returns undefined when the source takes no such tokens
   */
  async find(source: string, authorization: string | undefined): Promise<Sender | undefined> {
    const spec = this.#specs.get(source);
    if (!spec) return undefined;
    const resource = this.#resources.of(spec);
    const authentication = await this.#authenticator.authenticate(authorization, resource.resource);
    if (!authentication.ok) {
      const { reason, why = reason } = authentication;
      const isNobody = reason === 'no_credentials' || reason === 'invalid_token';
      return { ok: false, reason, why, ...(isNobody && { challenge: resource.challenge(reason) }) };
    }
    const { principal } = authentication;
    if (!maySend(principal, spec)) {
      return { ok: false, reason: 'forbidden', why: 'its user may not send to this source', principal };
    }
    if (missingScopes(principal, spec.scopes).length === 0) return { ok: true, principal };
    const challenge = resource.stepUp(spec.scopes);
    return { ok: false, reason: 'insufficient_scope', why: 'it has too few scopes', principal, challenge };
  }
}

function maySend({ tenantId, userId, scopes }: Principal, spec: SourceSpec): boolean {
  if (tenantId !== spec.tenantId) return false;
  return spec.users ? spec.users.some((user) => user.test(userId)) : scopes !== undefined;
}

function specOf({ name, tenantId, access }: CloudEventsSource): SourceSpec {
  const { scopes, users } = access!;
  return {
    name,
    path: `/events/${name}`,
    title: `Events of ${name}`,
    scopes,
    allScopes: scopes,
    tenantId,
    users: users?.map(namePattern),
  };
}
