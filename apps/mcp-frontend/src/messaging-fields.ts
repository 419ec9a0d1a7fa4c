import { CallboardError, LIMITS, PRIORITIES, isWellFormed, type JsonObject, type Priority } from '@callboard/envelope';

/** What a caller may say about how its call is to travel. */
export interface MessagingFields {
  orderingKey: string | undefined;
  idempotencyKey: string | undefined;
  deadlineMs: number | undefined;
  priority: Priority | undefined;
  acceptAsync: boolean | undefined;
  sagaId: string | undefined;
  sagaStep: string | undefined;
  compensation: { tool: string; method: string; args: JsonObject } | undefined;
}

const META_PREFIX = 'io.callboard/';

/** The fields that a client can also say in a header, and how its text becomes what `_meta` would hold. */
const HEADERS = new Map<string, { name: string; parse(text: string): unknown }>([
  ['ordering_key', { name: 'X-Callboard-Ordering-Key', parse: (text) => text }],
  ['idempotency_key', { name: 'Idempotency-Key', parse: unquoted }],
  [
    'deadline_ms',
    { name: 'X-Callboard-Deadline-Ms', parse: (text) => (/^\d{1,12}$/.test(text) ? Number(text) : text) },
  ],
  ['priority', { name: 'X-Callboard-Priority', parse: (text) => text }],
  ['accept_async', { name: 'X-Callboard-Accept-Async', parse: (text) => FLAGS.get(text) ?? text }],
]);
const FLAGS = new Map([
  ['true', true],
  ['false', false],
]);

const TEXT = `text of 1 to ${LIMITS.nameChars} characters`;
const DEADLINE = `a whole number from ${LIMITS.minDeadlineMs} to ${LIMITS.maxDeadlineMs}`;

/**
 * Reads the messaging fields of a call from its `_meta` and, where `_meta` is silent, from its HTTP headers.
 * @throws CallboardError `invalid_messaging_field`, naming what is wrong as the caller knows it, and what it must be.
 */
export function readMessagingFields(
  meta: Readonly<JsonObject>,
  header: (name: string) => string | undefined,
): MessagingFields {
  return {
    orderingKey: read('ordering_key', isName, TEXT),
    idempotencyKey: read('idempotency_key', isName, TEXT),
    deadlineMs: read('deadline_ms', isDeadline, DEADLINE),
    priority: read('priority', isPriority, `one of ${PRIORITIES.join(', ')}`),
    acceptAsync: read('accept_async', isBoolean, 'true or false'),
    sagaId: read('saga_id', isName, TEXT),
    sagaStep: read('saga_step', isName, TEXT),
    compensation: read('compensation', isCompensation, 'an object with tool and method as text and args as an object'),
  };

  function read<T>(field: string, fits: (value: unknown) => value is T, expected: string): T | undefined {
    const key = META_PREFIX + field;
    let value = meta[key];
    let source = key;
    if (value === undefined) {
      const alternative = HEADERS.get(field);
      const text = alternative && header(alternative.name.toLowerCase());
      if (text === undefined) return undefined;
      value = alternative!.parse(text);
      source = alternative!.name;
    }
    if (fits(value)) return value;
    throw new CallboardError('invalid_messaging_field', `${source} must be ${expected}`);
  }
}

/** The Idempotency-Key draft has the key in quotes, most clients send it bare: both name the same key. */
function unquoted(text: string): string {
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text);
  return quoted ? quoted[1]!.replaceAll(/\\(["\\])/g, '$1') : text;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LIMITS.nameChars && isWellFormed(value);
}

function isDeadline(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= LIMITS.minDeadlineMs && Number(value) <= LIMITS.maxDeadlineMs;
}

function isPriority(value: unknown): value is Priority {
  return PRIORITIES.includes(value as Priority);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isCompensation(value: unknown): value is NonNullable<MessagingFields['compensation']> {
  if (value === null || typeof value !== 'object') return false;
  const { tool, method, args } = value as Record<string, unknown>;
  return (
    typeof tool === 'string' &&
    typeof method === 'string' &&
    tool !== '' &&
    Math.max(tool.length, method.length) <= LIMITS.actionNameChars &&
    args !== null &&
    typeof args === 'object' &&
    !Array.isArray(args)
  );
}
