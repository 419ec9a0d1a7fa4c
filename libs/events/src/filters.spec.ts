import { describe, expect, it } from '@jest/globals';
import { FILTER_LIMITS, InvalidFilter, fulfils, parseFilters, type Filterable } from './filters.js';

const event: Filterable = {
  attributes: {
    id: '4711',
    source: 'https://github.com/backstage/backstage',
    type: 'push',
    subject: 'refs/heads/main',
    time: '2026-11-20T19:00:00Z',
    extensions: { traceid: 'abc', topic: 'hidden' },
  },
  topic: 'github.push',
  key: 'component:default/backstage',
};

describe('a filter', () => {
  it.each([
    [true, { exact: { type: 'push' } }],
    [false, { exact: { type: 'Push' } }],
    [true, { exact: { type: 'push', subject: 'refs/heads/main' } }],
    [false, { exact: { type: 'push', subject: 'refs/heads/dev' } }],
    [true, { prefix: { source: 'https://github.com/' } }],
    [false, { prefix: { source: 'github.com' } }],
    [true, { suffix: { subject: '/main' } }],
    [false, { suffix: { subject: '/dev' } }],
    [true, { exact: { traceid: 'abc' } }],
    [false, { exact: { nothere: 'abc' } }],
    [true, { not: { exact: { nothere: 'abc' } } }],
    [false, { exact: { constructor: 'abc' } }],
    [true, { exact: { topic: 'github.push', key: 'component:default/backstage' } }],
    [true, { prefix: { key: 'component:' } }],
    [true, { prefix: { time: '2026-11-20T' } }],
    [true, { all: [{ exact: { type: 'push' } }, { suffix: { subject: 'main' } }] }],
    [false, { all: [{ exact: { type: 'push' } }, { suffix: { subject: 'dev' } }] }],
    [true, { any: [{ exact: { type: 'issue' } }, { suffix: { subject: 'main' } }] }],
    [false, { any: [{ exact: { type: 'issue' } }, { suffix: { subject: 'dev' } }] }],
    [false, { not: { any: [{ exact: { type: 'push' } }] } }],
  ])('is %s: %j', (expected, filter) => {
    expect(fulfils(event, parseFilters([filter]))).toBe(expected);
  });

  it('of a list is fulfilled when all are, and an empty list always', () => {
    const [push, dev] = [{ exact: { type: 'push' } }, { suffix: { subject: 'dev' } }];
    expect(fulfils(event, parseFilters([push, dev]))).toBe(false);
    expect(fulfils(event, parseFilters([push, { not: dev }]))).toBe(true);
    expect(fulfils(event, parseFilters([]))).toBe(true);
  });
});

describe('a filter that cannot be read', () => {
  const nested = (depth: number): unknown => (depth === 1 ? { exact: { type: 'push' } } : { not: nested(depth - 1) });

  it.each([
    [{ exact: { type: 'push' } }, 'filters must be a list of filters'],
    [['push'], 'filters[0] must be an object with one of exact, prefix, suffix, all, any, not'],
    [[{ exact: { type: 'push' }, not: {} }], 'filters[0] must have exactly one member, of exact, prefix, suffix'],
    [[{ regex: { type: '.*' } }], 'filters[0] must have exactly one member'],
    [[{ sql: "type = 'push'" }], 'filters[0] uses the dialect sql, which is not offered'],
    [[{ any: [] }], 'filters[0].any must be a list of at least one filter'],
    [[{ any: [{ not: [] }] }], 'filters[0].any[0].not must be an object'],
    [
      [{ exact: { type: 'push' } }, { all: [{ prefix: { Type: 'x' } }] }],
      'filters[1].all[0].prefix names an attribute',
    ],
    [[{ suffix: { type: 7 } }], 'filters[0].suffix.type must be text'],
    [[{ suffix: { type: '' } }], 'filters[0].suffix.type must be text'],
    [[{ exact: { type: 'x'.repeat(FILTER_LIMITS.valueChars + 1) } }], 'filters[0].exact.type must be text of 1 to 512'],
    [[{ exact: {} }], 'filters[0].exact must be an object of attribute names'],
    [[nested(FILTER_LIMITS.depth + 1)], 'is nested too deep: at most 8 levels'],
    [Array.from({ length: FILTER_LIMITS.terms + 1 }, () => nested(1)), 'filters[64].exact is one too many: at most 64'],
  ])('is refused with the place: %#', (value, message) => {
    expect(() => parseFilters(value)).toThrow(InvalidFilter);
    expect(() => parseFilters(value)).toThrow(message);
  });

  it('says nothing of what was sent', () => {
    for (const secret of [[{ s3cret: 1 }], [{ exact: { S3CRET: 'x' } }], [{ exact: { type: ['s3cret'] } }]]) {
      expect(() => parseFilters(secret)).not.toThrow(/s3cret/i);
    }
  });

  it('is read at the limits themselves', () => {
    expect(parseFilters([nested(FILTER_LIMITS.depth)])).toHaveLength(1);
    expect(parseFilters(Array.from({ length: FILTER_LIMITS.terms }, () => nested(1)))).toHaveLength(
      FILTER_LIMITS.terms,
    );
  });
});
