/** What came of one attempt to call a tool, and what the caller does next. */
import type { ErrorBody } from '@callboard/envelope';

export type Answer =
  /** The action's result; the call is over. */
  | { kind: 'succeeded'; correlationId: string | undefined; replayed: boolean; text: string }
  /** The server says that the same request may be sent again. */
  | { kind: 'later'; code: string; retryAfterMs?: number; correlationId?: string }
  /** No answer arrived, so nobody outside knows whether the call was accepted; the same idempotency key makes it safe to ask again. */
  | { kind: 'lost'; reason: string }
  /** An error that sending again cannot help; the call is over. */
  | { kind: 'refused'; code: string; message: string; correlationId?: string };

/** The members of a `tools/call` result that matter here. */
export interface ToolResult {
  content?: { type: string; text?: string }[];
  isError?: boolean;
  structuredContent?: { error?: ErrorBody };
  _meta?: { [key: string]: unknown };
}

export function answerOfResult(result: ToolResult): Answer {
  const stated = result._meta?.['io.callboard/correlation_id'];
  const correlationId = typeof stated === 'string' ? stated : undefined;
  if (result.isError) {
    const error = result.structuredContent?.error;
    if (!error) return { kind: 'refused', code: 'none', message: 'an error result without structuredContent.error' };
    return answerOfError({ correlation_id: correlationId, ...error });
  }
  return {
    kind: 'succeeded',
    correlationId,
    replayed: result._meta?.['io.callboard/replayed'] === true,
    text: result.content?.[0]?.text ?? '',
  };
}

export function answerOfError(error: Partial<ErrorBody>): Answer {
  const code = error.code ?? 'none';
  const correlation = error.correlation_id === undefined ? {} : { correlationId: error.correlation_id };
  if (!error.retryable) return { kind: 'refused', code, message: error.message ?? '', ...correlation };
  const wait = error.retry_after_ms === undefined ? {} : { retryAfterMs: error.retry_after_ms };
  return { kind: 'later', code, ...wait, ...correlation };
}
