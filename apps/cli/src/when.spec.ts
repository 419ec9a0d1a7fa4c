import { describe, expect, it } from '@jest/globals';
import { ageOf, parseCount, parseDuration, parseTime, parseWhen } from './when.js';

describe('what a person types as a time', () => {
  it.each([
    ['90s', 90_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['often', undefined],
    ['10', undefined],
    ['-1h', undefined],
    ['1.5h', undefined],
  ])('is a duration, or none: %s', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  it('is a time with its zone, or how long ago', () => {
    const five = Date.UTC(2026, 6, 28, 5);
    for (const text of ['2026-07-28T05:00:00Z', '2026-07-28T05:00Z', '2026-07-28T07:00:00.000+02:00']) {
      expect(parseTime(text)).toBe(five);
      expect(parseWhen(text)).toBe(five);
    }
    expect(Math.abs(parseWhen('2h') - (Date.now() - 7_200_000))).toBeLessThan(5_000);
    // Without a zone it would be another time on another machine.
    for (const text of ['2026-07-28T05:00:00', '2026-07-28', 'yesterday', '2026-13-28T05:00:00Z', '2h']) {
      expect(() => parseTime(text)).toThrow('It must be a time with its zone');
    }
  });

  it('is a count from 1 on', () => {
    expect(parseCount('17')).toBe(17);
    for (const text of ['0', '-1', '1.5', 'many', '']) expect(() => parseCount(text)).toThrow('whole number from 1');
  });

  it('is told back as an age, in the unit that says something', () => {
    const now = Date.parse('2026-07-28T05:00:00Z');
    const ages = ['2026-07-28T04:59:01Z', '2026-07-28T04:50:00Z', '2026-07-27T03:00:00Z', '2026-07-20T05:00:00Z'];
    expect(ages.map((at) => ageOf(at, now))).toEqual(['59s', '10m', '26h', '8d']);
    expect(ageOf('2026-07-28T05:00:09Z', now)).toBe('0s');
  });
});
