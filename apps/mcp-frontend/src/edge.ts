/**
 * The edge: everything that is checked before anything else looks at a request, cheapest first, in the order of `handle` and then
 * `#receive`. What gets past it is one JSON-RPC message from a known principal, of a known era, within every limit.
 *
 * No answer of the edge repeats anything of the request but its id, and none needs more of it in memory than the limits allow.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  isGoodFor,
  missingScopes,
  type Authenticator,
  type Authentication,
  type Principal,
  type ProtectedResource,
  type ProtectedResources,
  type Refused,
} from '@callboard/access';
import type { Audit, AuditFact } from '@callboard/audit';
import { CallboardError } from '@callboard/envelope';
import {
  countRefused,
  isNestedDeeperThan,
  parseJson,
  readBody,
  takeRoom,
  type FailedAuthentications,
  type Limit,
} from '@callboard/http';
import {
  classifyInboundRequest,
  isJsonContentType,
  validateHostHeader,
  validateOriginHeader,
} from '@modelcontextprotocol/server';
import { answerRefusal, answerRpcError, readableId, type RequestId } from './answers.js';
import { CredentialStreams } from './credential-streams.js';
import type { ModernFront } from './modern.js';
import { askedFor, noteRefusal, sessionFact, waitsForItsRecord, type Asking } from './recorded.js';
import { compensatingAction, usedAction } from './used-action.js';
import { MODERN_REVISION, recognise } from './plain-request.js';
import { RPC, toRpcError, type FaultReporter } from './protocol-errors.js';

/** Serves 2025-era sessions of every MCP server. `body` is the parsed message of a POST; GET and DELETE have none. */
export interface SessionFront {
  serve(req: IncomingMessage, res: ServerResponse, principal: Principal, server: string, body?: unknown): void;
}

export interface EdgeOptions {
  /** Host names, without ports, under which this server may be addressed. */
  allowedHosts: string[];
  /** Host names of browser origins that may call. */
  allowedOrigins: string[];
  maxBodyBytes: number;
  maxDepth: number;
}

/** An MCP server, and what it is as a resource that OAuth protects. */
interface Served {
  front: ModernFront;
  resource: ProtectedResource;
}

const PATH = '/mcp';
const RETRY_MS = 5_000;
const SESSION_METHODS = ['GET', 'POST', 'DELETE'];

export class McpEdge {
  /** The Host of the last request that was let through; nearly always the one of the next. */
  #knownHost: string | undefined;
  readonly #streams = new CredentialStreams((req) => this.#worthNow(req));

  constructor(
    private readonly options: EdgeOptions,
    private readonly authenticator: Authenticator,
    private readonly requests: Limit,
    /** Bytes of the bodies of all requests that are being served. */
    private readonly bodies: Limit,
    /** What serves the 2026 revision at each MCP server that there is now, by the name of the server. */
    private readonly fronts: Pick<ReadonlyMap<string, ModernFront>, 'get'>,
    private readonly resources: Pick<ProtectedResources, 'of'>,
    private readonly sessions: SessionFront,
    private readonly report: FaultReporter,
    private readonly audit: Audit,
    private readonly failures: FailedAuthentications,
  ) {}

  /** Does the request belong to an MCP server? Everything else on the port is somebody else's. */
  static isMcp(req: IncomingMessage): boolean {
    const { url = '' } = req;
    return url === PATH || url.startsWith(`${PATH}?`) || url.startsWith(`${PATH}/`);
  }

  /** The server that a path names. */
  #serverAt(url: string): Served | undefined {
    const [path = ''] = url === PATH ? [url] : url.split('?', 1);
    const name = path === PATH ? '' : path.slice(PATH.length + 1);
    // `/mcp/` is no other spelling of `/mcp`.
    const front = name === '' && path !== PATH ? undefined : this.fronts.get(name);
    return front && { front, resource: this.resources.of(front.parts.server.spec) };
  }

  /** Ends the open streams whose credentials would not open them any more: other credentials are good now, or another server is there. */
  lookAtStreamsAgain(): void {
    this.#streams.lookAgain().catch((error: unknown) => void toRpcError(error, this.report));
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const asking: Asking = {};
    noteRefusal(this.audit, req, res, asking);
    this.#admit(req, res, asking).catch((error: unknown) => this.#fault(res, error));
  }

  async #admit(req: IncomingMessage, res: ServerResponse, asking: Asking): Promise<void> {
    const { headers, method = '' } = req;
    if (!this.#isAddressedToUs(req)) {
      return answerRefusal(res, new CallboardError('forbidden', 'This Host or Origin is not allowed'));
    }
    const served = this.#serverAt(req.url ?? '');
    if (!served) return answerRefusal(res, new CallboardError('not_found', 'There is no MCP server of that name'));
    const { resource } = served;
    const { name, scopes } = resource.spec;
    const hasCredentials = headers.authorization !== undefined;
    const tooMany = hasCredentials && this.failures.refusal(req);
    if (tooMany) return answerRefusal(res, tooMany);
    const authentication = await this.authenticator.authenticate(headers.authorization, resource.resource);
    if (authentication.ok) this.failures.succeeded(req);
    else if (hasCredentials && authentication.reason === 'invalid_token') this.failures.failed(req);
    // Who went away meanwhile takes no room.
    if (res.closed) return;
    if (!authentication.ok) return turnAway(res, authentication, resource);
    const { principal } = authentication;
    asking.principal = principal;
    if (missingScopes(principal, scopes).length > 0) return askForScopes(res, scopes, resource);
    if (!served.front.parts.access.connects(principal)) {
      return answerRefusal(res, new CallboardError('forbidden', 'Policy does not allow you to use this server'));
    }
    // The 2026 revision knows nothing but POST; without its header a request may belong to a session.
    const allowed = headers['mcp-protocol-version'] === MODERN_REVISION ? ['POST'] : SESSION_METHODS;
    if (!allowed.includes(method)) return refuse(res, 405, 'Method not allowed', { Allow: allowed.join(', ') });
    if (method !== 'POST') {
      this.#streams.hold(req, res, principal);
      return this.#recorded(res, sessionFact(req, principal, name), () =>
        this.sessions.serve(req, res, principal, name),
      );
    }
    if (!isJsonContentType(headers['content-type'])) {
      return refuse(res, 415, 'Content-Type must be application/json');
    }
    const { 'content-encoding': encoding = 'identity' } = headers;
    if (encoding.toLowerCase() !== 'identity') {
      return refuse(res, 415, 'Content-Encoding must be identity', { 'Accept-Encoding': 'identity' });
    }
    const keep = takeRoom(res, { requests: this.requests, bodies: this.bodies });
    if (!keep) return answerRefusal(res, this.requests.refusal());
    readBody(req, this.options.maxBodyBytes, keep, (end) => {
      try {
        if (end.kind === 'too_large') answerRefusal(res, new CallboardError('payload_too_large'));
        else if (end.kind === 'no_room') answerRefusal(res, this.bodies.refusal());
        else if (end.kind === 'read') this.#receive(req, res, end.bytes, principal, served);
      } catch (error) {
        this.#fault(res, error);
      }
    });
  }

  #receive(req: IncomingMessage, res: ServerResponse, bytes: Buffer, principal: Principal, served: Served): void {
    if (isNestedDeeperThan(this.options.maxDepth, bytes)) {
      return refuse(res, 400, `The request is nested deeper than ${this.options.maxDepth} levels`);
    }
    const body = parseJson(bytes);
    if (body === undefined) {
      return answerRpcError(res, 400, null, { code: RPC.parseError, message: 'Parse error: the body is not JSON' });
    }
    if (Array.isArray(body)) return refuse(res, 400, 'Batches are not supported');
    if (isLimited(principal) && this.#isRefusedUse(res, body, principal, served)) return;
    if (isListen(body)) this.#streams.hold(req, res, principal);
    const fact = askedFor(body, principal, served.front.parts.server.name, req);
    if (fact && waitsForItsRecord(fact))
      return this.#recorded(res, fact, () => this.#dispatch(req, res, body, principal, served), readableId(body));
    if (fact) this.audit.note(fact);
    this.#dispatch(req, res, body, principal, served);
  }

  /** Serves what must be on record once it is; what cannot be recorded is not served. */
  #recorded(res: ServerResponse, fact: AuditFact, serve: () => void, id: RequestId | null = null): void {
    this.audit.record(fact).then(
      () => {
        try {
          if (!res.closed) serve();
        } catch (error) {
          this.#fault(res, error);
        }
      },
      (error: unknown) => answerRefusal(res, error as CallboardError, { id }),
    );
  }

  #dispatch(req: IncomingMessage, res: ServerResponse, body: unknown, principal: Principal, { front }: Served): void {
    const { headers } = req;
    const plain = recognise(body, headers);
    if (plain) return front.serve(req, res, body, principal, plain);
    const route = classifyInboundRequest({
      httpMethod: 'POST',
      protocolVersionHeader: single(headers['mcp-protocol-version']),
      mcpMethodHeader: single(headers['mcp-method']),
      mcpNameHeader: single(headers['mcp-name']),
      body,
    });
    switch (route.kind) {
      case 'reject': {
        const id = readableId(body);
        // The SDK takes a message whose params are malformed for no message at all.
        if (route.rung === 'jsonrpc-shape' && id !== null && isRequestShaped(body)) {
          return answerRpcError(res, 400, id, { code: RPC.invalidParams, message: 'Invalid params' });
        }
        const { httpStatus, code, message, data } = route;
        return answerRpcError(res, httpStatus, id, { code, message, ...(data !== undefined && { data }) });
      }
      case 'modern':
        return front.serve(req, res, body, principal, route);
      case 'legacy':
        if (route.reason === 'response' && headers['mcp-protocol-version'] === MODERN_REVISION) {
          return refuse(res, 400, 'There is nothing to respond to');
        }
        return this.sessions.serve(req, res, principal, front.parts.server.name, body);
    }
  }

  /** What the credential of an open stream's request is worth now. */
  async #worthNow({ url = '', headers }: IncomingMessage): Promise<Authentication> {
    const served = this.#serverAt(url);
    if (!served) return { ok: false, reason: 'forbidden' };
    const { resource, spec } = served.resource;
    const authentication = await this.authenticator.authenticate(headers.authorization, resource);
    if (!authentication.ok || missingScopes(authentication.principal, spec.scopes).length === 0) return authentication;
    return { ok: false, reason: 'forbidden' };
  }

  /** Answers the use of an action, in either era, that the credential is not good for. */
  #isRefusedUse(res: ServerResponse, body: unknown, principal: Principal, { front, resource }: Served): boolean {
    const { listing, view } = front.parts.server;
    const actions = [usedAction(listing, body), compensatingAction(view, body)].filter(
      (action) => action !== undefined,
    );
    if (actions.some(({ id }) => !isGoodFor(principal, id))) {
      const error = new CallboardError('forbidden', 'The token is not good for this');
      answerRefusal(res, error, { id: readableId(body) });
      return true;
    }
    const scopes = [...new Set(actions.flatMap((action) => resource.spec.scopesFor(action)))];
    if (missingScopes(principal, scopes).length === 0) return false;
    askForScopes(res, scopes, resource, readableId(body));
    return true;
  }

  /** A browser that was led here under another name (DNS rebinding), or from another site, is turned away. */
  #isAddressedToUs({ headers }: IncomingMessage): boolean {
    const { host, origin } = headers;
    if (host === undefined) return false;
    if (host !== this.#knownHost) {
      if (!validateHostHeader(host, this.options.allowedHosts).ok) return false;
      this.#knownHost = host;
    }
    return origin === undefined || validateOriginHeader(origin, this.options.allowedOrigins).ok;
  }

  #fault(res: ServerResponse, error: unknown): void {
    answerRpcError(res, 500, null, toRpcError(error, this.report));
  }
}

function isLimited({ scopes, actions }: Principal): boolean {
  return scopes !== undefined || actions !== undefined;
}

function isListen(body: unknown): boolean {
  return (body as { method?: unknown } | null)?.method === 'subscriptions/listen';
}

function turnAway(res: ServerResponse, { reason, why }: Refused, resource: ProtectedResource): void {
  countRefused(why ?? reason);
  switch (reason) {
    case 'unavailable': {
      const message = 'Whether the token is good cannot be found out now';
      return answerRefusal(res, new CallboardError('unavailable', message, { retryAfterMs: RETRY_MS }));
    }
    case 'forbidden':
      return answerRefusal(res, new CallboardError('forbidden', 'The token is not good for this server'));
    default:
      return answerRefusal(res, new CallboardError('unauthorized'), {
        headers: { 'WWW-Authenticate': resource.challenge(reason) },
      });
  }
}

/** The token is good, and not for this: with these scopes it would be. */
function askForScopes(
  res: ServerResponse,
  scopes: readonly string[],
  resource: ProtectedResource,
  id: RequestId | null = null,
): void {
  countRefused('it has too few scopes');
  const error = new CallboardError('forbidden', 'The token does not have the scopes that this needs');
  answerRefusal(res, error, { id, headers: { 'WWW-Authenticate': resource.stepUp(scopes) } });
}

function refuse(res: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  answerRefusal(res, new CallboardError('invalid_request', message), { status, headers });
}

/** Is everything about the message right but its params? */
function isRequestShaped(body: unknown): boolean {
  const { jsonrpc, id: _id, method: _method, params: _params, ...rest } = body as Record<string, unknown>;
  return jsonrpc === '2.0' && Object.keys(rest).length === 0;
}

/** Node joins a repeated header to one text, except for the few that it knows; none of those is ours. */
function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}
