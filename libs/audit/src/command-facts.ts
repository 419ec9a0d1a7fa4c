/** What is recorded of commands, by whoever makes, runs or ends them. */
import { actionId, type CommandEnvelope, type Outcome } from '@callboard/envelope';
import type { AuditFact } from './fact.js';

type Named = Pick<CommandEnvelope, 'tenant_id' | 'user_id' | 'correlation_id' | 'tool' | 'method'>;

function about(command: Named, kind: AuditFact['kind'], what: string): AuditFact {
  const { tenant_id: tenantId, user_id: userId, correlation_id: correlationId } = command;
  return { kind, what, tenantId, who: { userId }, correlationId, action: actionId(command) };
}

export function submittedCommand(command: CommandEnvelope): AuditFact {
  const fact = about(command, 'call', 'submitted');
  fact.args = command.args;
  const details: Record<string, string | number> = { deadline_ms: command.deadline_ms };
  if (command.redrive_of !== undefined) details['redrive_of'] = command.redrive_of;
  if (command.saga_id !== undefined) details['saga'] = command.saga_id;
  fact.details = details;
  return fact;
}

/** The call joined an earlier command. */
export function replayedCommand(command: CommandEnvelope): AuditFact {
  return about(command, 'call', 'replayed');
}

export function begunAttempt(command: CommandEnvelope, attempt: number): AuditFact {
  return { ...about(command, 'attempt', 'begun'), details: { attempt } };
}

/** The attempt failed, and there is another. */
export function failedAttempt(command: CommandEnvelope, attempt: number, code: string): AuditFact {
  return { ...about(command, 'attempt', 'failed'), code, details: { attempt } };
}

/** A runner has done what it does with the command. */
export function endedAttempts(command: Named, ending: Pick<Outcome, 'status' | 'error' | 'attempts'>): AuditFact {
  const { status, error, attempts } = ending;
  return {
    ...about(command, 'attempt', 'ended'),
    ...(error && { code: error.code }),
    details: { status, ...(attempts !== undefined && { attempts }) },
  };
}

/** Somebody who did not run the command has ended it. */
export function endedCommand(command: Named, status: Outcome['status']): AuditFact {
  return { ...about(command, 'outcome', status), code: status };
}
