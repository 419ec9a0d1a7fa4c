/**
 * The life of a call in the front end, from an authenticated request to its answer. Read `invoke` top to bottom.
 *
 * Guaranteed: what `invoke` answers with a correlation id was accepted durably; the result is that of the command's one outcome; a
 * handle (a task, an accepted call, a question that names its command) is given when the command may outlive this process, not before.
 *
 * A caller that goes away is one of two things. It no longer wants the result: then its command is cancelled, unless it said beforehand
 * that it may come back for it (an idempotency key, `accept_async`). Or it is only cut off from this replica: then the command goes on.
 */
import { bearerToken, commandCallerOf, type Principal } from '@callboard/access';
import {
  checkArguments,
  defaultOrderingKey,
  inputKindOf,
  type InputKind,
  type RegisteredAction,
} from '@callboard/actions';
import type { Audit } from '@callboard/audit';
import {
  CallboardError,
  ENVELOPE_VERSION,
  actionId,
  fingerprint,
  idempotentCorrelationId,
  newCorrelationId,
  parseActionId,
  type CommandEnvelope,
  type JsonObject,
  type Outcome,
} from '@callboard/envelope';
import { STREAM, type CallerTokens, type CommandClient, type OpenInputs, type Submission } from '@callboard/jetstream';
import type { Admission } from './admission.js';
import { calledIn, tracedCall, tracedSubmit, tracedWait } from './call-trace.js';
import type { EventCalls } from './events/event-calls.js';
import { isEventTool } from './events/event-tools.js';
import type { FairShare } from './fair-share.js';
import { toolOf, type Handles, type Held } from './handles.js';
import type { McpServer } from './mcp-server.js';
import { readMessagingFields, type MessagingFields } from './messaging-fields.js';
import type { SagaDesk } from './sagas/saga-desk.js';
import { isOfSagas } from './sagas/saga-tools.js';
import { RESULT_TOOL, acceptedForLater, readResultArguments, stillRunning } from './result-tool.js';
import { fetchedResult, refusedCall } from './recorded.js';
import type { ServerAccess } from './server-access.js';
import { asToolResult, failure, resultMeta, toResult } from './results.js';
import { createdTask } from './tasks.js';
import { Waiting, isOutcome, type Turn, type Waiter } from './waiting.js';

export interface Invocation extends Waiter {
  principal: Principal;
  action: RegisteredAction;
  args: JsonObject;
  /** `params._meta` of the request; empty if it has none. */
  meta: Readonly<JsonObject>;
  /** Value of an HTTP header, by its lower-case name. */
  header(name: string): string | undefined;
  /** Kinds of input that this client can give. */
  inputCapabilities: readonly InputKind[];
  /** Did the client say in this request that it takes a task for an answer? */
  acceptsTask?: boolean;
  /** Answers to what was asked in an earlier round. */
  inputResponses?: JsonObject;
  /** The `requestState` of an earlier round, unsealed. */
  requestState?: string;
  /** Makes this call the same command whenever it is made again, where the caller named no idempotency key. */
  implicitKey?: string;
  /** Another replica had this call accepted: no limit refuses it. */
  accepted?: boolean;
}

/** The action runs only as a task, and the client does not know what that is. */
export class TaskRequired extends Error {
  override readonly name = 'TaskRequired';
}

/** What a call is answered with when its command takes longer than its caller is to wait. */
type Handle = 'task' | 'accepted';

/** A command that a call waits for, and what becomes of both when the wait is over before the command is. */
interface Awaited {
  submission: Submission;
  handle: Handle | undefined;
  /** Does the command go on when its caller no longer wants the result? */
  goesOn: boolean;
  replayed: boolean;
  waiting: Waiting;
}

/**
 * What goes out sealed with a question: the state of an action that ended by asking, or which command is running and waits for the answers,
 * with the last of its progress that the caller has heard.
 */
type Round = { state: string } | { running: string; goes_on: boolean; heard: number };

export class Invoker {
  constructor(
    private readonly commands: CommandClient,
    private readonly handles: Handles,
    private readonly admission: Admission,
    private readonly turns: FairShare,
    /** How long a call that may be answered with a handle waits for its result first. */
    private readonly syncWindowMs: number,
    private readonly events: Pick<EventCalls, 'serve'>,
    private readonly sagas: Pick<SagaDesk, 'serve' | 'join'>,
    private readonly onError: (error: unknown) => void,
    private readonly audit: Audit,
    private readonly callerTokens: Pick<CallerTokens, 'hold'>,
    private readonly access: ServerAccess,
    private readonly server: Pick<McpServer, 'view' | 'unknown'>,
  ) {}

  /**
   * Runs an action as a durable command and returns what the call is answered with: its MCP result, a question, or a handle.
   * @throws CallboardError for a resource or a prompt that failed; a tool's failure is a result with `isError`.
   * @throws ProtocolError where the action asked for one; TaskRequired
   */
  invoke(call: Invocation): Promise<JsonObject> {
    return tracedCall(call, () => this.#invoke(call));
  }

  async #invoke(call: Invocation): Promise<JsonObject> {
    let correlationId = newCorrelationId();
    try {
      if (!call.accepted) this.admission.call(call.principal);
      if (call.action === RESULT_TOOL || isOfSagas(call.action) || isEventTool(call.action)) {
        this.access.checkRun(call.principal, call.action, 'normal');
      }
      if (call.action === RESULT_TOOL) return await this.#fetchResult(call);
      if (isOfSagas(call.action)) return { ...(await this.sagas.serve(call)), _meta: resultMeta(correlationId) };
      if (isEventTool(call.action)) return { ...(await this.events.serve(call)), _meta: resultMeta(correlationId) };
      const round = call.requestState === undefined ? undefined : (JSON.parse(call.requestState) as Round);
      const fields = readMessagingFields(call.meta, call.header);
      const handle = handleFor(call, fields);
      this.access.checkRun(call.principal, call.action, fields.priority ?? 'normal', correlationId);
      this.#checkCompensation(call, fields, correlationId);
      if (round && 'running' in round) return await this.#rejoin(call, handle, round);
      const idempotencyKey = fields.idempotencyKey ?? call.implicitKey;
      if (idempotencyKey !== undefined) correlationId = correlationIdFor(call, round?.state, idempotencyKey);
      checkArguments(call.action, call.args);
      const command = toCommand(call, fields, correlationId, round?.state, idempotencyKey, this.access.path);
      const waiting = new Waiting(call);
      const patienceMs = this.#patience(call.action, handle);
      waiting.keep = patienceMs === 0;
      waiting.saga = call.action.binding?.kind === 'saga';
      if (fields.sagaId !== undefined) waiting.keep = true;
      const takeBack = this.#lendToken(call, command);
      const goesOn = fields.idempotencyKey !== undefined || fields.acceptAsync === true;
      const submission = await this.#submit(call, command, waiting, goesOn).catch((error: unknown) => {
        takeBack();
        throw error;
      });
      const turn = await tracedWait(submission, () => waiting.for(submission, patienceMs));
      // A request that another replica carries on joins its own command: the caller called once, and is told so.
      const replayed = submission.replayed && fields.idempotencyKey !== undefined;
      if (isOutcome(turn)) {
        takeBack();
        this.admission.leave(call.principal);
        return asRound(toResult(call.action.surface.kind, turn, replayed));
      }
      void this.handles.countUntilEnded(call.principal, submission).then(takeBack);
      return await this.#answerEarly(call, { submission, handle, goesOn, replayed, waiting }, turn);
    } catch (error) {
      if (!(error instanceof CallboardError)) throw error;
      // A denial is on record as one.
      if (error.code !== 'forbidden') this.audit.note(refusedCall(call, error, correlationId));
      if (call.action.surface.kind !== 'tool') throw error;
      return failure(error.toBody(), error.details.correlationId ?? correlationId);
    }
  }

  /**
   * What would undo a call is an action that its caller could call here itself.
   * @throws CallboardError `unknown_action`, `unavailable`, `forbidden`
   */
  #checkCompensation({ principal }: Invocation, { compensation }: MessagingFields, correlationId: string): void {
    if (!compensation) return;
    const action = this.server.view.actions.get(actionId(compensation));
    if (!action) throw this.server.unknown('compensation');
    this.access.checkRun(principal, action, 'normal', correlationId);
  }

  /** The caller wants nothing of the question that it was asked: the command that asks is cancelled, unless it goes on. */
  withdraw(principal: Principal, requestState: string): void {
    const round = JSON.parse(requestState) as Round;
    if ('running' in round && !round.goes_on) this.handles.cancel(principal, round.running).catch(this.onError);
  }

  /**
   * What calls a far side for its caller gets the caller's token: it is there before the command is.
   * @returns what takes it back
   */
  #lendToken({ principal, action, header }: Invocation, command: CommandEnvelope): () => void {
    const token = isWanted(principal, action) && bearerToken(header('authorization'));
    if (!token) return () => undefined;
    command.caller_token = true;
    const until = Math.min(Date.parse(command.deadline_at), principal.expiresAt ?? Infinity);
    return this.callerTokens.hold(command, token, until) ?? (() => undefined);
  }

  /** Has the command accepted when it is its tenant's turn; one whose caller goes away before is not, unless it `goesOn`. */
  async #submit(call: Invocation, command: CommandEnvelope, waiting: Waiting, goesOn: boolean): Promise<Submission> {
    const { principal, accepted } = call;
    this.admission.enter(principal, accepted);
    try {
      const start = () => this.#start(command, waiting);
      if (accepted) return await this.turns.takeAtOnce(principal.tenantId, start);
      return await this.turns.take(principal.tenantId, start, {
        deadlineAt: Date.parse(command.deadline_at),
        onLine: (leave) => call.onGone?.((how) => how === 'cancelled' && !goesOn && leave()),
      });
    } catch (error) {
      this.admission.leave(principal);
      throw error;
    }
  }

  async #start(command: CommandEnvelope, waiting: Waiting): Promise<Submission> {
    let joined = false;
    try {
      if (command.saga_id !== undefined) await this.sagas.join(command);
      joined = command.saga_id !== undefined;
      return await tracedSubmit(command, waiting.saga ? STREAM.sagas : STREAM.commands, (traced) =>
        this.commands.submit(traced, waiting),
      );
    } catch (error) {
      // Its saga waits for a step that does not come, unless it is told.
      if (joined && !isConflict(error)) this.commands.cancel(command).catch(this.onError);
      throw error;
    }
  }

  /** How long to wait for the result of a call that may be answered with a handle; what is meant to take long is not waited for. */
  #patience(action: RegisteredAction, handle: Handle | undefined): number | undefined {
    if (!handle) return undefined;
    return action.task === 'required' || action.long_running ? 0 : this.syncWindowMs;
  }

  /** The call is over before its command is. */
  async #answerEarly(call: Invocation, awaited: Awaited, turn: Exclude<Turn, Outcome>): Promise<JsonObject> {
    const { submission, handle, goesOn, replayed, waiting } = awaited;
    const { command } = submission;
    if (turn === 'cancelled' || turn === 'cut_off') {
      if (turn === 'cancelled' && !goesOn) this.commands.cancel(command).catch(this.onError);
      throw new CallboardError('cancelled', 'The caller went away');
    }
    if (handle) {
      await submission.keep();
      return handle === 'task' ? createdTask(command, replayed) : acceptedForLater(command.correlation_id, replayed);
    }
    const { inputs } = turn as { inputs: OpenInputs };
    if (!canAnswer(call, inputs)) {
      if (!goesOn) this.commands.cancel(command).catch(this.onError);
      // The front knows the words in which its protocol refuses it.
      return { resultType: 'input_required', inputRequests: inputs };
    }
    await submission.keep();
    return question(inputs, { running: command.correlation_id, goes_on: goesOn, heard: waiting.heard });
  }

  /** A round of a command that waits for answers: they are stored, and the call waits for it again. */
  async #rejoin(
    call: Invocation,
    handle: Handle | undefined,
    round: Extract<Round, { running: string }>,
  ): Promise<JsonObject> {
    const { running, goes_on: goesOn } = round;
    const held = await this.handles.answer(call.principal, running, call.inputResponses ?? {});
    if (!held) throw new CallboardError('not_found', 'The command that asked is forgotten', { correlationId: running });
    if (held.kind === 'ended') return asRound(toResult(call.action.surface.kind, held.outcome));
    if (asks(held)) return question(held.inputs, round);
    const waiting = new Waiting(call, round.heard);
    const submission = this.commands.watch(held.accepted, waiting);
    const turn = await tracedWait(submission, () => waiting.for(submission, this.#patience(call.action, handle)));
    if (isOutcome(turn)) return asRound(toResult(call.action.surface.kind, turn));
    submission.release();
    if (typeof turn === 'object' && !handle && canAnswer(call, turn.inputs)) {
      // A command that goes on from earlier answers has other names for its questions here.
      const asked = await this.handles.find(call.principal, running);
      if (asked?.kind === 'open') return question(asked.inputs, { ...round, heard: waiting.heard });
    }
    const awaited = { submission, handle, goesOn, replayed: false, waiting };
    return this.#answerEarly(call, awaited, turn);
  }

  /** Serves the tool `callboard.result`. */
  async #fetchResult(call: Invocation): Promise<JsonObject> {
    const { correlationId, waitMs } = readResultArguments(call.args);
    const { principal } = call;
    let held = await this.handles.find(principal, correlationId);
    if (held) this.access.checkHandle(principal, 'read_result', toolOf(held), correlationId);
    if (call.inputResponses) held = await this.handles.answer(principal, correlationId, call.inputResponses);
    if (held?.kind === 'open' && !asks(held)) {
      const waiting = new Waiting(call);
      const submission = this.commands.watch(held.accepted, waiting);
      const turn = await waiting.for(submission, waitMs);
      submission.release();
      if (typeof turn === 'object') held = await this.handles.find(principal, correlationId);
    }
    if (!held) throw new CallboardError('not_found', 'You have no command of that name', { correlationId });
    if (held.kind === 'ended') {
      await this.audit.record(fetchedResult(call, correlationId));
      return asToolResult(toResult('tool', held.outcome));
    }
    if (asks(held) && canAnswer(call, held.inputs)) {
      return question(held.inputs, { running: correlationId, goes_on: true, heard: 0 });
    }
    const progress = await this.handles.lastProgress(held);
    return stillRunning(correlationId, { progress, waitsForInput: asks(held) });
  }
}

/**
 * What the call may be answered with instead of its result.
 * @throws TaskRequired
 */
function handleFor({ action, acceptsTask }: Invocation, { acceptAsync }: MessagingFields): Handle | undefined {
  if (action.surface.kind !== 'tool') return undefined;
  if (acceptsTask && action.task !== 'never') return 'task';
  if (acceptAsync) return 'accepted';
  if (action.task === 'required') throw new TaskRequired();
  return undefined;
}

function question(inputs: OpenInputs, round: Round): JsonObject {
  return { resultType: 'input_required', inputRequests: inputs, requestState: JSON.stringify(round) };
}

/** The state of an action that ended by asking is told apart from the name of a command that is running. */
function asRound(result: JsonObject): JsonObject {
  if (result.resultType !== 'input_required' || typeof result.requestState !== 'string') return result;
  return { ...result, requestState: JSON.stringify({ state: result.requestState } satisfies Round) };
}

function asks({ inputs }: Extract<Held, { kind: 'open' }>): boolean {
  return Object.keys(inputs).length > 0;
}

function canAnswer({ inputCapabilities }: Invocation, inputs: OpenInputs): boolean {
  return Object.values(inputs).every(({ method }) => inputCapabilities.includes(inputKindOf(method)!));
}

/** The envelope of a call: what the caller said, and for the rest the action's defaults. */
function toCommand(
  call: Invocation,
  fields: MessagingFields,
  correlationId: string,
  state: string | undefined,
  idempotencyKey: string | undefined,
  server: string,
): CommandEnvelope {
  const { principal, action, args } = call;
  const name = parseActionId(action.id);
  const deadlineMs = fields.deadlineMs ?? action.deadline_ms;
  const now = Date.now();
  const command: CommandEnvelope = {
    envelope_version: ENVELOPE_VERSION,
    correlation_id: correlationId,
    tenant_id: principal.tenantId,
    user_id: principal.userId,
    caller: commandCallerOf(principal, server),
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
  if (principal.groups.length > 0) command.groups = [...principal.groups];
  if (idempotencyKey !== undefined) command.idempotency_key = idempotencyKey;
  if (fields.sagaId !== undefined) command.saga_id = fields.sagaId;
  if (fields.sagaStep !== undefined) command.saga_step = fields.sagaStep;
  if (fields.compensation) command.compensation = fields.compensation;
  Object.assign(command, calledIn(call));
  if (call.inputCapabilities.length > 0) command.input_capabilities = [...call.inputCapabilities];
  if (call.inputResponses) command.input_responses = call.inputResponses;
  if (state !== undefined) command.request_state = state;
  return command;
}

/** An action of a Backstage is called with the token of a user of Backstage; what exchanges tokens, with that of an issuer. */
function isWanted({ via }: Principal, { origin, caller_token: exchanged }: RegisteredAction): boolean {
  return via === 'backstage' ? origin === 'backstage' : via === 'jwt' && exchanged === true;
}

/** The command that is there under this id is another call's. */
function isConflict(error: unknown): boolean {
  return error instanceof CallboardError && error.code === 'idempotency_conflict';
}

function correlationIdFor(call: Invocation, state: string | undefined, idempotencyKey: string): string {
  const { tenantId, userId } = call.principal;
  const action = parseActionId(call.action.id);
  const key = idempotencyKey + roundOf(call.inputResponses, state);
  return idempotentCorrelationId({ tenantId, userId, action, idempotencyKey: key });
}

/** The rounds of a call share its idempotency key, and each is a command of its own: what was answered tells them apart. */
function roundOf(inputResponses: JsonObject | undefined, state: string | undefined): string {
  if (!inputResponses && state === undefined) return '';
  return `:${fingerprint([inputResponses ?? null, state ?? null])}`;
}
