import { describe, expect, it } from '@jest/globals';
import { eventUri, parseEventUri } from './event-uri.js';

describe('the URI of events', () => {
  it.each([
    ['event://', {}],
    ['event://github', { source: 'github' }],
    ['event://github/', { source: 'github' }],
    ['event://github/push', { source: 'github', topic: 'push' }],
    ['event://backstage/catalog.v1:a/b-c', { source: 'backstage', topic: 'catalog.v1:a/b-c' }],
    ['event://backstage/catalog.v1%3Aa%2Fb-c', { source: 'backstage', topic: 'catalog.v1:a/b-c' }],
    ['event://github/push?after=c1_a_1&limit=7', { source: 'github', topic: 'push', after: 'c1_a_1', limit: 7 }],
    ['event://?limit=7', { limit: 7 }],
  ])('%s means %j', (uri, meaning) => {
    expect(parseEventUri(uri)).toEqual(meaning);
  });

  it.each([
    'events://github/push',
    'event:/github/push',
    'event:///push',
    'event://GitHub/push',
    'event://a.b/push',
    'event://*/push',
    'event://github/>',
    'event://github/pu sh',
    'event://github/%zz',
    'event://github/push#now',
    'event://github/push?after=nonsense',
    'event://github/push?limit=0',
    'event://github/push?limit=many',
  ])('%s means none', (uri) => {
    expect(parseEventUri(uri)).toBeUndefined();
  });

  it('is the one that is listed, whatever the topic holds', () => {
    const topic = 'a/b:c.d_e-f';
    expect(parseEventUri(eventUri('github', topic))).toEqual({ source: 'github', topic });
  });
});
