/** What is true of redaction whatever the event is: JSON of any shape, with private values planted where they fall. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parsePolicies } from './policy/parse-policy.js';
import { redact, type RedactOptions, type Redaction } from './redact.js';
import { everyReading, Generator, VALUE_TYPES } from './spec-events.js';
import type { Json } from './types.js';

const OPTIONS: RedactOptions = { key: Buffer.alloc(32, 7), tenant: 'acme' };
const RUNS = { numRuns: 400 };

/** What detectors look for, in pieces: whole values come from the generator. */
const PIECES = [
  '@',
  '://',
  'Mr. ',
  'Hi ',
  'Jane',
  'van der',
  'password=',
  '"',
  '\\',
  '[EMAIL:1a2b]',
  '[PERSON]',
  'eyJ',
  '%40',
  '&amp;',
  '\u200b',
  '-----BEGIN PRIVATE KEY-----',
  '+49 ',
  '4111 1111',
  '12 Main Street',
  'born 1.2.1990',
  ' at example dot org',
  '{"a":',
  '🙂',
  '\ud800',
  'аdmin',
];
const KEYS = [
  'name',
  'author',
  'email',
  'token',
  'id',
  'value',
  'data',
  'kind',
  'address',
  'phone',
  '__proto__',
  'constructor',
  '0',
  'a b',
  '',
];

const value = fc
  .tuple(fc.constantFrom(...VALUE_TYPES), fc.integer({ min: 1, max: 1e6 }))
  .map(([type, seed]) => new Generator(seed).value(type));
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(fc.oneof(fc.constantFrom(...PIECES), value, fc.constantFrom(' ', '\n', 'and ', ', ')), { maxLength: 6 })
    .map((parts) => parts.join('')),
  value,
  value.map((one) => Buffer.from(`see ${one} there`).toString('base64')),
  value.map((one) => JSON.stringify({ note: one })),
);
const leaf = fc.oneof(
  { arbitrary: text, weight: 4 },
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
);
const { event } = fc.letrec<{ event: Json }>((tie) => ({
  event: fc.oneof(
    { maxDepth: 4 },
    leaf as fc.Arbitrary<Json>,
    fc.array(tie('event'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), text), tie('event'), { maxKeys: 5 }) as fc.Arbitrary<Json>,
  ),
}));

function passed(result: Redaction): Extract<Redaction, { ok: true }> {
  if (!result.ok) throw new Error(result.reason);
  return result;
}

/** The event without what its leaves and keys say. A number may have become a text; nothing else becomes another thing. */
function shapeOf(json: Json): unknown {
  if (Array.isArray(json)) return json.map(shapeOf);
  if (json !== null && typeof json === 'object')
    return Object.keys(json).length === 0
      ? {}
      : Object.values(json)
          .map(shapeOf)
          .map((one) => [one]);
  return json === null || typeof json === 'boolean' ? json : 'text or number';
}

describe('for every event', () => {
  it('what comes out is JSON of the same shape', () => {
    fc.assert(
      fc.property(event, (before) => {
        const after = passed(redact(before, OPTIONS)).value;
        expect(JSON.parse(JSON.stringify(after))).toEqual(JSON.parse(JSON.stringify(after)));
        // Keys like numbers stand first in an object, whatever the order was: the shapes are compared as sets of members.
        expect(sorted(shapeOf(after))).toEqual(sorted(shapeOf(before)));
      }),
      RUNS,
    );
  });

  it('redacting again changes nothing and finds nothing', () => {
    fc.assert(
      fc.property(event, (before) => {
        const once = passed(redact(before, OPTIONS)).value;
        const twice = passed(redact(once, OPTIONS));
        expect(twice.value).toEqual(once);
        expect(twice.findings).toEqual([]);
      }),
      RUNS,
    );
  });

  it('nothing that a field or a text held is in the findings', () => {
    fc.assert(
      fc.property(event, value, (around, secret) => {
        const result = passed(redact({ password: secret, around }, OPTIONS));
        expect(JSON.stringify(result.findings)).not.toContain(secret);
      }),
      RUNS,
    );
  });

  it('a value that its field names is nowhere in what comes out, in no encoding', () => {
    fc.assert(
      fc.property(event, fc.integer({ min: 1, max: 1e6 }), (around, seed) => {
        const secret = new Generator(seed).value('EMAIL');
        const before = {
          around,
          email: secret,
          list: [`write to ${secret} now`, { [secret]: 1 }, Buffer.from(`or ${secret} then`).toString('base64')],
        };
        const readings = everyReading(passed(redact(before, OPTIONS)).value);
        expect(readings.filter((reading) => reading.includes(secret))).toEqual([]);
      }),
      RUNS,
    );
  });

  it('a value has one pseudonym, in every event and wherever it stands', () => {
    const policies = parsePolicies('version: 1\npolicies: [{ name: long, pseudonym_length: 32 }]');
    fc.assert(
      fc.property(
        event,
        event,
        fc.constantFrom('EMAIL', 'CREDIT_CARD', 'IBAN'),
        fc.integer({ min: 1, max: 1e6 }),
        (one, other, type, seed) => {
          const secret = new Generator(seed).value(type);
          const first = passed(redact({ x: `for ${secret} only`, one }, { ...OPTIONS, policies })).value as {
            x: string;
          };
          const second = passed(redact([other, [`for ${secret} only`]], { ...OPTIONS, policies })).value as [
            Json,
            [string],
          ];
          expect(second[1][0]).toBe(first.x);
        },
      ),
      RUNS,
    );
  });
});

function sorted(shape: unknown): unknown {
  if (!Array.isArray(shape)) return shape;
  return shape.map(sorted).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
