/**
 * 10,000 inputs that nobody should send: no JSON at all, cut and mangled JSON, nests, binary, cycles, objects that throw, hostile
 * repetitions. Each is answered, with an event or with a refusal, and within a time that the limits give. The seed of a failing input is in the
 * message: SEED=… plays it alone.
 */
import { describe, expect, it } from '@jest/globals';
import { REFUSALS } from './limits.js';
import { redact, type RedactOptions } from './redact.js';
import { Generator, plantedEvent } from './spec-events.js';
import type { Json } from './types.js';

const INPUTS = 10_000;
const FIRST = process.env['SEED'] === undefined ? 1 : Number(process.env['SEED']);
const LAST = process.env['SEED'] === undefined ? INPUTS : FIRST;
const LIMITS = { textChars: 16 * 1024, chars: 64 * 1024, nodes: 5_000 };
const OPTIONS: RedactOptions = { key: Buffer.alloc(32, 7), tenant: 'acme', limits: LIMITS };
/** Of processor time, for what the limits let through; a hundred times what the slowest takes. */
const MOST_SECONDS = 5;

const UNITS = [
  'a',
  '1',
  '@',
  'a@',
  '{"a":',
  '[',
  '"',
  '\\',
  '%',
  '%25',
  '&amp;',
  '\\u0041',
  'Mr. ',
  'Jane, ',
  'name: ',
  'password=',
  '-----BEGIN ',
  'eyJ',
  '12 Street ',
  '\u200b',
  '\ud800',
  '[EMAIL:',
];

function poison(seed: number): unknown {
  const make = new Generator(seed);
  const kinds: (() => unknown)[] = [
    () =>
      make.pick<unknown>([
        undefined,
        Number.NaN,
        -Infinity,
        10n,
        Symbol('x'),
        () => 1,
        new Date(0),
        new Map([[1, 2]]),
        /a/,
        new Uint8Array(9),
        Promise.resolve(),
      ]),
    () => wrap(make.int(200), make.pick<unknown>([null, 'jane@example.org', Number.NaN]), make),
    () => wrap(2_000, 1, make),
    () => make.pick(UNITS).repeat(make.int(4096)),
    () =>
      Array.from({ length: 1 + make.int(5) }, () => make.pick(UNITS).repeat(make.int(900))).join(
        make.pick(['', ' ', '\n']),
      ),
    () => String.fromCharCode(...Array.from({ length: make.int(200) }, () => make.int(65536))),
    () => Buffer.from(Array.from({ length: make.int(300) }, () => make.int(256))).toString('latin1'),
    () => mangled(JSON.stringify(plantedEvent(seed).event), make),
    () => parsed(mangled(JSON.stringify(plantedEvent(seed).event), make)),
    () => nestedText(make.int(8), make),
    () =>
      Object.fromEntries(
        Array.from({ length: make.int(60) }, (_, i) => [
          make.chars(make.int(30), 'ab@.:[]"\\{}'),
          i % 3 ? make.value('EMAIL') : i,
        ]),
      ),
    () => Array.from({ length: make.int(9_000) }, (_, i) => i),
    () => make.chars(50, 'ab ').repeat(400 + make.int(1200)),
    () => circular(make),
    () =>
      Object.defineProperty({}, 'email', {
        enumerable: true,
        get: () => {
          throw new Error('jane@example.org');
        },
      }),
    () =>
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no');
          },
        },
      ),
    () => Object.assign(Object.create({ inherited: 1 }) as object, { a: 1 }),
    () => [, 1, , make.value('PHONE')],
  ];
  return make.pick(kinds)();
}

function wrap(depth: number, value: unknown, make: Generator): unknown {
  let wrapped = value;
  for (let i = 0; i < depth; i++) wrapped = make.int(2) === 0 ? [wrapped] : { a: wrapped };
  return wrapped;
}

function mangled(json: string, make: Generator): string {
  let text = json;
  for (let i = make.int(6); i >= 0; i--) {
    const at = make.int(text.length);
    text = make.pick([
      () => text.slice(0, at),
      () => text.slice(at),
      () => text.slice(0, at) + make.pick(UNITS) + text.slice(at + make.int(9)),
      () => text.slice(0, at) + text.slice(Math.max(0, at - 300), at) + text.slice(at),
    ])();
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return [text, text.slice(0, 99)];
  }
}

function nestedText(times: number, make: Generator): string {
  let text = `write to ${make.value('EMAIL')}`;
  for (let i = 0; i < times; i++) {
    text = make.pick([
      () => JSON.stringify({ text }),
      () => Buffer.from(text).toString('base64'),
      () => encodeURIComponent(text),
      () => JSON.stringify(text),
    ])();
    if (text.length > 20_000) break;
  }
  return text;
}

function circular(make: Generator): object {
  const event: Record<string, unknown> = { name: make.value('PERSON') };
  event['self'] = make.int(2) === 0 ? event : [event];
  return event;
}

describe('poison', () => {
  it(`${INPUTS} inputs are answered each, and none takes longer than its limits allow`, () => {
    const wrong: string[] = [];
    for (let seed = FIRST; seed <= LAST; seed++) {
      const input = poison(seed);
      const before = process.cpuUsage();
      try {
        const result = redact(input as Json, OPTIONS);
        if (result.ok) JSON.stringify(result.value);
        else if (!(result.reason in REFUSALS) || Object.keys(result).length !== 2)
          wrong.push(`SEED=${seed}: ${JSON.stringify(result)}`);
      } catch (error) {
        wrong.push(`SEED=${seed}: ${(error as Error).message}`);
      }
      const { user, system } = process.cpuUsage(before);
      if (user + system > MOST_SECONDS * 1e6) wrong.push(`SEED=${seed}: ${(user + system) / 1e6} s`);
    }
    expect(wrong).toEqual([]);
  }, 300_000);
});
