/**
 * Recognises the requests that nearly all requests are, without a schema: calling or listing tools on the 2026 revision, with an
 * envelope of nothing unusual. What it recognises the SDK would have classified the same; what it does not, however valid, it
 * leaves to the SDK. Measured: 13 of the 59 microseconds that the front end spends on such a request.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { LOG_LEVELS, type JsonObject, type LogLevel } from '@callboard/envelope';
import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  LOG_LEVEL_META_KEY,
  PROTOCOL_VERSION_META_KEY,
  type InboundModernRoute,
  type JSONRPCRequest,
} from '@modelcontextprotocol/server';
import { isObject } from './is-object.js';

export const MODERN_REVISION = '2026-07-28';
const CLASSIFICATION = Object.freeze({ era: 'modern', revision: MODERN_REVISION } as const);
const PLAIN_CAPABILITIES = new Set(['elicitation', 'sampling', 'roots']);

export function recognise(body: unknown, headers: IncomingHttpHeaders): InboundModernRoute | undefined {
  if (headers['mcp-protocol-version'] !== MODERN_REVISION || !isObject(body)) return undefined;
  const { jsonrpc, id, method, params } = body;
  if (jsonrpc !== '2.0' || (method !== 'tools/call' && method !== 'tools/list')) return undefined;
  if (headers['mcp-method'] !== method || !isRequestId(id) || Object.keys(body).length !== 4) return undefined;
  if (!isObject(params) || !isObject(params._meta) || !isPlainEnvelope(params._meta)) return undefined;
  return {
    kind: 'modern',
    messageKind: 'request',
    message: body as unknown as JSONRPCRequest,
    classification: CLASSIFICATION,
  };
}

function isPlainEnvelope(meta: JsonObject): boolean {
  const { progressToken } = meta;
  if (meta[PROTOCOL_VERSION_META_KEY] !== MODERN_REVISION) return false;
  if (progressToken !== undefined && !isRequestId(progressToken)) return false;
  const logLevel = meta[LOG_LEVEL_META_KEY];
  if (logLevel !== undefined && !LOG_LEVELS.includes(logLevel as LogLevel)) return false;
  const capabilities = meta[CLIENT_CAPABILITIES_META_KEY];
  if (!isObject(capabilities)) return false;
  for (const kind in capabilities) {
    const declared = capabilities[kind];
    if (!PLAIN_CAPABILITIES.has(kind) || !isObject(declared) || Object.keys(declared).length > 0) return false;
  }
  const client = meta[CLIENT_INFO_META_KEY];
  if (client === undefined) return !(CLIENT_INFO_META_KEY in meta);
  if (!isObject(client) || Object.keys(client).length !== 2) return false;
  return typeof client.name === 'string' && typeof client.version === 'string';
}

function isRequestId(value: unknown): boolean {
  return typeof value === 'string' || Number.isSafeInteger(value);
}
