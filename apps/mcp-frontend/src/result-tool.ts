/**
 * A tool that the front end serves itself: fetches the result of a call that was accepted for later. It is for the many clients
 * that do not know tasks.
 */
import { checkArguments } from '@callboard/actions';
import type { JsonObject, Progress } from '@callboard/envelope';
import { ownTool } from './own-tool.js';
import { resultMeta } from './results.js';

const DEFAULT_WAIT_MS = 1_000;
const MOST_WAIT_MS = 60_000;

export const RESULT_TOOL = ownTool({
  id: 'callboard.result',
  title: 'Result of an accepted call',
  description:
    'Returns the result of a call that was answered with status "accepted". While it is still running, says so, with its last progress: call again then.',
  input_schema: {
    type: 'object',
    properties: {
      correlation_id: { type: 'string', description: 'The correlation_id of the accepted call' },
      wait_ms: {
        type: 'integer',
        minimum: 0,
        maximum: MOST_WAIT_MS,
        description: `Milliseconds to wait for the result; ${DEFAULT_WAIT_MS} unless said otherwise`,
      },
    },
    required: ['correlation_id'],
    additionalProperties: false,
  },
  attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
  deadline_ms: MOST_WAIT_MS,
});

/** @throws CallboardError `invalid_arguments` */
export function readResultArguments(args: JsonObject): { correlationId: string; waitMs: number } {
  checkArguments(RESULT_TOOL, args);
  const { correlation_id, wait_ms } = args as { correlation_id: string; wait_ms?: number };
  return { correlationId: correlation_id, waitMs: wait_ms ?? DEFAULT_WAIT_MS };
}

/** What a call is answered that was accepted and takes longer than its caller wants to wait. */
export function acceptedForLater(correlationId: string, replayed: boolean): JsonObject {
  const arguments_ = JSON.stringify({ correlation_id: correlationId });
  return {
    content: [
      {
        type: 'text',
        text: `Accepted; it is still running. To get the result, call the tool ${RESULT_TOOL.id} with ${arguments_}`,
      },
    ],
    structuredContent: { status: 'accepted', correlation_id: correlationId },
    _meta: resultMeta(correlationId, replayed),
  };
}

/** What the tool answers about a command that has not ended. */
export function stillRunning(
  correlationId: string,
  how: { progress: Progress | undefined; waitsForInput: boolean },
): JsonObject {
  const status = how.waitsForInput ? 'input_required' : 'running';
  const structuredContent: JsonObject = { status, correlation_id: correlationId };
  let text = how.waitsForInput
    ? 'It waits for input that this client cannot give.'
    : `Still running. Call ${RESULT_TOOL.id} again to get the result.`;
  if (how.progress?.kind === 'progress') {
    const { progress, total, message } = how.progress;
    structuredContent.progress = {
      progress,
      ...(total !== undefined && { total }),
      ...(message !== undefined && { message }),
    };
    text += ` Progress: ${progress}${total === undefined ? '' : ` of ${total}`}${message === undefined ? '' : ` (${message})`}.`;
  }
  return { content: [{ type: 'text', text }], structuredContent, _meta: resultMeta(correlationId) };
}
