import type { EventPage, StoredEvent } from '@callboard/jetstream';
import { encodeCursor } from '@callboard/jetstream';
import { describe, expect, it } from '@jest/globals';
import { MAX_ANSWER_BYTES, toAnswer } from './event-json.js';

const event = (sequence: number, attributeChars: number, dataChars = 1): StoredEvent => ({
  sequence,
  trace: {},
  storedAt: '2026-11-20T20:00:00.000Z',
  address: { tenantId: 't', source: 's', topic: 'push', key: 'k', event: `e_${sequence}` },
  attributes: { id: String(sequence), source: '/s', type: 'push', extensions: { x: 'x'.repeat(attributeChars) } },
  data: Buffer.from(JSON.stringify('d'.repeat(dataChars))),
});

const page = (...events: StoredEvent[]): EventPage => ({
  events,
  next: { stream: 'a', sequence: 1_000 },
  hasMore: false,
  truncated: false,
  restarted: false,
});

describe('an answer with events', () => {
  it('holds a whole page that fits, and goes on after all that was looked at', () => {
    const { answer } = toAnswer(page(event(1, 1), event(2, 1)));
    expect(answer).toMatchObject({
      events: [{ event: { id: '1' } }, { event: { id: '2' } }],
      next_cursor: encodeCursor({ stream: 'a', sequence: 1_000 }),
      has_more: false,
    });
  });

  it('ends where it is full, attributes counted, and goes on after the last event in it', () => {
    const large = MAX_ANSWER_BYTES / 3;
    const { answer, next } = toAnswer(page(...[3, 5, 7, 9].map((sequence) => event(sequence, large))));
    expect(answer.events.map(({ event: of }) => (of as { id: string }).id)).toEqual(['3', '5']);
    expect([next.sequence, answer.has_more]).toEqual([5, true]);
    expect(answer.next_cursor).toBe(encodeCursor(next));
    expect(Buffer.byteLength(JSON.stringify(answer))).toBeLessThan(MAX_ANSWER_BYTES);
  });

  it('leaves out the data of an event that alone is too large, says so, and goes on after it', () => {
    const { answer, next } = toAnswer(page(event(3, 1, MAX_ANSWER_BYTES), event(5, 1)));
    expect(answer.events).toHaveLength(1);
    expect(answer.events[0]).toMatchObject({ event: { id: '3' }, omitted_data_bytes: MAX_ANSWER_BYTES + 2 });
    expect(answer.events[0]!.event).not.toHaveProperty('data');
    expect(next.sequence).toBe(3);
  });
});
