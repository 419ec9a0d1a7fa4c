/** Answers of REST endpoints, straight onto Node's response: JSON with its length, or RFC 9457 problem details with our codes. */
import type { ServerResponse } from 'node:http';
import { ERROR_CODES, type CallboardError } from '@callboard/envelope';

export interface ProblemOptions {
  /** Where HTTP has a status that says more than the one of the code. */
  status?: number;
  headers?: Record<string, string>;
  /** More members of the problem. */
  more?: object;
}

/** Repeats nothing of the request. Does nothing when an answer was given already, or nobody is there to take it. */
export function answerProblem(res: ServerResponse, error: CallboardError, options: ProblemOptions = {}): void {
  const { title, httpStatus } = ERROR_CODES[error.code];
  const { status = httpStatus, headers, more } = options;
  const { retryAfterMs } = error.details;
  sendJson(
    res,
    status,
    { type: `urn:callboard:error:${error.code}`, title, status, detail: error.message, ...error.toBody(), ...more },
    {
      'Content-Type': 'application/problem+json',
      ...headers,
      ...(retryAfterMs !== undefined && { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) }),
    },
  );
}

export function sendJson(
  res: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  if (res.headersSent || res.destroyed) return;
  const text = JSON.stringify(body);
  res
    .writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers })
    .end(text);
}
