import { describe, expect, it } from '@jest/globals';
import type { EventAttributes } from './attributes.js';
import { boundedKey, deliveryIdOf, eventName, orderingKeyOf } from './sourced-event.js';

const ATTRIBUTES: EventAttributes = { id: '1', source: '/s', type: 'topic', extensions: {} };

describe('the name of an event', () => {
  it('is the same for the same event only', () => {
    const name = eventName('acme', 'github', ATTRIBUTES);
    expect(name).toMatch(/^e_[\w-]{43}$/);
    expect(eventName('acme', 'github', { ...ATTRIBUTES, type: 'other' } as EventAttributes)).toBe(name);
    const others = [
      eventName('other', 'github', ATTRIBUTES),
      eventName('acme', 'gitlab', ATTRIBUTES),
      eventName('acme', 'github', { ...ATTRIBUTES, id: '2' }),
      eventName('acme', 'github', { ...ATTRIBUTES, source: '/t' }),
    ];
    expect(new Set([name, ...others]).size).toBe(5);
  });
});

describe('the ordering key of an event', () => {
  it('is the partition key, or the subject, or what the data is about, or the topic', () => {
    const github = { repository: { full_name: 'acme/web' } };
    const all = { ...ATTRIBUTES, subject: 's', extensions: { partitionkey: 'p' } };
    expect(orderingKeyOf(all, github)).toBe('p');
    expect(orderingKeyOf({ ...all, extensions: {} }, github)).toBe('s');
    expect(orderingKeyOf(ATTRIBUTES, github)).toBe('acme/web');
    expect(orderingKeyOf(ATTRIBUTES, { entityRef: 'component:default/web', ...github })).toBe('component:default/web');
    expect(orderingKeyOf(ATTRIBUTES, { project: { path_with_namespace: 'acme/api' } })).toBe('acme/api');
    for (const data of [undefined, null, 'text', 7, [], { repository: null }, { entityRef: 7 }]) {
      expect(orderingKeyOf(ATTRIBUTES, data)).toBe('topic');
    }
  });

  it('is the digest of one that no subject could carry', () => {
    const long = 'k'.repeat(257);
    expect(boundedKey(long)).toMatch(/^k_[\w-]{43}$/);
    expect(boundedKey(long)).not.toBe(boundedKey(`${long}k`));
    expect(boundedKey('k'.repeat(256))).toHaveLength(256);
  });
});

describe('the id of a delivery', () => {
  it('is the one that its sender repeats', () => {
    expect(deliveryIdOf({ 'x-github-delivery': 'd1', 'x-request-uuid': 'r' })).toBe('d1');
    expect(deliveryIdOf({ 'webhook-id': ['w1', 'w2'] })).toBe('w1');
    expect(deliveryIdOf({ 'x-github-delivery': '', other: 'x' })).toBeUndefined();
    expect(deliveryIdOf({ 'ce-id': 'x'.repeat(1_025) })).toBeUndefined();
  });
});
