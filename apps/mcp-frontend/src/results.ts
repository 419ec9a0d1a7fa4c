/** What a client is answered about a command, whichever way it asks: as the result of its call, of a task, or by correlation id. */
import type { Surface } from '@callboard/actions';
import {
  CallboardError,
  ERROR_CODES,
  type ErrorBody,
  type ErrorCode,
  type JsonObject,
  type Outcome,
} from '@callboard/envelope';
import { ProtocolError } from '@modelcontextprotocol/server';

const CORRELATION_ID = 'io.callboard/correlation_id';
const REPLAYED = 'io.callboard/replayed';

/**
 * The result that an outcome stands for.
 * @throws CallboardError for a resource or a prompt that failed; a tool's failure is a result with `isError`.
 * @throws ProtocolError where the action asked for one
 */
export function toResult(surface: Surface['kind'], outcome: Outcome, replayed = false): JsonObject {
  if (outcome.status !== 'succeeded') {
    const error = outcome.error ?? new CallboardError('internal').toBody();
    if (error.rpc_code !== undefined) {
      throw new ProtocolError(error.rpc_code, error.message, { ...error, correlation_id: outcome.correlation_id });
    }
    if (surface !== 'tool') throw errorFromBody(error);
    return failure(error, outcome.correlation_id, replayed);
  }
  const result = outcome.result ?? {};
  return {
    ...result,
    _meta: { ...(result['_meta'] as JsonObject | undefined), ...resultMeta(outcome.correlation_id, replayed) },
  };
}

/** The result of a resource or a prompt, as a tool can have it. */
export function asToolResult(result: JsonObject): JsonObject {
  if (Array.isArray(result.content)) return result;
  const { _meta, ...rest } = result;
  return { content: [{ type: 'text', text: JSON.stringify(rest) }], structuredContent: rest, _meta };
}

/** The result of a tool that failed. */
export function failure(error: ErrorBody, correlationId: string, replayed = false): JsonObject {
  const body = { ...error, correlation_id: correlationId };
  return {
    content: [{ type: 'text', text: `${body.code}: ${body.message}` }],
    structuredContent: { error: body },
    isError: true,
    _meta: resultMeta(correlationId, replayed),
  };
}

export function resultMeta(correlationId: string, replayed = false): JsonObject {
  return replayed ? { [CORRELATION_ID]: correlationId, [REPLAYED]: true } : { [CORRELATION_ID]: correlationId };
}

function errorFromBody(body: ErrorBody): CallboardError {
  // An action may have codes of its own, which are not ours; the message is its author's.
  const code = Object.hasOwn(ERROR_CODES, body.code) ? (body.code as ErrorCode) : 'action_failed';
  return new CallboardError(code, body.message, {
    ...(body.correlation_id && { correlationId: body.correlation_id }),
  });
}
