import { describe, expect, it } from '@jest/globals';
import {
  EVENT_LIMITS,
  InvalidEvent,
  percentDecode,
  readAttributes,
  readEventHeaders,
  readStoredEventHeaders,
  toEventHeaders,
} from './attributes.js';

const LEAST = { specversion: '1.0', id: '1', source: '/s', type: 't' };

function refusal(members: Record<string, unknown>): string {
  try {
    readAttributes(members);
  } catch (error) {
    if (error instanceof InvalidEvent) return error.message;
    throw error;
  }
  return 'taken';
}

describe('the attributes of an event', () => {
  it('are the ones of CloudEvents 1.0, with extensions as text', () => {
    const members = {
      ...LEAST,
      time: '2026-11-20T10:00:00.123Z',
      subject: 'a b',
      partitionkey: 'k',
      retries: 3,
      last: true,
    };
    expect(readAttributes({ ...members, data: { any: 'thing' }, dataschema: null })).toEqual({
      id: '1',
      source: '/s',
      type: 't',
      time: '2026-11-20T10:00:00.123Z',
      subject: 'a b',
      extensions: { partitionkey: 'k', retries: '3', last: 'true' },
    });
  });

  it('are refused by name, and never with their value', () => {
    expect(refusal({ ...LEAST, specversion: '0.3' })).toBe('specversion must be "1.0"');
    expect(refusal({ ...LEAST, id: undefined })).toBe('id is missing');
    expect(refusal({ ...LEAST, id: '' })).toMatch(/^id must have 1 to/);
    expect(refusal({ ...LEAST, source: undefined })).toBe('source is missing');
    expect(refusal({ ...LEAST, type: 'jane@example.org' })).toMatch(/^type must be 1 to 128 letters/);
    expect(refusal({ ...LEAST, time: 'yesterday' })).toBe('time must be an RFC 3339 timestamp');
    expect(refusal({ ...LEAST, time: '2026-13-40T10:00:00Z' })).toBe('time must be an RFC 3339 timestamp');
    expect(refusal({ ...LEAST, datacontenttype: 'jäson' })).toBe('datacontenttype must be a media type');
    expect(refusal({ ...LEAST, subject: 'a\r\nNats-Msg-Id: x' })).toBe('subject must not hold control characters');
    expect(refusal({ ...LEAST, subject: '\ud800' })).toBe('subject must not hold control characters');
    expect(refusal({ ...LEAST, subject: { a: 1 } })).toBe('subject must be text, a whole number or a boolean');
    expect(refusal({ ...LEAST, extra: 1.5 })).toBe('extension 1 must be text, a whole number or a boolean');
    expect(refusal({ ...LEAST, 'Jane-Doe': 'x' })).toMatch(/^an attribute has a name that is not of lower-case/);
  });

  it('are bounded: each of them, their number, and all together', () => {
    const extensions = (count: number, chars: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, 'v'.repeat(chars)]));
    expect(refusal({ ...LEAST, subject: 's'.repeat(EVENT_LIMITS.attributeChars) })).toBe('taken');
    expect(refusal({ ...LEAST, subject: 's'.repeat(EVENT_LIMITS.attributeChars + 1) })).toMatch(/^subject must have/);
    expect(refusal({ ...LEAST, ...extensions(EVENT_LIMITS.extensions, 1) })).toBe('taken');
    expect(refusal({ ...LEAST, ...extensions(EVENT_LIMITS.extensions + 1, 1) })).toMatch(/more than 32 extensions/);
    expect(refusal({ ...LEAST, ...extensions(17, 1_000) })).toMatch(/characters together$/);
  });

  it('come back from NATS headers as they were, whatever letters they hold', () => {
    const attributes = readAttributes({
      ...LEAST,
      subject: 'Zürich "100 %" 東京 🎭',
      datacontenttype: 'application/json; charset=utf-8',
      partitionkey: 'component:default/web',
    });
    const headers = toEventHeaders(attributes);
    for (const [, value] of headers) expect(value).toMatch(/^[\x20-\x7e]+$/);
    expect(readEventHeaders(headers.map(([name, value]) => [name, [value]]))).toEqual(attributes);
  });

  it('of a stored event come back though something was added to them since, and of anything else do not', () => {
    const full = Object.fromEntries(Array.from({ length: EVENT_LIMITS.extensions }, (_, i) => [`x${i}`, 'v']));
    const attributes = readAttributes({ ...LEAST, time: '2026-11-20T10:00:00Z', subject: 'a b', ...full });
    attributes.extensions['added'] = 'since';
    const headers = toEventHeaders(attributes).map(([name, value]): [string, string[]] => [name, [value]]);
    expect(() => readEventHeaders(headers)).toThrow(InvalidEvent);
    expect(readStoredEventHeaders([...headers, ['Nats-Msg-Id', ['x']]])).toEqual(attributes);
    for (const name of ['ce-specversion', 'ce-id', 'ce-source', 'ce-type']) {
      expect(readStoredEventHeaders(headers.filter(([header]) => header !== name))).toBeUndefined();
    }
  });

  it('leave what is no percent-encoding as it stands', () => {
    expect(percentDecode('100% of %zz %41%C3')).toBe('100% of %zz %41%C3');
    expect(percentDecode('%41')).toBe('A');
  });
});
