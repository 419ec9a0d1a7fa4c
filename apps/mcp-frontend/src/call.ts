/**
 * The life of a call in the front end, from an authenticated request to its result. Read `invoke` top to bottom.
 *
 * Guaranteed: what `invoke` answers with a correlation id was accepted durably; the result is that of the command's one outcome.
 * A caller that goes away changes nothing about the command.
 */
import { checkArguments, defaultOrderingKey, type InputKind, type RegisteredAction } from '@callboard/actions';
import {
  CallboardError,
  ENVELOPE_VERSION,
  ERROR_CODES,
  fingerprint,
  idempotentCorrelationId,
  newCorrelationId,
  parseActionId,
  type CommandEnvelope,
  type ErrorBody,
  type ErrorCode,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import type { CommandClient, Submission } from '@callboard/jetstream';
import { readMessagingFields, type MessagingFields } from './messaging-fields.js';

export interface Principal {
  tenantId: string;
  userId: string;
}

export interface Invocation {
  principal: Principal;
  action: RegisteredAction;
  args: JsonObject;
  /** `params._meta` of the request; empty if it has none. */
  meta: Readonly<JsonObject>;
  /** Value of an HTTP header, by its lower-case name. */
  header(name: string): string | undefined;
  /** Kinds of input that this client can give. */
  inputCapabilities: readonly InputKind[];
  /** Answers to what the action asked in an earlier round. */
  inputResponses?: JsonObject;
  /** The action's own state of an earlier round, unsealed. */
  requestState?: string;
  /** Makes this call the same command whenever it is made again, where the caller named no idempotency key. */
  implicitKey?: string;
  /** Hears of all progress, in order and before the result; with a number that is the same whoever hears the fact. */
  onProgress?(fact: Progress, sequence: number): void;
  /** Is given what to call, at once or later, when the caller is gone: nobody waits any more. The command goes on. */
  onGone?(leave: () => void): void;
}

const CORRELATION_ID = 'io.callboard/correlation_id';
const REPLAYED = 'io.callboard/replayed';

export class Invoker {
  constructor(private readonly commands: CommandClient) {}

  /**
   * Runs an action as a durable command and returns its MCP result.
   * @throws CallboardError for a resource or a prompt that failed; a tool's failure is a result with `isError`.
   */
  async invoke(call: Invocation): Promise<JsonObject> {
    let correlationId = newCorrelationId();
    try {
      const fields = readMessagingFields(call.meta, call.header);
      const idempotencyKey = fields.idempotencyKey ?? call.implicitKey;
      if (idempotencyKey !== undefined) correlationId = correlationIdFor(call, idempotencyKey);
      checkArguments(call.action, call.args);
      const command = toCommand(call, fields, correlationId, idempotencyKey);
      const submission = await this.commands.submit(command, call);
      const outcome = await untilGone(submission, call);
      // A request that another replica carries on joins its own command: the caller called once, and is told so.
      const replayed = submission.replayed && fields.idempotencyKey !== undefined;
      return toResult(call.action, outcome, replayed);
    } catch (error) {
      if (!(error instanceof CallboardError) || call.action.surface.kind !== 'tool') throw error;
      return failure(error.toBody(), error.details.correlationId ?? correlationId);
    }
  }
}

/** The envelope of a call: what the caller said, and for the rest the action's defaults. */
function toCommand(
  call: Invocation,
  fields: MessagingFields,
  correlationId: string,
  idempotencyKey: string | undefined,
): CommandEnvelope {
  const { principal, action, args } = call;
  const name = parseActionId(action.id);
  const deadlineMs = fields.deadlineMs ?? action.deadline_ms;
  const now = Date.now();
  const traceparent = call.meta['traceparent'] ?? call.header('traceparent');
  const tracestate = call.meta['tracestate'] ?? call.header('tracestate');
  const command: CommandEnvelope = {
    envelope_version: ENVELOPE_VERSION,
    correlation_id: correlationId,
    tenant_id: principal.tenantId,
    user_id: principal.userId,
    tool: name.tool,
    method: name.method,
    args,
    ordering_key: fields.orderingKey ?? defaultOrderingKey(action, { args, userId: principal.userId, correlationId }),
    deadline_ms: deadlineMs,
    priority: fields.priority ?? 'normal',
    accept_partials: call.onProgress !== undefined,
    accept_async: fields.acceptAsync ?? false,
    issued_at: new Date(now).toISOString(),
    deadline_at: new Date(now + deadlineMs).toISOString(),
  };
  // Set one by one: spreading each into the literal makes a temporary object a field, on every call.
  if (idempotencyKey !== undefined) command.idempotency_key = idempotencyKey;
  if (fields.sagaId !== undefined) command.saga_id = fields.sagaId;
  if (fields.sagaStep !== undefined) command.saga_step = fields.sagaStep;
  if (fields.compensation) command.compensation = fields.compensation;
  if (isTraceparent(traceparent)) {
    command.traceparent = traceparent;
    if (typeof tracestate === 'string' && tracestate.length <= 512) command.tracestate = tracestate;
  }
  if (call.inputCapabilities.length > 0) command.input_capabilities = [...call.inputCapabilities];
  if (call.inputResponses) command.input_responses = call.inputResponses;
  if (call.requestState !== undefined) command.request_state = call.requestState;
  return command;
}

function correlationIdFor(call: Invocation, idempotencyKey: string): string {
  const action = parseActionId(call.action.id);
  return idempotentCorrelationId({ ...call.principal, action, idempotencyKey: idempotencyKey + roundOf(call) });
}

/** The rounds of a call share its idempotency key, and each is a command of its own: what was answered tells them apart. */
function roundOf({ inputResponses, requestState }: Invocation): string {
  if (!inputResponses && requestState === undefined) return '';
  return `:${fingerprint([inputResponses ?? null, requestState ?? null])}`;
}

function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value);
}

function toResult(action: RegisteredAction, outcome: Outcome, replayed: boolean): JsonObject {
  if (outcome.status !== 'succeeded') {
    const error = outcome.error ?? new CallboardError('internal').toBody();
    if (action.surface.kind !== 'tool') throw errorFromBody(error);
    return failure(error, outcome.correlation_id, replayed);
  }
  const result = outcome.result ?? {};
  return {
    ...result,
    _meta: { ...(result['_meta'] as JsonObject | undefined), ...resultMeta(outcome.correlation_id, replayed) },
  };
}

function failure(error: ErrorBody, correlationId: string, replayed = false): JsonObject {
  const body = { ...error, correlation_id: correlationId };
  return {
    content: [{ type: 'text', text: `${body.code}: ${body.message}` }],
    structuredContent: { error: body },
    isError: true,
    _meta: resultMeta(correlationId, replayed),
  };
}

function resultMeta(correlationId: string, replayed: boolean): JsonObject {
  return replayed ? { [CORRELATION_ID]: correlationId, [REPLAYED]: true } : { [CORRELATION_ID]: correlationId };
}

function errorFromBody(body: ErrorBody): CallboardError {
  // An action may have codes of its own, which are not ours; the message is its author's.
  const code = Object.hasOwn(ERROR_CODES, body.code) ? (body.code as ErrorCode) : 'action_failed';
  return new CallboardError(code, body.message, {
    ...(body.correlation_id && { correlationId: body.correlation_id }),
  });
}

/** Waits for the outcome, or until the caller is gone. */
function untilGone(submission: Submission, call: Invocation): Promise<Outcome> {
  if (!call.onGone) return submission.outcome;
  return new Promise((resolve, reject) => {
    submission.outcome.then(resolve, reject);
    call.onGone!(() => {
      submission.release();
      reject(new CallboardError('cancelled', 'The caller went away; the command goes on'));
    });
  });
}
