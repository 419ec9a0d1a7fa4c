/**
 * The attributes that spans of Callboard have, and no others: names, ids and counts that we or an operator have chosen. Nothing of a
 * payload, and no ordering key, user or address: those name people. The names of OpenTelemetry are those of its semantic conventions.
 */
export const ATTRIBUTE = {
  errorType: 'error.type',
  toolName: 'gen_ai.tool.name',
  mcpMethod: 'mcp.method.name',
  system: 'messaging.system',
  operation: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  messageId: 'messaging.message.id',
  tenant: 'callboard.tenant',
  correlationId: 'callboard.correlation_id',
  action: 'callboard.action',
  attempt: 'callboard.attempt',
  status: 'callboard.status',
  sagaStep: 'callboard.saga.step',
  sagaDefinition: 'callboard.saga.definition',
  source: 'callboard.source',
  fate: 'callboard.fate',
} as const;
