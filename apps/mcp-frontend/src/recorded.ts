/**
 * What the front end records, beside what becomes of commands: that is told by who has them accepted, runs them and ends them.
 *
 * A message that gives something away, or changes what a client is given later, is on record before it is served; which they are is said here, in one
 * table, for both eras. A request that was refused is noted by the status that it was answered with.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { person, type Principal } from '@callboard/access';
import { refusedRequest, type Audit, type AuditFact, type AuditKind } from '@callboard/audit';
import type { CallboardError, ErrorCode, JsonObject } from '@callboard/envelope';
import type { Invocation } from './call.js';

/** Who asks, once that is known. */
export interface Asking {
  principal?: Principal;
}

/** A call that was answered with an error of ours. What a limit refused can come again and again, and is counted. */
export function refusedCall(
  { principal, action }: Pick<Invocation, 'principal' | 'action'>,
  { code, details }: CallboardError,
  correlationId: string,
): AuditFact {
  return {
    kind: code === 'overloaded' || code === 'rate_limited' ? 'limit' : code === 'forbidden' ? 'denial' : 'call',
    what: 'refused',
    tenantId: principal.tenantId,
    who: person(principal),
    correlationId: details.correlationId ?? correlationId,
    action: action.id,
    code,
  };
}

/** The outcome of a command was fetched by its handle. */
export function fetchedResult({ principal }: Pick<Invocation, 'principal'>, correlationId: string): AuditFact {
  return { kind: 'read', what: 'result', tenantId: principal.tenantId, who: person(principal), correlationId };
}

/** Events were given to a client. */
export function deliveredEvents(principal: Principal, how: string, events: readonly string[]): AuditFact {
  const { tenantId } = principal;
  return { kind: 'delivery', what: how, tenantId, who: person(principal), details: { events, count: events.length } };
}

/** What is recorded of a method before it is served. Calls are recorded as commands; what is not here gives nothing away. */
const RECORDED: Record<string, AuditKind> = {
  initialize: 'session',
  'server/discover': 'session',
  'tools/list': 'list',
  'prompts/list': 'list',
  'resources/list': 'list',
  'resources/templates/list': 'list',
  'events/list': 'list',
  'resources/read': 'read',
  'tasks/get': 'read',
  'tasks/cancel': 'call',
  'tasks/update': 'call',
  'resources/subscribe': 'subscription',
  'resources/unsubscribe': 'subscription',
  'subscriptions/listen': 'subscription',
};

/** Says only what the server is: it is answered also while nothing can be recorded, so that a caller hears with what to come again. */
export function waitsForItsRecord({ what }: AuditFact): boolean {
  return what !== 'server/discover';
}

/** The record of a message, if there is one before it is served. */
export function askedFor(
  body: unknown,
  principal: Principal,
  server: string,
  req: IncomingMessage,
): AuditFact | undefined {
  const { method, params } = (body ?? {}) as { method?: unknown; params?: JsonObject };
  const kind = typeof method === 'string' && Object.hasOwn(RECORDED, method) ? RECORDED[method] : undefined;
  if (!kind) return undefined;
  const target = params?.['uri'] ?? params?.['taskId'];
  return requestFact(kind, method as string, principal, server, req, typeof target === 'string' ? target : undefined);
}

/** A stream of a session was opened, or a session ended: requests without a message. */
export function sessionFact(req: IncomingMessage, principal: Principal, server: string): AuditFact {
  return requestFact('session', req.method === 'DELETE' ? 'ended' : 'stream', principal, server, req);
}

function requestFact(
  kind: AuditKind,
  what: string,
  principal: Principal,
  server: string,
  req: IncomingMessage,
  target?: string,
): AuditFact {
  return {
    kind,
    what,
    tenantId: principal.tenantId,
    who: person(principal, req.socket.remoteAddress),
    ...(server !== '' && { details: { server } }),
    ...(target !== undefined && { target }),
  };
}

/** The code of a refusal by its HTTP status, for whoever answers in the words of a protocol of its own. */
const CODES = new Map<number, ErrorCode>([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not_found'],
  [413, 'payload_too_large'],
  [429, 'rate_limited'],
  [503, 'overloaded'],
]);

/** Notes what `res` answers, when it is a refusal. `asking` holds who asks, once that is known. */
export function noteRefusal(audit: Audit, req: IncomingMessage, res: ServerResponse, asking: Asking = {}): void {
  res.once('finish', () => {
    const { statusCode: status } = res;
    if (status < 400 || status === 500) return;
    const { principal } = asking;
    const code = CODES.get(status) ?? 'invalid_request';
    const known = principal && { tenantId: principal.tenantId, who: person(principal) };
    audit.note(refusedRequest({ status, code, address: req.socket.remoteAddress, ...known }));
  });
}
