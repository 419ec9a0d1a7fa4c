import { newCorrelationId, type CommandEnvelope, type JsonObject } from '@callboard/envelope';

const DEADLINE_MS = 600_000;

/** A command of the bench's own actions, as a front end would make it. */
export function commandNumber(n: number, orderingKey: string, method: 'noop' | 'work'): CommandEnvelope {
  return benchCommand('bench', method, { n }, orderingKey);
}

export function benchCommand(tool: string, method: string, args: JsonObject, orderingKey: string): CommandEnvelope {
  const issuedAt = Date.now();
  return {
    envelope_version: '1.0',
    correlation_id: newCorrelationId(),
    tenant_id: 'default',
    user_id: 'user:default/bench',
    tool,
    method,
    args,
    ordering_key: orderingKey,
    deadline_ms: DEADLINE_MS,
    priority: 'normal',
    accept_partials: false,
    accept_async: false,
    issued_at: new Date(issuedAt).toISOString(),
    deadline_at: new Date(issuedAt + DEADLINE_MS).toISOString(),
  };
}
