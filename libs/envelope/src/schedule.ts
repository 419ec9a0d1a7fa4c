import { createHash } from 'node:crypto';
import { ENVELOPE_VERSION, parseEnvelope, type CommandEnvelope, type JsonObject, type Priority } from './envelope.js';
import { CallboardError } from './errors.js';

/**
 * A command that is to run at a time, or again and again: what is stored with its schedule, and comes back as each tick. All that an
 * action has defaults for was decided when the schedule was made.
 */
export interface ScheduledCommand {
  tenant_id: string;
  user_id: string;
  tool: string;
  method: string;
  args: JsonObject;
  /** Absent: every command by itself. */
  ordering_key?: string;
  deadline_ms: number;
  priority: Priority;
}

/** One firing of a schedule, as the stream has it: a tick that is delivered twice is one tick. */
export interface Tick {
  tenantId: string;
  /** Of the schedule. */
  name: string;
  /** Of the tick in SCHEDULES, and when it was stored there. */
  sequence: number;
  storedAt: string;
}

/** The correlation id of a tick's command: `s_` and 43 characters. */
export function tickCorrelationId({ tenantId, name, sequence, storedAt }: Tick): string {
  const parts = [tenantId, name, sequence, storedAt];
  return `s_${createHash('sha256').update(JSON.stringify(parts)).digest('base64url')}`;
}

/**
 * The command of a schedule under a correlation id, issued at a time; its deadline counts from there.
 * @throws CallboardError `invalid_request`, naming the members that are wrong and never their values.
 */
export function commandOfSchedule(scheduled: unknown, correlationId: string, now: number): CommandEnvelope {
  if (scheduled === null || typeof scheduled !== 'object' || Array.isArray(scheduled)) {
    throw new CallboardError('invalid_request', 'The scheduled command is not a JSON object');
  }
  const { deadline_ms = 0, ordering_key = correlationId, ...rest } = scheduled as Partial<ScheduledCommand>;
  const deadlineAt = now + Number(deadline_ms);
  return parseEnvelope({
    ...rest,
    envelope_version: ENVELOPE_VERSION,
    correlation_id: correlationId,
    ordering_key,
    deadline_ms,
    accept_partials: false,
    accept_async: true,
    issued_at: new Date(now).toISOString(),
    // A deadline that is no number is refused for that, and not for the date that it does not make.
    deadline_at: new Date(Number.isFinite(deadlineAt) ? deadlineAt : now).toISOString(),
  });
}
