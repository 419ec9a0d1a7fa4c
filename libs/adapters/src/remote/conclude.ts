/** The answer of a far side, as what a handler returns or throws. */
import { ActionError, type ActionReturn } from '@callboard/actions';
import type { FarSideAnswer, JsonObject } from '@callboard/envelope';

/** @throws ActionError when the far side says that it failed */
export function conclude(answer: FarSideAnswer): ActionReturn {
  if (answer.status === 'ok') return toReturn(answer.result);
  const {
    code,
    message = 'The far side reported a failure',
    retryable,
    retry_after_ms: retryAfterMs,
    final,
  } = answer.error;
  throw new ActionError(message, {
    ...(code !== undefined && { code }),
    ...(retryable !== undefined && { retryable }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(final !== undefined && { final }),
  });
}

/** Any JSON as what a handler returns: text and objects are what they are, everything else is its JSON. */
export function toReturn(result: unknown): ActionReturn {
  if (typeof result === 'string') return result;
  if (result === undefined || result === null) return { content: [] };
  return typeof result === 'object' && !Array.isArray(result) ? (result as JsonObject) : JSON.stringify(result);
}
