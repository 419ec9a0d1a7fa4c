import { newCorrelationId, type CommandEnvelope, type JsonObject } from '@callboard/envelope';

/** A command as a front end makes it, with an ordering key and arguments of the test's own. */
export function testCommand(key: string, args: JsonObject = {}, more: Partial<CommandEnvelope> = {}): CommandEnvelope {
  const deadlineMs = more.deadline_ms ?? 60_000;
  const now = Date.now();
  return {
    envelope_version: '1.0',
    correlation_id: newCorrelationId(),
    tenant_id: 'acme',
    user_id: 'user:default/jane',
    tool: 'demo',
    method: 'append',
    args,
    ordering_key: key,
    deadline_ms: deadlineMs,
    priority: 'normal',
    accept_partials: false,
    accept_async: false,
    issued_at: new Date(now).toISOString(),
    deadline_at: new Date(now + deadlineMs).toISOString(),
    ...more,
  };
}
