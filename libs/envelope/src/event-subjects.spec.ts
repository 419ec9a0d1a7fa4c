import { describe, expect, it } from '@jest/globals';
import {
  EVENT_SUBJECTS,
  HELD_EVENT_SUBJECTS,
  RAW_EVENT_SUBJECTS,
  eventSubject,
  eventSubjects,
  heldEventSubject,
  heldLetterSubject,
  parseEventSubject,
  parseHeldEventSubject,
  parseRawEventSubject,
  rawEventSubject,
  rawPartitionSubjects,
  storedEventSubjects,
  storedHeldEventSubjects,
  storedHeldLetterSubjects,
  storedRawEventSubjects,
} from './event-subjects.js';

const ADDRESS = {
  tenantId: 'acme',
  source: 'github',
  topic: 'github.push',
  key: 'component:default/web.v1',
  event: 'e_1',
};
const TOKENS = 'acme.github.github%2Epush.component:default/web%2Ev1.e_1';

describe('subjects of events', () => {
  it('are spelled as operators know them', () => {
    expect(rawEventSubject(ADDRESS)).toBe(`raw.${TOKENS}`);
    expect(eventSubject(ADDRESS)).toBe(`evt.${TOKENS}`);
    expect(heldEventSubject(ADDRESS)).toBe(`held.${TOKENS}`);
    expect(heldLetterSubject(ADDRESS)).toBe('acme.github.github%2Epush.e_1');
    expect(rawPartitionSubjects(3)).toBe('raw.3.>');
    expect(storedRawEventSubjects('e_1')).toBe('raw.*.*.*.*.*.e_1');
    expect(storedHeldEventSubjects('e_1')).toBe('held.*.*.*.*.e_1');
    expect(storedHeldLetterSubjects('e_1')).toBe('dlq.EVENTS_RAW.*.*.*.e_1');
    expect(storedEventSubjects('e_1')).toBe('evt.*.*.*.*.e_1');
    expect(eventSubjects('acme')).toBe('evt.acme.*.*.*.*');
    expect(eventSubjects('acme', 'github', 'a.b')).toBe('evt.acme.github.a%2Eb.*.*');
    expect([RAW_EVENT_SUBJECTS, EVENT_SUBJECTS, HELD_EVENT_SUBJECTS]).toEqual([
      'raw.*.*.*.*.*',
      'evt.*.*.*.*.*',
      'held.*.*.*.*.*',
    ]);
  });

  it('give their address back', () => {
    expect(parseRawEventSubject(`raw.7.${TOKENS}`)).toEqual({ partition: 7, ...ADDRESS });
    expect(parseEventSubject(`evt.${TOKENS}`)).toEqual(ADDRESS);
    expect(parseHeldEventSubject(`held.${TOKENS}`)).toEqual(ADDRESS);
    expect(() => parseHeldEventSubject(`evt.${TOKENS}`)).toThrow(RangeError);
  });

  it.each([`raw.${TOKENS}`, `raw.x.${TOKENS}`, `raw.1.${TOKENS}.more`, `evt.1.${TOKENS}`, 'raw.1.a.b.c.%zz.e'])(
    '%s is none of a stored raw event',
    (subject) => expect(() => parseRawEventSubject(subject)).toThrow(RangeError),
  );

  it.each([`raw.${TOKENS}`, `evt.${TOKENS}.more`, 'evt.a.b.c.d'])('%s is none of an event', (subject) =>
    expect(() => parseEventSubject(subject)).toThrow(RangeError),
  );
});
