import { decodeToken, encodeToken } from './token.js';

/**
 * Every subject of Callboard. Publishers use these functions and nothing else, so a subject is spelled in one place.
 *
 * A command is published without its partition; the stream's own subject transform puts the partition in, so what is stored is
 * `cmd.<partition>.<tenant>.<tool>.<method>.<key>.<correlation_id>`.
 */

/** What splits an MCP tool name into tool and method: `git.clone` is tool `git`, method `clone`; `ping` is tool `ping`, method ``. */
export interface ActionName {
  tool: string;
  method: string;
}

/** The MCP tool name of an action. */
export function actionId(name: ActionName): string {
  return name.method === '' ? name.tool : `${name.tool}.${name.method}`;
}

/** The inverse of `actionId`: the first dot divides. */
export function parseActionId(id: string): ActionName {
  const dot = id.indexOf('.');
  return dot < 0 ? { tool: id, method: '' } : { tool: id.slice(0, dot), method: id.slice(dot + 1) };
}

export interface CommandAddress extends ActionName {
  tenantId: string;
  orderingKey: string;
  correlationId: string;
}

export const COMMAND_SUBJECTS = 'cmd.*.*.*.*.*';

/** Subject to publish a command to: `cmd.<tenant>.<tool>.<method>.<key>.<correlation_id>`. */
export function commandSubject(address: CommandAddress): string {
  return `cmd.${encodeToken(address.tenantId)}.${encodeToken(address.tool)}.${encodeToken(address.method)}.${encodeToken(address.orderingKey)}.${encodeToken(address.correlationId)}`;
}

/** Where a command is stored, whatever its partition and ordering key. */
export function storedCommandSubjects(address: Omit<CommandAddress, 'orderingKey'>): string {
  return `cmd.*.${encodeToken(address.tenantId)}.${encodeToken(address.tool)}.${encodeToken(address.method)}.*.${encodeToken(address.correlationId)}`;
}

/** Stored commands of one partition. */
export function partitionSubjects(partition: number): string {
  return `cmd.${partition}.>`;
}

/**
 * The address in a stored command's subject.
 * @throws RangeError when the subject is not one of a stored command.
 */
export function parseStoredCommandSubject(subject: string): CommandAddress & { partition: number } {
  const tokens = subject.split('.');
  const [prefix, partition, tenant, tool, method, key, correlationId] = tokens;
  if (tokens.length !== 7 || prefix !== 'cmd' || !/^\d+$/.test(partition ?? '')) {
    throw new RangeError('not the subject of a stored command');
  }
  return {
    partition: Number(partition),
    tenantId: decodeToken(tenant!),
    tool: decodeToken(tool!),
    method: decodeToken(method!),
    orderingKey: decodeToken(key!),
    correlationId: decodeToken(correlationId!),
  };
}

/** Where the one outcome of a command is stored. */
export function outcomeSubject(tenantId: string, correlationId: string): string {
  return `out.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Where the deadline of a command is scheduled: the record of a command that may outlive its caller. */
export function deadlineSubject(tenantId: string, correlationId: string): string {
  return `deadline.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Where the server puts the record when the deadline has passed. */
export function dueSubject(tenantId: string, correlationId: string): string {
  return `due.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Where it is stored that an attempt began, or failed and is to be repeated. */
export function attemptSubject(
  tenantId: string,
  correlationId: string,
  attempt: number,
  what: 'begun' | 'failed',
): string {
  return `attempt.${encodeToken(tenantId)}.${encodeToken(correlationId)}.${attempt}.${what}`;
}

/** All that is stored of the attempts at a command. */
export function attemptSubjects(tenantId: string, correlationId: string): string {
  return `attempt.${encodeToken(tenantId)}.${encodeToken(correlationId)}.>`;
}

/** Where a running command's question is stored; `*` as the key stands for all of them. */
export function inputSubject(tenantId: string, correlationId: string, key: string): string {
  return `input.${encodeToken(tenantId)}.${encodeToken(correlationId)}.${key === '*' ? key : encodeToken(key)}`;
}

/** Where the answer to a question is stored; the first one counts. `*` as the key stands for all of them. */
export function answerSubject(tenantId: string, correlationId: string, key: string): string {
  return `answer.${encodeToken(tenantId)}.${encodeToken(correlationId)}.${key === '*' ? key : encodeToken(key)}`;
}

/** The key in the subject of a question or of an answer. */
export function inputKeyOf(subject: string): string {
  return decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
}

/** Asks the runner that has a command to let go of it; not stored. */
export function abortSubject(tenantId: string, correlationId: string): string {
  return `abort.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Asks the front end that took a call for the token with which its caller came; not stored. */
export function callerSubject(tenantId: string, correlationId: string): string {
  return `caller.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Where the progress of a command is stored. */
export function progressSubject(tenantId: string, correlationId: string): string {
  return `progress.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Where a command is stored for a far side that takes its work from a queue. A round is one handing over. */
export function dispatchSubject(queue: string, tenantId: string, correlationId: string, round: number): string {
  return `dispatch.${encodeToken(queue)}.${encodeToken(tenantId)}.${encodeToken(correlationId)}.${round}`;
}

/** Where it is stored that a far side has taken a command over HTTP. */
export function handedSubject(tenantId: string, correlationId: string, round: number): string {
  return `handed.${encodeToken(tenantId)}.${encodeToken(correlationId)}.${round}`;
}

/** Where the schedule of a command is stored; `name` is the operator's. */
export function scheduleSubject(tenantId: string, name: string): string {
  return `schedule.${encodeToken(tenantId)}.${encodeToken(name)}`;
}

/** Where the server puts a scheduled command whenever its time has come. */
export function tickSubject(tenantId: string, name: string): string {
  return `tick.${encodeToken(tenantId)}.${encodeToken(name)}`;
}

/** Where it is stored that a schedule was taken back, which takes it back. */
export function unscheduleSubject(tenantId: string, name: string): string {
  return `unschedule.${encodeToken(tenantId)}.${encodeToken(name)}`;
}

/**
 * Tenant and name in the subject of a schedule or a tick.
 * @throws RangeError when it is none.
 */
export function parseScheduleSubject(subject: string): { tenantId: string; name: string } {
  const [prefix, tenant, name, ...more] = subject.split('.');
  if ((prefix !== 'schedule' && prefix !== 'tick') || !tenant || !name || more.length > 0) {
    throw new RangeError('not the subject of a schedule or a tick');
  }
  return { tenantId: decodeToken(tenant), name: decodeToken(name) };
}

export const SAGA_SUBJECTS = 'saga.*.*';

/** Subject to publish to a saga's journal; stored it has its partition after `saga`, put in by the stream as that of a command is. */
export function sagaSubject(tenantId: string, sagaId: string): string {
  return `saga.${encodeToken(tenantId)}.${encodeToken(sagaId)}`;
}

/** Where a saga's journal is stored, whatever its partition. */
export function storedSagaSubjects(tenantId: string, sagaId: string): string {
  return `saga.*.${encodeToken(tenantId)}.${encodeToken(sagaId)}`;
}

/** The journals of one partition's sagas; of all of them, and of one tenant, where that is said. */
export function sagaPartitionSubjects(partition: number | '*', tenantId?: string): string {
  return `saga.${partition}.${tenantId === undefined ? '*' : encodeToken(tenantId)}.*`;
}

/**
 * Tenant and saga in the subject of a stored entry of a journal.
 * @throws RangeError when it is none.
 */
export function parseStoredSagaSubject(subject: string): { tenantId: string; sagaId: string } {
  const [prefix, partition, tenant, saga, ...more] = subject.split('.');
  if (prefix !== 'saga' || !/^\d+$/.test(partition ?? '') || !tenant || !saga || more.length > 0) {
    throw new RangeError('not the subject of a stored entry of a saga');
  }
  return { tenantId: decodeToken(tenant), sagaId: decodeToken(saga) };
}

/** Prefix under which OUTCOMES and PROGRESS republish what they have just stored, for those who wait. */
export const LIVE_PREFIX = 'live';
