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

/** Where the progress of a command is stored. */
export function progressSubject(tenantId: string, correlationId: string): string {
  return `progress.${encodeToken(tenantId)}.${encodeToken(correlationId)}`;
}

/** Prefix under which OUTCOMES republishes what it has just stored, for those who wait. */
export const LIVE_PREFIX = 'live';
