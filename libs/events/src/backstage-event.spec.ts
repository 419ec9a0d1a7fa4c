import { describe, expect, it } from '@jest/globals';
import { InvalidEvent } from './attributes.js';
import { backstageEvent } from './backstage-event.js';

const ORIGIN = { tenantId: 'acme', sourceName: 'backstage', eventsUrl: 'https://backstage.acme.example/api/events' };
const PAYLOAD = { repository: { full_name: 'acme/web' } };

describe('an event of Backstage', () => {
  it('of a webhook is known by the delivery that its sender repeats, and keeps the order of its repository', () => {
    const metadata = { 'x-github-delivery': 'd-1', 'x-github-event': 'push', authorization: 'Basic secret' };
    const event = backstageEvent(ORIGIN, { topic: 'github', eventPayload: PAYLOAD, metadata });
    expect(event).toMatchObject({
      tenantId: 'acme',
      sourceName: 'backstage',
      key: 'acme/web',
      attributes: {
        id: 'd-1',
        source: 'https://backstage.acme.example/api/events/github',
        type: 'github',
        datacontenttype: 'application/json',
        extensions: { eventkind: 'push' },
      },
    });
    expect(Buffer.from(event.data).toString()).toBe(JSON.stringify(PAYLOAD));
    expect(JSON.stringify(event.attributes)).not.toContain('secret');
  });

  it('that names no delivery is one of its own every time', () => {
    const ids = [1, 2].map(() => backstageEvent(ORIGIN, { topic: 'cues', eventPayload: 1 }).attributes.id);
    expect(new Set(ids).size).toBe(2);
  });

  it('that was posted as a CloudEvent keeps its attributes, and is of its topic', () => {
    const metadata = {
      'ce-specversion': '1.0',
      'ce-id': '7',
      'ce-source': '/stage',
      'ce-type': 'stage.cue',
      'ce-time': '2026-11-20T10:00:00Z',
      'ce-subject': 'cue%207',
      'ce-partitionkey': 'left',
      'content-type': 'application/json; charset=latin1',
    };
    const { attributes, key } = backstageEvent(ORIGIN, { topic: 'cues', eventPayload: {}, metadata });
    expect(key).toBe('left');
    expect(attributes).toEqual({
      id: '7',
      source: '/stage',
      type: 'cues',
      time: '2026-11-20T10:00:00Z',
      subject: 'cue 7',
      datacontenttype: 'application/json',
      extensions: { partitionkey: 'left', cetype: 'stage.cue' },
    });
  });

  it('is taken whatever strangers wrote into its headers', () => {
    const hostile = [
      { 'x-github-delivery': 'a\u0000b' },
      { 'x-github-event': 'x'.repeat(2_000), 'x-github-delivery': 'd' },
      { 'ce-specversion': '0.3', 'ce-id': '1' },
      { 'ce-specversion': '1.0', 'ce-id': ['1', '2'], 'ce-source': '/s', 'ce-type': ' ' },
    ];
    for (const metadata of hostile) {
      const { attributes } = backstageEvent(ORIGIN, { topic: 'cues', eventPayload: {}, metadata });
      expect(attributes.source).toBe('https://backstage.acme.example/api/events/cues');
    }
  });

  it('without a payload has none, and one that is no JSON is refused', () => {
    const { attributes, data } = backstageEvent(ORIGIN, { topic: 'cues', eventPayload: undefined });
    expect(data).toHaveLength(0);
    expect(attributes.datacontenttype).toBeUndefined();
    const round: Record<string, unknown> = {};
    round['self'] = round;
    expect(() => backstageEvent(ORIGIN, { topic: 'cues', eventPayload: round })).toThrow(InvalidEvent);
  });
});
