/**
 * Every error code that Callboard gives to a client. Stable: a code is never renamed or given another meaning.
 * `docs/errors.md` lists them; a test holds the table and that page against each other.
 */
export interface ErrorKind {
  /** Does the same request have a chance when it is sent again? */
  retryable: boolean;
  /** Status on REST endpoints, and where MCP asks for an HTTP status. */
  httpStatus: number;
  /** What it means, for the documentation and for problem details; never holds anything of the request. */
  title: string;
}

export const ERROR_CODES = {
  invalid_request: { retryable: false, httpStatus: 400, title: 'The request is not well formed' },
  invalid_arguments: {
    retryable: false,
    httpStatus: 400,
    title: "The arguments do not match the action's input schema",
  },
  invalid_cursor: { retryable: false, httpStatus: 400, title: 'The cursor is none that was given out here' },
  invalid_messaging_field: { retryable: false, httpStatus: 400, title: 'A messaging field has a wrong type or value' },
  unknown_action: { retryable: false, httpStatus: 404, title: 'No such action is registered' },
  not_found: { retryable: false, httpStatus: 404, title: 'No such thing' },
  invalid_event: {
    retryable: false,
    httpStatus: 400,
    title: 'The event is not as CloudEvents and this server ask for',
  },
  invalid_signature: { retryable: false, httpStatus: 401, title: 'The signature is missing, wrong or too old' },
  payload_too_large: { retryable: false, httpStatus: 413, title: 'The request or its result is larger than allowed' },
  unauthorized: { retryable: false, httpStatus: 401, title: 'A valid token is required' },
  forbidden: { retryable: false, httpStatus: 403, title: 'Not allowed' },
  idempotency_conflict: {
    retryable: false,
    httpStatus: 409,
    title: 'The idempotency key was used before with another request',
  },
  deadline_exceeded: { retryable: false, httpStatus: 504, title: 'The deadline passed before the command ended' },
  already_ended: { retryable: false, httpStatus: 409, title: 'The command has ended, or was answered, already' },
  cancelled: { retryable: false, httpStatus: 409, title: 'The command was cancelled' },
  action_failed: { retryable: false, httpStatus: 500, title: 'The action reported a failure' },
  dead_lettered: { retryable: false, httpStatus: 500, title: 'The command gave up after its last attempt' },
  in_doubt: {
    retryable: false,
    httpStatus: 500,
    title: 'The command was interrupted, and whether it had its effect is not known',
  },
  saga_compensated: {
    retryable: false,
    httpStatus: 409,
    title: 'The saga did not succeed, and what it had done is undone',
  },
  saga_failed: {
    retryable: false,
    httpStatus: 500,
    title: 'The saga did not succeed, and something it had done is not undone',
  },
  saga_ended: { retryable: false, httpStatus: 409, title: 'The saga takes no more steps' },
  rate_limited: { retryable: true, httpStatus: 429, title: 'A budget is used up; come again when it has room' },
  overloaded: { retryable: true, httpStatus: 503, title: 'A limit is reached; try again later' },
  unavailable: { retryable: true, httpStatus: 503, title: 'The command could not be accepted now' },
  expression_failed: {
    retryable: false,
    httpStatus: 500,
    title: 'An expression of a saga definition could not be evaluated',
  },
  internal: { retryable: false, httpStatus: 500, title: 'An unexpected fault inside Callboard' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The body of `structuredContent.error`, of JSON-RPC `error.data` and of problem details. */
export interface ErrorBody {
  code: ErrorCode | (string & {});
  message: string;
  retryable: boolean;
  retry_after_ms?: number;
  correlation_id?: string;
  /** The JSON-RPC code under which an action wants its failure to reach the client, instead of as a tool error. */
  rpc_code?: number;
}

/**
 * An error that a client may see. Its message is written by us and never holds arguments, results or secrets.
 * Everything else that is thrown reaches a client as `internal` with an id to search for in the logs.
 */
export class CallboardError extends Error {
  override readonly name = 'CallboardError';

  constructor(
    readonly code: ErrorCode,
    message: string = ERROR_CODES[code].title,
    readonly details: { retryAfterMs?: number; correlationId?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      retryable: this.retryable,
      ...(this.details.retryAfterMs !== undefined && { retry_after_ms: this.details.retryAfterMs }),
      ...(this.details.correlationId !== undefined && { correlation_id: this.details.correlationId }),
    };
  }
}
