/**
 * Where Callboard's errors become JSON-RPC errors; nowhere else. A client sees a stable code and a message that we wrote; whatever
 * else is thrown becomes `internal` with an id that is also in the log.
 */
import { randomUUID } from 'node:crypto';
import { CallboardError, type ErrorCode } from '@callboard/envelope';
import { ProtocolError } from '@modelcontextprotocol/server';

export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  headerMismatch: -32020,
  missingCapability: -32021,
  /** Only for 2025-era clients; the 2026 revision says `invalidParams`, and the SDK rewrites it there. */
  resourceNotFound: -32002,
} as const;

const INVALID_PARAMS = new Set<ErrorCode>([
  'invalid_arguments',
  'invalid_cursor',
  'invalid_messaging_field',
  'unknown_action',
  'not_found',
  'idempotency_conflict',
]);
const INVALID_REQUEST = new Set<ErrorCode>(['invalid_request', 'payload_too_large', 'unauthorized', 'forbidden']);

export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}

/** Tells the log of a fault under the id that the client was given. */
export type FaultReporter = (fault: { errorId: string; error: unknown }) => void;

export function toRpcError(error: unknown, report: FaultReporter): RpcError {
  if (error instanceof ProtocolError) {
    return { code: error.code, message: error.message, ...(error.data !== undefined && { data: error.data }) };
  }
  if (error instanceof CallboardError) {
    return { code: rpcCode(error.code), message: error.message, data: error.toBody() };
  }
  const errorId = randomUUID();
  report({ errorId, error });
  const internal = new CallboardError('internal');
  return { code: RPC.internal, message: internal.message, data: { ...internal.toBody(), error_id: errorId } };
}

function rpcCode(code: ErrorCode): number {
  if (INVALID_PARAMS.has(code)) return RPC.invalidParams;
  return INVALID_REQUEST.has(code) ? RPC.invalidRequest : RPC.internal;
}
