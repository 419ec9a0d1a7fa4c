import { describe, expect, it } from '@jest/globals';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { ATTRIBUTE } from './attributes.js';
import { carry, contextNow, contextOf, startSpan, traced } from './spans.js';
import { traceContextOf } from './trace-context.js';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const settings = { kind: 'producer', parent: { traceparent, tracestate: 'a=b' } } as const;

describe('a process without an SDK', () => {
  it('passes on what it was told of a trace, as it came', () => {
    const span = startSpan('send', settings);
    expect(contextOf(span)).toEqual({ traceparent, tracestate: 'a=b' });
    expect(carry(span, { n: 1, tracestate: 'other=1' })).toEqual({ n: 1, traceparent, tracestate: 'a=b' });
  });

  it('begins no trace', async () => {
    const message: { n: number; traceparent?: string } = { n: 1 };
    await traced('send', { kind: 'producer' }, (span) => {
      expect(contextOf(span)).toEqual({});
      expect(carry(span, message)).toBe(message);
      return Promise.resolve();
    });
    expect(contextNow()).toEqual({});
  });

  it('fails as its work does', async () => {
    const fault = new Error('broken');
    await expect(traced('send', settings, () => Promise.reject(fault))).rejects.toBe(fault);
  });
});

describe('what somebody says of a trace', () => {
  it.each([
    ['another version', '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    ['more than a traceparent', `${traceparent}\r\nNats-Rollup: all`],
    ['no text', 7],
    ['nothing', undefined],
  ])('is passed over when it is %s', (_, said) => {
    expect(traceContextOf(said, 'a=b')).toEqual({});
  });

  it('is taken without a tracestate that is too long, or no header', () => {
    expect(traceContextOf(traceparent, 'a'.repeat(513))).toEqual({ traceparent });
    expect(traceContextOf(traceparent, 'a\nb')).toEqual({ traceparent });
    expect(traceContextOf(traceparent, 'a=b')).toEqual({ traceparent, tracestate: 'a=b' });
  });

  it('is no trace when its ids are zeros', () => {
    const zeros = `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`;
    expect(contextOf(startSpan('send', { kind: 'producer', parent: { traceparent: zeros } }))).toEqual({});
  });
});

describe('an attribute', () => {
  it('is one of OpenTelemetry, by its name there, or ours by our prefix', () => {
    const known = new Set<unknown>(Object.values(conventions));
    const others = Object.values(ATTRIBUTE).filter((name) => !known.has(name));
    expect(others.length).toBeGreaterThan(0);
    for (const name of others) expect(name).toMatch(/^callboard\.[a-z_.]+$/);
  });
});
