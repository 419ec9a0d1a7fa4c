import { describe, expect, it } from '@jest/globals';
import { decodeToken, encodeToken, isWellFormed } from './token.js';

/** A small seeded generator, so that a failure names the text that caused it and comes again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function randomText(next: () => number): string {
  const ranges = [
    [0x00, 0x7f],
    [0x20, 0x7e],
    [0x80, 0x7ff],
    [0x800, 0xd7ff],
    [0xe000, 0xffff],
    [0x1_0000, 0x10_ffff],
  ] as const;
  return Array.from({ length: Math.floor(next() * 12) }, () => {
    const [low, high] = ranges[Math.floor(next() * ranges.length)]!;
    return String.fromCodePoint(low + Math.floor(next() * (high - low + 1)));
  }).join('');
}

describe('subject tokens', () => {
  it.each([
    ['acme', 'acme'],
    ['user:default/jane.doe', 'user:default/jane%2Edoe'],
    ['', '%'],
    ['%', '%25'],
    ['a b', 'a%20b'],
    ['*', '%2A'],
    ['>', '%3E'],
    ['$JS', '%24JS'],
    ['Zürich', 'Z%C3%BCrich'],
    ['😀', '%F0%9F%98%80'],
    ['line\r\nbreak\0', 'line%0D%0Abreak%00'],
    ['A-Z_a-z:0@9/=+~,!', 'A-Z_a-z:0@9/=+~,!'],
  ])('write %j as %s', (text, token) => {
    expect(encodeToken(text)).toBe(token);
    expect(decodeToken(token)).toBe(text);
  });

  it('give every text back, and hold nothing that NATS or a terminal would read as more than one token', () => {
    const next = random(20_260_728);
    const seen = new Map<string, string>();
    for (let i = 0; i < 5_000; i++) {
      const text = randomText(next);
      const token = encodeToken(text);
      expect(token).toMatch(/^[A-Za-z0-9\-_:@/=+~,!%]+$/);
      expect(decodeToken(token)).toBe(text);
      expect(seen.get(token) ?? text).toBe(text);
      seen.set(token, text);
    }
  });

  it.each(['', '%4', '%zz', '%2e', '%41', 'a.b', 'a b', 'a*', '>', '%FF', '%C0%AF', '%ED%A0%80', '%%', 'ü'])(
    'refuse %j, which encodeToken never writes',
    (token) => {
      expect(() => decodeToken(token)).toThrow(RangeError);
    },
  );

  it('refuse half a surrogate pair: as UTF-8 it would be the token of another text', () => {
    for (const text of ['\ud83d', '\ude00', 'a\ud83db', '\ude00\ud83d']) {
      expect(isWellFormed(text)).toBe(false);
      expect(() => encodeToken(text)).toThrow(RangeError);
    }
    expect(isWellFormed('a😀b')).toBe(true);
  });
});
