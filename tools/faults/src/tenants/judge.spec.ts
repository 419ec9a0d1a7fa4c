import { describe, expect, it } from '@jest/globals';
import { judge, judgeStored, type Answered, type Asked } from './judge.js';

const own: Asked = { tenant: 'acme', kind: 'echo', expected: { text: 'of-acme 7' } };
const foreign: Asked = { tenant: 'acme', kind: 'foreign task', expected: { refusal: -32602 } };

describe('the judge of two tenants', () => {
  it.each<[string, Asked, Answered]>([
    ['what is its own', own, { status: 200, text: '{"text":"of-acme 7"}' }],
    ['a refusal of what is not', foreign, { status: 200, code: -32602, text: '' }],
    ['being told to come again', own, { status: 503, code: 'overloaded', text: '' }],
    ['a list without anything of the other', { ...own, expected: 'anything' }, { status: 200, text: '[]' }],
  ])('finds nothing wrong with %s', (_, asked, answered) => {
    expect(judge(asked, answered)).toBeUndefined();
  });

  it.each<[string, Asked, Answered]>([
    ['cross read', own, { status: 200, text: 'of-acme 7 and of-globex 3' }],
    ['cross read', foreign, { status: 200, code: -32602, text: 'it is of-globex 3' }],
    ['cross read', own, { status: 503, code: 'overloaded', text: 'of-globex' }],
    ['not refused', foreign, { status: 200, text: '{"status":"working"}' }],
    ['not refused', foreign, { status: 200, code: 'not_found', text: '' }],
    ['own withheld', own, { status: 200, text: 'of-acme 8' }],
    ['own withheld', { ...own, expected: 'anything' }, { status: 403, code: 'forbidden', text: '' }],
  ])('finds %s', (rule, asked, answered) => {
    expect(judge(asked, answered)?.rule).toBe(rule);
  });

  it('finds what is stored as the one and is of the other', () => {
    expect(judgeStored('EVENTS', 'acme', 'of-globex')?.rule).toBe('stored across');
    expect(judgeStored('EVENTS', 'acme', 'of-acme')).toBeUndefined();
    expect(judgeStored('AUDIT', '%', 'of-acme')).toBeUndefined();
  });
});
