/**
 * Time grows with the length of a text, not with its square: eight times the text may take 24 times as long at most, where a
 * quadratic detector would take 64 times. A ratio of processor times, so that a slow machine changes nothing; the shortest of several.
 */
import { describe, expect, it } from '@jest/globals';
import { redact } from './redact.js';

const OPTIONS = { key: Buffer.alloc(32, 7), tenant: 'acme' };
const SMALL = 8 * 1024;
const TIMES = 8;
const MOST = 24;
/** Below this a measurement says nothing; growth from it is still told from quadratic growth. */
const FLOOR_MICROSECONDS = 1000;

const UNITS = [
  'a',
  '1',
  'A',
  ' ',
  '\n',
  'a.',
  'a@',
  '1-',
  '1 ',
  '1.',
  '(1',
  '+1',
  'deadbeef',
  'QUJD',
  '-----BEGIN ',
  '-----BEGIN PRIVATE KEY-----\n',
  '"',
  'a_',
  'ab:',
  '::',
  'http://',
  'http://a:b',
  'password=',
  'password="',
  'name: ',
  '\u00a0',
  'Abc ',
  'Jane ',
  'Jane, ',
  'a/',
  '%',
  '%25',
  '&amp;',
  '&#38;',
  '\\u0041',
  '\\',
  '[EMAIL:',
  '[EMAIL:abcd]',
  'eyJ',
  'eyJa.',
  'SK-',
  'sk-',
  'ghp_',
  'xoxb-',
  '12 Street ',
  'Suite 1\n',
  'born 1.1.2000 ',
  'jane at a dot ',
  'DE12 ',
  'Mr. ',
  '1:1:',
  '{"a":',
  '[',
  '=?',
  'é',
  '\u200b',
  'а',
  'Bearer ',
  'call 1 ',
  'de ',
  'tel 0',
  '123-45-6789 ',
];

function microseconds(text: string): number {
  let least = Infinity;
  for (let i = 0; i < 2; i++) {
    const before = process.cpuUsage();
    redact({ text, again: [text.slice(0, 100)] }, OPTIONS);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

describe('hostile text', () => {
  it.each(UNITS.map((unit) => [unit]))('%j, repeated, takes time that grows with its length', (unit) => {
    const small = unit.repeat(Math.ceil(SMALL / unit.length));
    microseconds(small);
    const before = Math.max(microseconds(small), FLOOR_MICROSECONDS);
    const after = microseconds(small.repeat(TIMES));
    expect(after / before).toBeLessThan(MOST);
  });
});
