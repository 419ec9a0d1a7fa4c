/**
 * How an attempt at a far side can end when it did not end well, sorted by what may happen next.
 *
 * A far side that was not reached has done nothing: another attempt is safe whatever the action is. One that was reached and then
 * not heard of may have acted: only an action that is read-only or idempotent may be tried again, and every other one ends as
 * `in_doubt`, for a person to look. So adapters decide attempt by attempt, and their actions have several attempts by default.
 */
import {
  ActionError,
  type ActionAttributes,
  type ActionContext,
  type ActionReturn,
  type Handler,
  type RetryPolicy,
} from '@callboard/actions';
import { actionId, type JsonObject } from '@callboard/envelope';
import { ATTRIBUTE, traced } from '@callboard/tracing';

export const ADAPTER_ATTEMPTS = 5;

export function adapterRetry(settings: Partial<RetryPolicy> = {}): Partial<RetryPolicy> {
  return { max_attempts: ADAPTER_ATTEMPTS, ...settings };
}

/** The far side has not had the command, or has done nothing about it; it may have said when to ask again. */
export function notDone(message: string, cause?: unknown, retryAfterMs?: number): ActionError {
  return new ActionError(message, { retryable: true, cause, ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

/** The far side may have acted, and may not. */
export function unknownEnding(attributes: Partial<ActionAttributes>, message: string, cause?: unknown): ActionError {
  const harmless = attributes.read_only === true || attributes.idempotent === true;
  return new ActionError(message, harmless ? { retryable: true, cause } : { code: 'in_doubt', cause });
}

/** A far side is asked, as a span of its own. What a handler did not foresee leaves the far side in an unknown state too, and must not be retried as if it had not. */
export function guarded(attributes: Partial<ActionAttributes>, run: Handler<JsonObject>): Handler<JsonObject> {
  return async (args: JsonObject, context: ActionContext): Promise<ActionReturn> => {
    const { command, attempt } = context;
    const id = actionId(command);
    const about = { [ATTRIBUTE.action]: id, [ATTRIBUTE.attempt]: attempt };
    try {
      return await traced(`call ${id}`, { kind: 'client', attributes: about }, async () => run(args, context));
    } catch (error) {
      if (error instanceof ActionError || context.signal.aborted) throw error;
      throw unknownEnding(attributes, 'The adapter met a fault, and cannot say whether the far side has acted', error);
    }
  };
}

/** Rejects with the signal's reason as soon as that fires; the promise goes on, unobserved. */
export function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Rejects with the signal's reason when that fires first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  return unlessAborted(signal, over).finally(() => clearTimeout(timer));
}
