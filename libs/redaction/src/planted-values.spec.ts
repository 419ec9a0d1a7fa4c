/** Properties of redaction over seeded events that hold private values in many places and encodings. */
import { describe, expect, it } from '@jest/globals';
import { redact, type RedactOptions } from './redact.js';
import { at, everyReading, plantedEvent } from './spec-events.js';
import type { Json } from './types.js';

const OPTIONS: RedactOptions = { key: Buffer.alloc(32, 7), tenant: 'acme' };
const SEEDS = Array.from({ length: 120 }, (_, i) => i + 1);

function redacted(event: Json): Json {
  const result = redact(event, OPTIONS);
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

describe('an event with planted values', () => {
  it('keeps none of them, however what comes out is decoded', () => {
    const survived: string[] = [];
    for (const seed of SEEDS) {
      const { event, values } = plantedEvent(seed);
      const readings = everyReading(redacted(event)).map((text) => text.toLowerCase());
      for (const { type, value, encoding } of values) {
        if (readings.some((text) => text.includes(value.toLowerCase())))
          survived.push(`seed ${seed}: ${type} ${encoding}`);
      }
    }
    expect(survived).toEqual([]);
  });

  it('would have shown them to the reader of this test: it finds every value in the event as it came', () => {
    for (const seed of SEEDS) {
      const { event, values } = plantedEvent(seed);
      const readings = everyReading(event).map((text) => text.toLowerCase());
      expect(values.filter(({ value }) => !readings.some((text) => text.includes(value.toLowerCase())))).toEqual([]);
    }
  });

  it('keeps references, ids, hashes, versions, times and numbers as they were', () => {
    const lost: string[] = [];
    for (const seed of SEEDS) {
      const { event, survivors } = plantedEvent(seed);
      const after = redacted(event);
      for (const pointer of survivors) {
        expect(at(event, pointer)).toBeDefined();
        if (at(after, pointer) !== at(event, pointer)) lost.push(`seed ${seed}: ${pointer}`);
      }
    }
    expect(lost).toEqual([]);
  });

  it('has the same shape afterwards, and encoded JSON is JSON still', () => {
    for (const seed of SEEDS) {
      const { event } = plantedEvent(seed);
      const after = redacted(event);
      expect(JSON.parse(JSON.stringify(after))).toEqual(after);
      expect(shapeOf(after)).toEqual(shapeOf(event));
    }
  });

  it('stays as it is when it is redacted again', () => {
    for (const seed of SEEDS) {
      const once = redacted(plantedEvent(seed).event);
      expect(redacted(once)).toEqual(once);
    }
  });

  it('has findings without a value, or a part of one', () => {
    for (const seed of SEEDS) {
      const { event, values } = plantedEvent(seed);
      const result = redact(event, OPTIONS);
      const text = JSON.stringify(result.ok ? result.findings : result).toLowerCase();
      expect(values.filter(({ value }) => text.includes(value.toLowerCase()))).toEqual([]);
    }
  });

  it('is the same twice, and does not change what it was given', () => {
    const { event } = plantedEvent(42);
    const copy = structuredClone(event);
    expect(redact(event, OPTIONS)).toEqual(redact(event, OPTIONS));
    expect(event).toEqual(copy);
  });
});

/** The event with every leaf replaced by nothing, and keys counted: redaction may rename keys, not remove them. */
function shapeOf(value: Json): unknown {
  if (typeof value === 'string') {
    if (!/^[[{]/.test(value)) return 'leaf';
    try {
      return { json: shapeOf(JSON.parse(value) as Json) };
    } catch {
      return 'leaf';
    }
  }
  if (Array.isArray(value)) return value.map(shapeOf);
  if (value !== null && typeof value === 'object') return Object.values(value).map(shapeOf);
  return 'leaf';
}
