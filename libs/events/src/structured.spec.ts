import { describe, expect, it } from '@jest/globals';
import type { EventAttributes } from './attributes.js';
import { toStructured } from './structured.js';

const attributes: EventAttributes = { id: '1', source: '/s', type: 't', subject: 's', extensions: { x: 'y' } };
const members = { specversion: '1.0', id: '1', source: '/s', type: 't', subject: 's', x: 'y' };

describe('an event in the JSON format', () => {
  it.each([
    [undefined, '{"a":1}', { data: { a: 1 } }],
    ['application/json', 'null', { data: null }],
    ['application/vnd.github+json; charset=utf-8', '[1]', { data: [1] }],
    ['application/json', '{"a":', { data_base64: 'eyJhIjo=' }],
    ['text/plain', 'words', { data: 'words' }],
    ['application/octet-stream', 'bytes', { data_base64: 'Ynl0ZXM=' }],
    ['application/jsonnet', '{}', { data_base64: 'e30=' }],
    ['application/json', '', {}],
  ])('has data of the type %s as it must be', (datacontenttype, data, expected) => {
    const typed = datacontenttype === undefined ? {} : { datacontenttype };
    expect(toStructured({ ...attributes, ...typed }, Buffer.from(data))).toEqual({ ...members, ...typed, ...expected });
  });
});
