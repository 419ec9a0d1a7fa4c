/**
 * What a Backstage that has not answered 2xx says, sorted by what may happen next. Read `refusal` top to bottom.
 *
 * Backstage says `{error: {name, message, cause?}}`. The message goes on to the caller where the name is one of Backstage's own errors,
 * whose messages are written for whoever calls, as its own MCP endpoint does; of any other only the status does. Never a stack.
 */
import { ActionError, type ActionAttributes } from '@callboard/actions';
import { notDone, unknownEnding } from '../endings.js';

export interface Answer {
  status: number;
  /** The value of `Retry-After`. */
  retryAfter: string | null;
  body: string;
}

const MAX_MESSAGE_CHARS = 1_000;
/** An action that answers 500 again and again has a fault, and no patience mends that. */
const FAULTS_BELIEVED = 5;
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** The errors of `@backstage/errors`. */
const BACKSTAGES_OWN = new Set([
  'AuthenticationError',
  'ConflictError',
  'InputError',
  'NotAllowedError',
  'NotFoundError',
  'NotImplementedError',
  'NotModifiedError',
  'ResponseError',
  'ServiceUnavailableError',
]);

const CODES: Record<number, string> = {
  400: 'invalid_arguments',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  413: 'payload_too_large',
};

/**
 * @param who as the caller reads it
 * @param attributes of the action that was asked for
 * @param attempt which attempt at the command this was
 */
export function refusal(
  who: string,
  answer: Answer,
  attributes: Partial<ActionAttributes>,
  attempt: number,
): ActionError {
  const { status } = answer;
  const said = messageOf(answer.body);
  const message = said === undefined ? `${who} answered ${status}` : `${who}: ${said}`;
  if (status === 429 || status === 503) return notDone(message, undefined, retryAfterMs(answer.retryAfter));
  // Nothing of Backstage has said this: it starts, and has no routes yet, or something in front of it does not find it.
  if (status === 404 && said === undefined) return new ActionError(message, { code: 'not_found', retryable: true });
  // Backstage calls it the caller's mistake when the output of an action does not fit its own schema; the action has acted.
  if (status === 400 && said?.startsWith('Invalid output from action')) return new ActionError(message);
  if (status < 500 || status === 501) {
    const code = CODES[status];
    return new ActionError(message, code === undefined ? {} : { code });
  }
  const ending = unknownEnding(attributes, message);
  return ending.retryable && status === 500 && attempt >= FAULTS_BELIEVED ? new ActionError(message) : ending;
}

interface SerializedError {
  name?: unknown;
  message?: unknown;
  cause?: SerializedError;
}

function messageOf(body: string): string | undefined {
  let error: SerializedError | undefined;
  try {
    error = (JSON.parse(body) as { error?: SerializedError } | null)?.error;
  } catch {
    return undefined;
  }
  if (typeof error?.name !== 'string' || !BACKSTAGES_OWN.has(error.name)) return undefined;
  // What another plug-in answered to the one that was asked.
  const told = error.name === 'ResponseError' && typeof error.cause?.message === 'string' ? error.cause : error;
  return typeof told.message === 'string' ? bounded(told.message) : undefined;
}

/** What of a message of Backstage may be told: the cause of a wrong input quotes what was wrong with it; behind that there may be a stack. */
export function bounded(message: string): string | undefined {
  const [text] = message.split(/; caused by |\n\s+at /, 1);
  return text!.trim().slice(0, MAX_MESSAGE_CHARS) || undefined;
}

/** Seconds, or a date; what is neither, or is past, says nothing. */
function retryAfterMs(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? Math.min(ms, LONGEST_RETRY_AFTER_MS) : undefined;
}
