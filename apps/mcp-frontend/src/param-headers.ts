/**
 * Arguments that the 2026 revision wants mirrored in `Mcp-Param-…` headers (`x-mcp-header` in a tool's input schema), so that a
 * proxy can route by them without reading the body. The SDK checks them only for servers built with its high-level class.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { JsonObject } from '@callboard/envelope';

export interface ParamHeader {
  path: readonly string[];
  /** Lower case, as Node has header names. */
  header: string;
  numeric: boolean;
}

export interface HeaderMismatch {
  header: string;
  body: string;
}

const SENTINEL = /^=\?base64\?(.*)\?=$/s;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const DECIMAL = /^-?\d+(\.\d+)?$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The mirrored arguments of an input schema, at any depth of `properties`. */
export function paramHeaders(schema: unknown, path: readonly string[] = []): ParamHeader[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { properties, type, 'x-mcp-header': name } = schema as JsonObject;
  const own: ParamHeader[] =
    typeof name === 'string' && path.length > 0
      ? [{ path, header: `mcp-param-${name.toLowerCase()}`, numeric: type === 'integer' || type === 'number' }]
      : [];
  const nested = typeof properties === 'object' && properties !== null ? Object.entries(properties) : [];
  return [...own, ...nested.flatMap(([key, child]) => paramHeaders(child, [...path, key]))];
}

/** The text of a header value, decoded when it is a Base64 sentinel; `undefined` when it is a broken one. */
export function decodeHeaderValue(value: string): string | undefined {
  const payload = SENTINEL.exec(value)?.[1];
  if (payload === undefined) return value;
  if (!BASE64.test(payload)) return undefined;
  try {
    return utf8.decode(Buffer.from(payload, 'base64'));
  } catch {
    return undefined;
  }
}

/** The first header that does not say what the arguments say. A header without its argument is nobody's business. */
export function mismatchedParam(
  declared: readonly ParamHeader[],
  args: JsonObject,
  headers: IncomingHttpHeaders,
): HeaderMismatch | undefined {
  for (const { path, header, numeric } of declared) {
    const value = path.reduce<unknown>((node, key) => (node as JsonObject | undefined | null)?.[key], args);
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') continue;
    const sent = headers[header];
    if (typeof sent !== 'string') return { header, body: `arguments.${path.join('.')} is not mirrored` };
    const decoded = decodeHeaderValue(sent);
    if (decoded === undefined) return { header, body: 'the header is not valid Base64' };
    const asNumber = numeric && typeof value === 'number' && DECIMAL.test(decoded);
    if (asNumber ? Number(decoded) !== value : decoded !== String(value)) {
      return { header, body: `arguments.${path.join('.')} has another value` };
    }
  }
  return undefined;
}
