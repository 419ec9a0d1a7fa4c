import { describe, expect, it } from '@jest/globals';
import { EVENT_RULES, checkEvents, type EventRule } from './checker.js';
import type { EventHistory, Post, SeenEvent, Way } from './history.js';

const post = (way: Way, value: number, more: Partial<Post> = {}): Post => ({
  way,
  key: way,
  value,
  secret: `secret ${way} ${value}`,
  sentAt: 1_000 * value,
  answeredAt: 1_000 * value + 10,
  attempts: 1,
  ...more,
});
const seen = (way: Way, value: number, text = ''): SeenEvent => ({ way, key: way, value, text });
const ALL = [seen('plug-in', 1), seen('plug-in', 2), seen('ingestor', 1), seen('bus', 1)];

/** A run in which everything was as it should be: one event of the bus is missing, and a gap was told. */
const GOOD: EventHistory = {
  posts: [post('plug-in', 1), post('plug-in', 2), post('ingestor', 1), post('bus', 1), post('bus', 2)],
  kills: [],
  stored: ALL,
  gaps: [{ reason: 'answer_lost', since: 1_500, until: 2_500 }],
  read: { modern: ALL, legacy: ALL },
  held: 0,
};

const BROKEN: Record<EventRule, Partial<EventHistory>> = {
  'event unanswered': { posts: [...GOOD.posts, withoutAnswer(post('ingestor', 2))] },
  'event lost': { posts: [...GOOD.posts, post('plug-in', 3)] },
  'event lost silently': { gaps: [{ reason: 'answer_lost', since: 2_500, until: 3_500 }] },
  'event stored twice': { stored: [...ALL, seen('ingestor', 1)] },
  'event unknown': {
    stored: [...ALL, seen('bus', 7)],
    read: { modern: [...ALL, seen('bus', 7)], legacy: [...ALL, seen('bus', 7)] },
  },
  'event out of order': { stored: [ALL[1]!, ALL[0]!, ALL[2]!, ALL[3]!] },
  'event not redacted': {
    read: { modern: ALL, legacy: [seen('plug-in', 1, 'has secret plug-in 1 in it'), ...ALL.slice(1)] },
  },
  'event held back': { held: 1 },
  'event not read': { read: { modern: ALL.slice(1), legacy: ALL } },
  'event read twice': { read: { modern: ALL, legacy: [...ALL, seen('bus', 1)] } },
};

function withoutAnswer({ answeredAt: _, ...unanswered }: Post): Post {
  return unanswered;
}

describe('the rules for events', () => {
  it('find nothing in a run in which everything was as it should be', () => {
    expect(checkEvents(GOOD)).toEqual([]);
  });

  it('let an event of the bus that was not taken be there, anywhere, or not', () => {
    const posts = [...GOOD.posts, withoutAnswer(post('bus', 3))];
    expect(checkEvents({ ...GOOD, posts })).toEqual([]);
    const more = [seen('bus', 3), ...ALL];
    expect(checkEvents({ ...GOOD, posts, stored: more, read: { modern: more, legacy: more } })).toEqual([]);
  });

  it.each(EVENT_RULES)('find a broken "%s"', (rule) => {
    expect(new Set(checkEvents({ ...GOOD, ...BROKEN[rule] }).map((finding) => finding.rule))).toEqual(new Set([rule]));
  });
});
