import { CallboardError, LIMITS, PRIORITIES, type JsonObject, type Priority } from '@callboard/envelope';

/** What a caller may say about how its call is to travel. */
export interface MessagingFields {
  orderingKey?: string;
  idempotencyKey?: string;
  deadlineMs?: number;
  priority?: Priority;
  acceptAsync?: boolean;
  sagaId?: string;
  sagaStep?: string;
  compensation?: { tool: string; method: string; args: JsonObject };
}

const META_PREFIX = 'io.callboard/';

const HEADERS: Partial<Record<keyof MessagingFields, string>> = {
  orderingKey: 'x-callboard-ordering-key',
  idempotencyKey: 'idempotency-key',
  deadlineMs: 'x-callboard-deadline-ms',
  priority: 'x-callboard-priority',
  acceptAsync: 'x-callboard-accept-async',
};

/**
 * Reads the messaging fields of a call from its `_meta` and, where `_meta` is silent, from its HTTP headers.
 * @throws CallboardError `invalid_messaging_field`, naming the field and what it must be.
 */
export function readMessagingFields(
  meta: Readonly<JsonObject>,
  header: (name: string) => string | undefined,
): MessagingFields {
  const fields: MessagingFields = {};
  const orderingKey = text('orderingKey', 'ordering_key');
  const idempotencyKey = text('idempotencyKey', 'idempotency_key');
  const deadlineMs = read('deadlineMs', 'deadline_ms');
  const priority = read('priority', 'priority');
  const acceptAsync = read('acceptAsync', 'accept_async');
  const sagaId = text(undefined, 'saga_id');
  const sagaStep = text(undefined, 'saga_step');
  const compensation = meta[`${META_PREFIX}compensation`];

  if (orderingKey !== undefined) fields.orderingKey = orderingKey;
  if (idempotencyKey !== undefined) fields.idempotencyKey = idempotencyKey;
  if (sagaId !== undefined) fields.sagaId = sagaId;
  if (sagaStep !== undefined) fields.sagaStep = sagaStep;
  if (deadlineMs !== undefined) {
    const number = typeof deadlineMs === 'string' && /^\d{1,12}$/.test(deadlineMs) ? Number(deadlineMs) : deadlineMs;
    if (
      typeof number !== 'number' ||
      !Number.isInteger(number) ||
      number < LIMITS.minDeadlineMs ||
      number > LIMITS.maxDeadlineMs
    ) {
      throw wrong('deadline_ms', `a whole number from ${LIMITS.minDeadlineMs} to ${LIMITS.maxDeadlineMs}`);
    }
    fields.deadlineMs = number;
  }
  if (priority !== undefined) {
    if (!PRIORITIES.includes(priority as Priority)) throw wrong('priority', `one of ${PRIORITIES.join(', ')}`);
    fields.priority = priority as Priority;
  }
  if (acceptAsync !== undefined) {
    const flag = acceptAsync === 'true' ? true : acceptAsync === 'false' ? false : acceptAsync;
    if (typeof flag !== 'boolean') throw wrong('accept_async', 'true or false');
    fields.acceptAsync = flag;
  }
  if (compensation !== undefined) {
    if (!isCompensation(compensation))
      throw wrong('compensation', 'an object with tool and method as text and args as an object');
    fields.compensation = compensation;
  }
  return fields;

  function read(field: keyof MessagingFields | undefined, name: string): unknown {
    const value = meta[META_PREFIX + name];
    if (value !== undefined) return value;
    const headerName = field && HEADERS[field];
    return headerName ? header(headerName) : undefined;
  }

  function text(field: keyof MessagingFields | undefined, name: string): string | undefined {
    const value = read(field, name);
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '' || value.length > LIMITS.nameChars) {
      throw wrong(name, `text of 1 to ${LIMITS.nameChars} characters`);
    }
    return value;
  }
}

function wrong(name: string, expected: string): CallboardError {
  return new CallboardError('invalid_messaging_field', `${META_PREFIX}${name} must be ${expected}`);
}

function isCompensation(value: unknown): value is NonNullable<MessagingFields['compensation']> {
  if (value === null || typeof value !== 'object') return false;
  const { tool, method, args } = value as Record<string, unknown>;
  return (
    typeof tool === 'string' &&
    typeof method === 'string' &&
    args !== null &&
    typeof args === 'object' &&
    !Array.isArray(args)
  );
}
