/** What the session layer reads of HTTP requests, and of the message in them. */
import type { IncomingMessage } from 'node:http';
import {
  isJSONRPCErrorResponse,
  isJSONRPCNotification,
  isJSONRPCRequest,
  isJSONRPCResultResponse,
  type JSONRPCMessage,
} from '@modelcontextprotocol/server';

export function header(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

export function accepts(req: IncomingMessage, mediaType: string): boolean {
  const accept = header(req, 'accept') ?? '';
  return accept.includes(mediaType) || accept.includes('*/*');
}

/** A client lists both kinds of answer; where both would do, it gets the one that it names first. */
export function prefersEvents(req: IncomingMessage): boolean {
  const accept = header(req, 'accept') ?? '';
  const events = accept.indexOf('text/event-stream');
  const json = accept.indexOf('application/json');
  return events >= 0 && events < json;
}

/** Headers that say how a command is to be run: they go with the request when another replica takes it over. */
export function messagingHeaders(req: IncomingMessage): Record<string, string> {
  const kept = ['idempotency-key', 'traceparent', 'tracestate'];
  return Object.fromEntries(
    Object.keys(req.headers)
      .filter((name) => kept.includes(name) || name.startsWith('x-callboard-'))
      .map((name) => [name, header(req, name) ?? '']),
  );
}

/** The body as a message, if it is one. */
export function readMessage(body: unknown): JSONRPCMessage | undefined {
  const isMessage =
    isJSONRPCRequest(body) ||
    isJSONRPCNotification(body) ||
    isJSONRPCResultResponse(body) ||
    isJSONRPCErrorResponse(body);
  return isMessage ? body : undefined;
}
