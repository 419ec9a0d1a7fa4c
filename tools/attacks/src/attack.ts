/**
 * One attack: what is sent, and the exact refusal. After each the streams are looked at: nothing may have been stored, or, where what was
 * asked for is anybody's right, only what is the attacker's own.
 */
import { rawRequest, requestBytes, type HttpAnswer, type HttpHeaders } from '@callboard/testing';
import type { Target } from './target.js';

export interface Answer {
  status: number;
  /** Callboard's own code, or that of JSON-RPC where it has none; absent where HTTP itself refuses. */
  code?: string | number;
  /** All that came back. */
  text: string;
}

export interface Refusal {
  /** 0: the connection is closed without a word. */
  status: number;
  code?: string | number;
}

export interface Attack {
  /** What is tried, in a few words. */
  name: string;
  attempt(target: Target): Promise<Answer>;
  refused: Refusal;
  /**
   * `nothing`, unless said otherwise. `own`: what was asked for is the attacker's right, in his own tenant and under his own name; the
   * attack would be that it reached further.
   */
  stored?: 'nothing' | 'own';
}

type Json = Record<string, unknown>;

interface Said {
  code?: string;
  error?: { code?: number; data?: { code?: string } };
  result?: { structuredContent?: { error?: { code?: string } } };
}

export function answerOf({ status, text, json }: HttpAnswer): Answer {
  const { code, error, result } = (json ?? {}) as Said;
  const said = code ?? error?.data?.code ?? error?.code ?? result?.structuredContent?.error?.code;
  return { status, text, ...(said !== undefined && { code: said }) };
}

/** Bytes as they are, to any port. */
export async function bytes(port: number, sent: string | Buffer | (string | Buffer)[]): Promise<Answer> {
  return answerOf(await rawRequest(port, sent));
}

export const REVISION = '2026-07-28';
const META = {
  'io.modelcontextprotocol/protocolVersion': REVISION,
  'io.modelcontextprotocol/clientInfo': { name: 'attacker', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
};

export interface McpOptions {
  /** Absent: the attacker's own. `null`: none. */
  token?: string | null;
  headers?: HttpHeaders;
  meta?: Json;
  path?: string;
  method?: string;
  /** Instead of the request that the method and its params make. */
  body?: string | Buffer;
}

/** A request of the 2026 revision as bytes. */
export function mcpBytes(target: Target, method: string, params: Json, options: McpOptions = {}): Buffer {
  const { token = target.mallory, headers = {}, meta = {} } = options;
  const named = params['name'] ?? params['uri'] ?? params['taskId'];
  const message = { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: { ...META, ...meta } } };
  return requestBytes(
    options.method ?? 'POST',
    options.path ?? '/mcp',
    {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(token !== null && { authorization: `Bearer ${token}` }),
      'mcp-protocol-version': REVISION,
      'mcp-method': method,
      ...(named !== undefined && { 'mcp-name': headerValue(String(named)) }),
      ...headers,
    },
    options.body ?? JSON.stringify(message),
  );
}

/** As the protocol writes into a header what a header cannot hold. */
function headerValue(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}

export async function mcp(target: Target, method: string, params: Json, options?: McpOptions): Promise<Answer> {
  return bytes(target.mcpPort, mcpBytes(target, method, params, options));
}

export function call(target: Target, name: string, args: unknown, options?: McpOptions): Promise<Answer> {
  return mcp(target, 'tools/call', { name, arguments: args as Json }, options);
}

/** A harmless call, for attacks whose danger is elsewhere in the request. */
export const echo = (target: Target, options?: McpOptions) => call(target, 'demo.echo', { text: 'x' }, options);

/** A request of a 2025 session. */
export function session(
  target: Target,
  id: string,
  options: { method?: string; token?: string; path?: string; headers?: HttpHeaders; body?: object } = {},
): Promise<Answer> {
  const {
    method = 'POST',
    path = '/mcp',
    token = target.mallory,
    body = { jsonrpc: '2.0', id: 1, method: 'ping' },
  } = options;
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    authorization: `Bearer ${token}`,
    'mcp-protocol-version': '2025-11-25',
    'mcp-session-id': id,
    ...options.headers,
  };
  return bytes(target.mcpPort, requestBytes(method, path, headers, method === 'POST' ? JSON.stringify(body) : ''));
}

export interface PostOptions {
  headers?: HttpHeaders;
  method?: string;
  body?: string | Buffer;
}

/** To the results endpoint, with a callback token. */
export function report(target: Target, id: string, token: string | null, options: PostOptions = {}): Promise<Answer> {
  const headers = {
    'content-type': 'application/json',
    ...(token !== null && { authorization: `Bearer ${token}` }),
    ...options.headers,
  };
  const body = options.body ?? JSON.stringify({ status: 'ok', result: 'forged' });
  return bytes(target.mcpPort, requestBytes(options.method ?? 'POST', `/results/${id}`, headers, body));
}

/** To the ingestor. */
export function ingest(target: Target, path: string, headers: HttpHeaders, body: string | Buffer): Promise<Answer> {
  return bytes(target.ingestPort, requestBytes('POST', path, headers, body));
}
