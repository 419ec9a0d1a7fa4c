import { describe, expect, it } from '@jest/globals';
import { fingerprint, idempotentCorrelationId, newCorrelationId, redriveCorrelationId } from './ids.js';

const scope = {
  tenantId: 'acme',
  userId: 'user:default/jane',
  action: { tool: 'git', method: 'clone' },
  idempotencyKey: 'order-1',
};

describe('correlation ids', () => {
  it('of calls without an idempotency key are fresh every time', () => {
    const ids = Array.from({ length: 2_000 }, newCorrelationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^c_[A-Za-z0-9_-]{24}$/);
  });

  it('of calls with one are the same on every replica and in every version', () => {
    expect(idempotentCorrelationId(scope)).toBe('i_4rRRN1_41OysAPsWoQs3UFb8JsGq8KGuDYUdrVx7gtE');
    expect(idempotentCorrelationId(structuredClone(scope))).toBe(idempotentCorrelationId(scope));
  });

  it('differ as soon as tenant, caller, action or key differ, also where their texts run together', () => {
    const ids = [
      scope,
      { ...scope, tenantId: 'acme2' },
      { ...scope, userId: 'user:default/joe' },
      { ...scope, action: { tool: 'git', method: 'pull' } },
      { ...scope, idempotencyKey: 'order-2' },
      { ...scope, tenantId: 'acme","user:default/jane', userId: '' },
      { ...scope, userId: 'user:default/janegit.clone', action: { tool: '', method: '' } },
    ].map(idempotentCorrelationId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('the id of a redriven command', () => {
  it('follows from the command and the letter, and from nothing else', () => {
    expect(redriveCorrelationId('c_1', 7)).toBe('r_YX325fqLD-I8b-f4gW4Lu3Z6SGx764sKRE3x6MU-vwQ');
    expect(redriveCorrelationId('c_1', 8)).not.toBe(redriveCorrelationId('c_1', 7));
    expect(redriveCorrelationId('c_2', 7)).not.toBe(redriveCorrelationId('c_1', 7));
  });
});

describe('a fingerprint', () => {
  it('is the same whatever the order of members', () => {
    const one = fingerprint({ a: 1, b: { c: [1, { e: 2, d: null }], f: 'x' } });
    const other = fingerprint({ b: { f: 'x', c: [1, { d: null, e: 2 }] }, a: 1 });
    expect(one).toBe(other);
    expect(one).toBe('NZI3da-Iv0DHFeO1c---MdHQQxyNq3xb-eOd8re70QY');
  });

  it('takes a member that is undefined for one that is absent, as JSON does', () => {
    expect(fingerprint({ a: 1, b: undefined })).toBe(fingerprint({ a: 1 }));
    expect(fingerprint([undefined, 1])).toBe(fingerprint([null, 1]));
  });

  it('differs for values that differ', () => {
    const values = [
      {},
      [],
      null,
      '',
      0,
      '0',
      false,
      [[]],
      { a: 1 },
      { a: '1' },
      { 'a":1': 1 },
      [1, 2],
      [2, 1],
      ['1,2'],
    ];
    expect(new Set(values.map(fingerprint)).size).toBe(values.length);
    expect(fingerprint(JSON.parse('{"__proto__":1}'))).not.toBe(fingerprint({}));
  });
});
