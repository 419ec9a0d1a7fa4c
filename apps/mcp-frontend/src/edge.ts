/**
 * The edge: everything that is checked before anything else looks at a request, cheapest first, in the order of `handle` and then
 * `#receive`. What gets past it is one JSON-RPC message from a known principal, of a known era, within every limit.
 *
 * No answer of the edge repeats anything of the request but its id, and none needs more of it in memory than the limits allow.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CallboardError } from '@callboard/envelope';
import { isNestedDeeperThan, parseJson, readBody, takeRoom, type Limit } from '@callboard/http';
import {
  classifyInboundRequest,
  isJsonContentType,
  validateHostHeader,
  validateOriginHeader,
} from '@modelcontextprotocol/server';
import { answerRefusal, answerRpcError, readableId } from './answers.js';
import type { Authenticator } from './auth.js';
import type { Principal } from './call.js';
import type { ModernFront } from './modern.js';
import { MODERN_REVISION, recognise } from './plain-request.js';
import { RPC, toRpcError, type FaultReporter } from './protocol-errors.js';

/** Serves 2025-era sessions. `body` is the parsed message of a POST; GET and DELETE have none. */
export interface SessionFront {
  serve(req: IncomingMessage, res: ServerResponse, principal: Principal, body?: unknown): void;
}

export interface EdgeOptions {
  /** Host names, without ports, under which this server may be addressed. */
  allowedHosts: string[];
  /** Host names of browser origins that may call. */
  allowedOrigins: string[];
  maxBodyBytes: number;
  maxDepth: number;
}

const SESSION_METHODS = ['GET', 'POST', 'DELETE'];

export class McpEdge {
  /** The Host of the last request that was let through; nearly always the one of the next. */
  #knownHost: string | undefined;

  constructor(
    private readonly options: EdgeOptions,
    private readonly authenticator: Authenticator,
    private readonly requests: Limit,
    /** Bytes of the bodies of all requests that are being served. */
    private readonly bodies: Limit,
    private readonly modern: ModernFront,
    private readonly sessions: SessionFront,
    private readonly report: FaultReporter,
  ) {}

  /** Does the request belong to an MCP server? Everything else on the port is somebody else's. */
  static isMcp(req: IncomingMessage): boolean {
    const { url = '' } = req;
    return url === '/mcp' || url.startsWith('/mcp?') || url.startsWith('/mcp/');
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    try {
      this.#admit(req, res);
    } catch (error) {
      this.#fault(res, error);
    }
  }

  #admit(req: IncomingMessage, res: ServerResponse): void {
    const { headers, method = '' } = req;
    if (!this.#isAddressedToUs(req)) {
      return answerRefusal(res, new CallboardError('forbidden', 'This Host or Origin is not allowed'));
    }
    const authentication = this.authenticator.authenticate(headers.authorization);
    if (!authentication.ok) {
      return answerRefusal(res, new CallboardError('unauthorized'), {
        headers: { 'WWW-Authenticate': authentication.challenge },
      });
    }
    const { principal } = authentication;
    if (req.url !== '/mcp' && !req.url?.startsWith('/mcp?')) {
      return answerRefusal(res, new CallboardError('not_found', 'There is no MCP server of that name'));
    }
    // The 2026 revision knows nothing but POST; without its header a request may belong to a session.
    const allowed = headers['mcp-protocol-version'] === MODERN_REVISION ? ['POST'] : SESSION_METHODS;
    if (!allowed.includes(method)) return refuse(res, 405, 'Method not allowed', { Allow: allowed.join(', ') });
    if (method !== 'POST') return this.sessions.serve(req, res, principal);
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
        else if (end.kind === 'read') this.#receive(req, res, end.bytes, principal);
      } catch (error) {
        this.#fault(res, error);
      }
    });
  }

  #receive(req: IncomingMessage, res: ServerResponse, bytes: Buffer, principal: Principal): void {
    if (isNestedDeeperThan(this.options.maxDepth, bytes)) {
      return refuse(res, 400, `The request is nested deeper than ${this.options.maxDepth} levels`);
    }
    const body = parseJson(bytes);
    if (body === undefined) {
      return answerRpcError(res, 400, null, { code: RPC.parseError, message: 'Parse error: the body is not JSON' });
    }
    if (Array.isArray(body)) return refuse(res, 400, 'Batches are not supported');
    const { headers } = req;
    const plain = recognise(body, headers);
    if (plain) return this.modern.serve(req, res, body, principal, plain);
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
        return this.modern.serve(req, res, body, principal, route);
      case 'legacy':
        if (route.reason === 'response' && headers['mcp-protocol-version'] === MODERN_REVISION) {
          return refuse(res, 400, 'There is nothing to respond to');
        }
        return this.sessions.serve(req, res, principal, body);
    }
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
