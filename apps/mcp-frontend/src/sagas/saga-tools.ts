/** The tools with which a caller looks after its sagas, and the resource that one is read as. The front end serves them itself. */
import type { RegisteredAction } from '@callboard/actions';
import { ownTool } from '../own-tool.js';

const MOST_WAIT_MS = 60_000;
const DEFAULT_WAIT_MS = 1_000;

const SAGA_ID = {
  type: 'string',
  minLength: 1,
  maxLength: 256,
  description: 'The saga_id of your calls, or the correlation_id of a declared saga',
};
const WAIT = {
  type: 'integer',
  minimum: 0,
  maximum: MOST_WAIT_MS,
  description: `Milliseconds to wait for its end; ${DEFAULT_WAIT_MS} unless said otherwise`,
};
const REASON = { type: 'string', maxLength: 1_000, description: 'Why; kept with the saga' };

const argumentsOf = (properties: Record<string, unknown>) => ({
  type: 'object',
  properties: { saga_id: SAGA_ID, ...properties },
  required: ['saga_id'],
  additionalProperties: false,
});

export const SAGA_TOOLS = {
  show: ownTool({
    id: 'callboard.saga.show',
    title: 'Show a saga',
    description: 'Says how far one of your sagas is: its phase, its steps, what was undone, and why it stopped.',
    input_schema: argumentsOf({ wait_ms: WAIT }),
    attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
    deadline_ms: MOST_WAIT_MS,
  }),
  complete: ownTool({
    id: 'callboard.saga.complete',
    title: 'Complete a saga',
    description:
      'Says that no more calls will join a saga. It succeeds when all that have joined have; when one of them fails, what was done is undone.',
    input_schema: argumentsOf({ wait_ms: WAIT }),
    attributes: { read_only: false, destructive: false, idempotent: true, open_world: false },
    deadline_ms: MOST_WAIT_MS,
  }),
  abort: ownTool({
    id: 'callboard.saga.abort',
    title: 'Abort a saga',
    description: 'Stops a saga: what runs is cancelled, and what was done is undone, the last first.',
    input_schema: argumentsOf({ wait_ms: WAIT, reason: REASON }),
    attributes: { read_only: false, destructive: true, idempotent: true, open_world: false },
    deadline_ms: MOST_WAIT_MS,
  }),
};

const SAGA_SCHEME = 'saga://';

/** A saga as a resource, for whom `callboard.saga.show` has it. */
export const SAGA_RESOURCE: RegisteredAction = {
  ...ownTool({
    id: 'callboard.saga.read',
    title: 'A saga of yours',
    description:
      'How far one of your sagas is, and what became of it when, as JSON; of a declared one also as a Mermaid flow chart. The saga_id is percent-encoded.',
    input_schema: argumentsOf({ uri: { type: 'string' } }),
    attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
    deadline_ms: MOST_WAIT_MS,
  }),
  surface: {
    kind: 'resource_template',
    name: 'saga',
    uri_template: `${SAGA_SCHEME}{saga_id}`,
    mime_type: 'application/json',
  },
};

/** Is this for the front end to serve, rather than for an action? */
export function isSagaUri(uri: string): boolean {
  return uri.startsWith(SAGA_SCHEME);
}

/** The saga that a URI names; `undefined` when it is not percent-encoded as a name in a URI is. */
export function sagaIdOf(uri: string): string | undefined {
  try {
    return decodeURIComponent(uri.slice(SAGA_SCHEME.length)) || undefined;
  } catch {
    return undefined;
  }
}

/** Is it one of those that the desk of sagas serves? */
export function isOfSagas(action: unknown): boolean {
  return action === SAGA_RESOURCE || Object.values(SAGA_TOOLS).some((tool) => tool === action);
}

export interface SagaArguments {
  saga_id: string;
  wait_ms?: number;
  reason?: string;
}

export function waitOf({ wait_ms }: SagaArguments): number {
  return wait_ms ?? DEFAULT_WAIT_MS;
}
