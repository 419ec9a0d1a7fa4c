/** Answers that the front end writes itself, straight onto Node's response: one JSON body with its length. */
import type { ServerResponse } from 'node:http';
import { CallboardError, ERROR_CODES } from '@callboard/envelope';
import { toRpcError, type FaultReporter, type RpcError } from './protocol-errors.js';

export type RequestId = string | number;

/** The id to answer with: the request's own whenever it can be read. */
export function readableId(body: unknown): RequestId | null {
  if (typeof body !== 'object' || body === null) return null;
  const { id, method } = body as { id?: unknown; method?: unknown };
  if (typeof method !== 'string') return null;
  return typeof id === 'string' || (typeof id === 'number' && Number.isInteger(id)) ? id : null;
}

export function answerJson(res: ServerResponse, status: number, text: string, headers?: Record<string, string>): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
  res.end(text);
}

export function answerRpcError(
  res: ServerResponse,
  status: number,
  id: RequestId | null,
  error: RpcError,
  headers?: Record<string, string>,
): void {
  answerJson(res, status, JSON.stringify({ jsonrpc: '2.0', error, id }), headers);
}

/** Answers with an error of ours under the HTTP status that belongs to its code, or another where HTTP has a better one. */
export function answerRefusal(
  res: ServerResponse,
  error: CallboardError,
  options: { status?: number; id?: RequestId | null; rpcCode?: number; headers?: Record<string, string> } = {},
): void {
  const { retryAfterMs } = error.details;
  const rpcError = toRpcError(error, neverReports);
  answerRpcError(
    res,
    options.status ?? ERROR_CODES[error.code].httpStatus,
    options.id ?? null,
    options.rpcCode === undefined ? rpcError : { ...rpcError, code: options.rpcCode },
    {
      ...options.headers,
      ...(retryAfterMs !== undefined && { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) }),
    },
  );
}

const neverReports: FaultReporter = () => undefined;
