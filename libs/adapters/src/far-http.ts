/** What requests to far sides have in common: the headers that tell of a command, and answers of bounded size. */
import { ActionError, type ActionContext } from '@callboard/actions';
import { LIMITS } from '@callboard/envelope';
import { traceOf } from './trace-of.js';

export function commandHeaders({
  command,
  correlationId,
  idempotencyKey,
  attempt,
  fence,
}: ActionContext): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    'Idempotency-Key': idempotencyKey,
    'X-Callboard-Correlation-Id': correlationId,
    'X-Callboard-Attempt': String(attempt),
    'X-Callboard-Fence': String(fence),
    ...traceOf(command),
  };
}

/**
 * A body of at most what an outcome can hold.
 * @param broken what it means when the body does not come whole
 * @throws ActionError `payload_too_large`
 */
export async function boundedText(
  response: Response,
  signal: AbortSignal,
  broken: () => ActionError | undefined,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength;
      if (size > LIMITS.outcomeBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw broken() ?? error;
  }
  if (size > LIMITS.outcomeBytes)
    throw new ActionError('The far side answered more than can be kept', { code: 'payload_too_large' });
  return Buffer.concat(chunks).toString('utf8');
}
