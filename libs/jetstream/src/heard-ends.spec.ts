import { describe, expect, it } from '@jest/globals';
import { HeardEnds } from './heard-ends.js';

describe('ends that were heard of before their commands came', () => {
  it('are remembered for a time', () => {
    const ends = new HeardEnds({ most: 10, keptMs: 1_000 });
    ends.note('a', 0);
    expect(ends.mayHaveEnded('a', 999)).toBe(true);
    expect(ends.mayHaveEnded('b', 999)).toBe(false);
    expect(ends.mayHaveEnded('a', 1_000)).toBe(false);
  });

  it('are so many at most, and while one that is due is not among them anything may have ended', () => {
    const ends = new HeardEnds({ most: 2, keptMs: 1_000 });
    for (const [i, command] of ['a', 'b', 'c'].entries()) ends.note(command, i * 100);
    expect(ends.mayHaveEnded('never heard of', 300)).toBe(true);
    // The one that was forgotten would have been remembered until then.
    expect(ends.mayHaveEnded('never heard of', 1_000)).toBe(false);
    expect(ends.mayHaveEnded('b', 1_050)).toBe(true);
    expect(ends.mayHaveEnded('c', 1_150)).toBe(true);
  });

  it('make no room by what is forgotten anyway', () => {
    const ends = new HeardEnds({ most: 1, keptMs: 1_000 });
    ends.note('a', 0);
    ends.note('b', 1_000);
    expect(ends.mayHaveEnded('a', 1_001)).toBe(false);
    expect(ends.mayHaveEnded('b', 1_001)).toBe(true);
  });
});
