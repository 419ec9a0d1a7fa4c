import { describe, expect, it } from '@jest/globals';
import type { CallboardError, JsonObject } from '@callboard/envelope';
import { z } from 'zod';
import { checkArguments } from './arguments.js';
import { defineAction } from './define-action.js';
import type { ActionDescriptor } from './descriptor.js';
import { defaultOrderingKey } from './ordering.js';

const SECRET = 'hunter2';

function action(input: JsonObject | z.ZodObject): ActionDescriptor {
  return defineAction({ id: 'git.clone', description: 'Clones', input, run: () => '' }).descriptor;
}

function refusal(input: JsonObject | z.ZodObject, args: JsonObject): CallboardError {
  try {
    checkArguments(action(input), args);
  } catch (error) {
    return error as CallboardError;
  }
  throw new Error('the arguments were accepted');
}

describe('arguments', () => {
  it('are checked by JSON Schema 2020-12', () => {
    const input = {
      type: 'object',
      properties: {
        pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'number' }], items: false },
        at: { type: 'string', format: 'date-time' },
      },
      dependentRequired: { at: ['pair'] },
      unevaluatedProperties: false,
    };
    const descriptor = action(input);
    expect(() => checkArguments(descriptor, { pair: ['a', 1], at: '2026-07-28T10:00:00Z' })).not.toThrow();
    expect(refusal(input, { pair: ['a', 1, 2] }).message).toBe('arguments/pair must NOT have more than 2 items');
    expect(refusal(input, { at: '2026-07-28T10:00:00Z' }).message).toBe(
      'arguments must have property pair when property at is present',
    );
    expect(refusal(input, { pair: [], at: 'noon' }).message).toBe('arguments/at must match format "date-time"');
    expect(refusal(input, { other: 1 }).message).toBe('arguments must NOT have unevaluated properties');
  });

  it.each([
    [{ type: 'object', properties: { a: { type: 'number' } } }, { a: SECRET }, 'arguments/a must be number'],
    [
      { type: 'object', properties: { a: { enum: [1] } } },
      { a: SECRET },
      'arguments/a must be equal to one of the allowed values',
    ],
    [{ type: 'object', properties: { a: { const: 1 } } }, { a: SECRET }, 'arguments/a must be equal to constant'],
    [{ type: 'object', properties: { a: { pattern: '^x' } } }, { a: SECRET }, 'arguments/a must match pattern "^x"'],
    [{ type: 'object', required: ['a'] }, { [SECRET]: 1 }, "arguments must have required property 'a'"],
    [{ type: 'object', additionalProperties: false }, { [SECRET]: 1 }, 'arguments must NOT have additional properties'],
    [{ type: 'object', additionalProperties: { type: 'number' } }, { [SECRET]: SECRET }, 'arguments/* must be number'],
    [
      { type: 'object', properties: { m: { type: 'object', additionalProperties: { items: { type: 'number' } } } } },
      { m: { [SECRET]: [1, SECRET] } },
      'arguments/m/*/1 must be number',
    ],
    [
      { type: 'object', propertyNames: { maxLength: 3 } },
      { [SECRET]: 1 },
      'arguments must NOT have more than 3 characters',
    ],
    [z.object({ a: z.string().max(3) }), { a: SECRET }, 'arguments/a must NOT have more than 3 characters'],
    [z.strictObject({ a: z.string() }), { a: 'x', [SECRET]: 1 }, 'arguments must NOT have additional properties'],
  ])(
    'that are wrong are refused with the place and the rule, and never with what was sent: %j',
    (input, args, message) => {
      const error = refusal(input, args);
      expect(error).toMatchObject({ code: 'invalid_arguments', message });
      expect(JSON.stringify(error.toBody())).not.toContain(SECRET);
    },
  );

  it('are not changed by the check', () => {
    const args = { extra: 1 };
    checkArguments(action({ type: 'object', properties: { a: { type: 'number', default: 7 } } }), args);
    expect(args).toEqual({ extra: 1 });
  });

  it('may be of schemas that share an $id', () => {
    const input = (type: string) => ({ $id: 'https://example.com/x', type: 'object', properties: { a: { type } } });
    checkArguments(action(input('number')), { a: 1 });
    expect(() => checkArguments(action(input('string')), { a: 'x' })).not.toThrow();
  });

  it('against a schema that came from elsewhere and cannot be used are a fault of ours, not of the caller', () => {
    const descriptor = { ...action({ type: 'object' }), input_schema: { type: 'nonsense' } };
    expect(() => checkArguments(descriptor, {})).toThrow('The input schema of action git.clone cannot be used');
  });
});

describe('the ordering key of a command whose caller named none', () => {
  const command = { args: { key: 'a', n: 7 }, userId: 'user:default/jane', correlationId: 'c_1' };
  const keyOf = (ordering: ActionDescriptor['ordering'], args: JsonObject = command.args) =>
    defaultOrderingKey({ ...action({ type: 'object' }), ordering }, { ...command, args });

  it('is the principal, the argument, or the command itself', () => {
    expect(keyOf('principal')).toBe('user:default/jane');
    expect(keyOf('none')).toBe('c_1');
    expect(keyOf({ argument: 'key' })).toBe('git:a');
    expect(keyOf({ argument: 'n' })).toBe('git:7');
  });

  it('is the principal where the argument is missing or is no text', () => {
    expect(keyOf({ argument: 'none' })).toBe('user:default/jane');
    expect(keyOf({ argument: 'key' }, { key: ['a'] })).toBe('user:default/jane');
    expect(keyOf({ argument: 'toString' }, {})).toBe('user:default/jane');
  });

  it('is the same for every caller also where the argument is too long for a key, or is no well formed text', () => {
    for (const key of ['x'.repeat(300), 'half a pair \ud83d']) {
      const [jane, joe] = ['jane', 'joe'].map((userId) =>
        defaultOrderingKey(
          { ...action({ type: 'object' }), ordering: { argument: 'key' } },
          { ...command, userId, args: { key } },
        ),
      );
      expect(jane).toBe(joe);
      expect(jane).toMatch(/^git:[\w-]{43}$/);
      expect(keyOf({ argument: 'key' }, { key: `${key}y` })).not.toBe(jane);
    }
  });
});
