import { describe, expect, it } from '@jest/globals';
import type { CallboardError, JsonObject } from '@callboard/envelope';
import { readMessagingFields } from './messaging-fields.js';

const SECRET = 'hunter2';
const meta = (fields: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [`io.callboard/${name}`, value]));
const headers = (values: Record<string, string>) => (name: string) => values[name];
const none = headers({});

function refusal(fields: JsonObject, header = none): CallboardError {
  try {
    readMessagingFields(fields, header);
  } catch (error) {
    return error as CallboardError;
  }
  throw new Error('the fields were accepted');
}

describe('messaging fields', () => {
  it('are all read from _meta', () => {
    const compensation = { tool: 'git', method: 'remove', args: { url: 'x' } };
    const fields = meta({
      ordering_key: 'repo-1',
      idempotency_key: 'order-1',
      deadline_ms: 1_000,
      priority: 'high',
      accept_async: true,
      saga_id: 's1',
      saga_step: 'clone',
      compensation,
    });
    expect(readMessagingFields(fields, none)).toEqual({
      orderingKey: 'repo-1',
      idempotencyKey: 'order-1',
      deadlineMs: 1_000,
      priority: 'high',
      acceptAsync: true,
      sagaId: 's1',
      sagaStep: 'clone',
      compensation,
    });
  });

  it('of clients that cannot set _meta are read from headers', () => {
    const header = headers({
      'x-callboard-ordering-key': 'repo-1',
      'idempotency-key': 'order-1',
      'x-callboard-deadline-ms': '1000',
      'x-callboard-priority': 'low',
      'x-callboard-accept-async': 'false',
      'x-callboard-saga-id': 'not a field of headers',
    });
    expect(readMessagingFields({}, header)).toEqual({
      orderingKey: 'repo-1',
      idempotencyKey: 'order-1',
      deadlineMs: 1_000,
      priority: 'low',
      acceptAsync: false,
    });
  });

  it('that nobody set are absent', () => {
    expect(readMessagingFields({ progressToken: 1, 'io.other/ordering_key': 'x' }, none)).toEqual({});
  });

  it('in _meta win, one by one', () => {
    const header = headers({ 'x-callboard-ordering-key': 'of the header', 'idempotency-key': 'of the header' });
    expect(readMessagingFields(meta({ ordering_key: 'of meta' }), header)).toEqual({
      orderingKey: 'of meta',
      idempotencyKey: 'of the header',
    });
    expect(refusal(meta({ ordering_key: null }), header).code).toBe('invalid_messaging_field');
  });

  it.each([
    ['order-1', 'order-1'],
    ['"order-1"', 'order-1'],
    ['"with \\"quotes\\" and \\\\"', 'with "quotes" and \\'],
    ['"half', '"half'],
    ['"a" "b"', '"a" "b"'],
    ['"a\\"', '"a\\"'],
  ])('Idempotency-Key is read with and without the quotes of its draft: %s', (written, key) => {
    expect(readMessagingFields({}, headers({ 'idempotency-key': written })).idempotencyKey).toBe(key);
  });

  it.each([
    ['ordering_key', 7, 'text of 1 to 256 characters'],
    ['ordering_key', '', 'text of 1 to 256 characters'],
    ['ordering_key', SECRET.repeat(40), 'text of 1 to 256 characters'],
    ['ordering_key', `${SECRET} \ud83d`, 'text of 1 to 256 characters'],
    ['ordering_key', null, 'text of 1 to 256 characters'],
    ['idempotency_key', [SECRET], 'text of 1 to 256 characters'],
    ['deadline_ms', 0, 'a whole number from 1 to 43200000'],
    ['deadline_ms', 43_200_001, 'a whole number from 1 to 43200000'],
    ['deadline_ms', 1.5, 'a whole number from 1 to 43200000'],
    ['deadline_ms', NaN, 'a whole number from 1 to 43200000'],
    ['deadline_ms', SECRET, 'a whole number from 1 to 43200000'],
    ['deadline_ms', true, 'a whole number from 1 to 43200000'],
    ['priority', SECRET, 'one of high, normal, low'],
    ['priority', 'toString', 'one of high, normal, low'],
    ['accept_async', SECRET, 'true or false'],
    ['accept_async', 1, 'true or false'],
    ['saga_id', {}, 'text of 1 to 256 characters'],
    ['saga_step', '', 'text of 1 to 256 characters'],
    ['compensation', null, 'an object with tool and method as text and args as an object'],
    ['compensation', SECRET, 'an object with tool and method as text and args as an object'],
    [
      'compensation',
      { tool: '', method: 'x', args: {} },
      'an object with tool and method as text and args as an object',
    ],
    ['compensation', { tool: 'x'.repeat(65), method: '', args: {} }, 'an object with tool'],
    ['compensation', { tool: 'git', method: 'x', args: [SECRET] }, 'an object with tool'],
  ])('refuse %s: %j, with the name and what it must be, and without the value', (name, value, expected) => {
    const error = refusal(meta({ [name]: value }));
    expect(error.code).toBe('invalid_messaging_field');
    expect(error.message).toContain(`io.callboard/${name} must be ${expected}`);
    expect(error.message).not.toContain(SECRET);
  });

  it.each([
    ['X-Callboard-Ordering-Key', ''],
    ['Idempotency-Key', '""'],
    ['X-Callboard-Deadline-Ms', '1e3'],
    ['X-Callboard-Deadline-Ms', ' 10'],
    ['X-Callboard-Deadline-Ms', '-1'],
    ['X-Callboard-Priority', 'HIGH'],
    ['X-Callboard-Accept-Async', '1'],
  ])('refuse header %s: %j under its own name', (name, value) => {
    const error = refusal({}, headers({ [name.toLowerCase()]: value }));
    expect(error.message).toMatch(new RegExp(`^${name} must be `));
  });
});
