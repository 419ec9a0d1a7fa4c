import { describe, expect, it } from '@jest/globals';
import { findDisorder, type Ran } from './order-check.js';

const inOrder: Ran[] = [
  { n: 0, key: 'a', began: 0, ended: 5 },
  { n: 1, key: 'b', began: 1, ended: 6 },
  { n: 2, key: 'a', began: 5, ended: 10 },
];

describe('the order check', () => {
  it('accepts commands of one key one after the other, and of two keys at once, in whatever order it hears of them', () => {
    expect(findDisorder(inOrder, 3)).toEqual([]);
    expect(findDisorder([...inOrder].reverse(), 3)).toEqual([]);
  });

  it('finds a command that was lost', () => {
    expect(findDisorder(inOrder.slice(0, 2), 3)).toEqual(['1 of 3 commands were lost']);
  });

  it('finds a command that ran twice', () => {
    expect(findDisorder([...inOrder, { n: 1, key: 'b', began: 20, ended: 25 }], 3)).toEqual(['1 commands ran twice']);
  });

  it('finds a command that overtook an earlier one of its key', () => {
    const overtaken = [inOrder[1]!, { ...inOrder[0]!, began: 12, ended: 17 }, inOrder[2]!];
    expect(findDisorder(overtaken, 3)).toEqual(['key a: 2 began before 0 had ended']);
  });

  it('finds two commands of one key that ran at once', () => {
    const overlapping = [inOrder[0]!, inOrder[1]!, { ...inOrder[2]!, began: 4.9 }];
    expect(findDisorder(overlapping, 3)).toEqual(['key a: 2 began before 0 had ended']);
  });

  it('does not take a command without times for one in order', () => {
    const untimed = [inOrder[0]!, inOrder[1]!, { ...inOrder[2]!, began: NaN, ended: NaN }];
    expect(findDisorder(untimed, 3)).toEqual(['key a: 2 says not when it ran']);
  });
});
