import { describe, expect, it } from '@jest/globals';
import { SequenceWindow } from './sequence-window.js';

/** Messages are named by sequence and epoch, so that it shows with which of them was acknowledged. */
function filled(...sequences: number[]) {
  const window = new SequenceWindow<string>();
  for (const sequence of sequences) window.open(sequence, `${sequence}/0`, 10);
  return window;
}

describe('a sequence window', () => {
  it('acknowledges with the last message of the finished front, and only then', () => {
    const window = filled(3, 4, 7, 9);
    expect(window.advance()).toBeUndefined();
    window.done(4);
    window.done(9);
    expect(window.advance()).toBeUndefined();
    window.done(3);
    expect(window.advance()).toBe('4/0');
    expect(window.advance()).toBeUndefined();
    window.done(7);
    expect(window.advance()).toBe('9/0');
    expect(window.size).toBe(0);
  });

  it('counts the bytes that it holds', () => {
    const window = filled(1, 2, 3);
    expect(window.bytes).toBe(30);
    window.done(1);
    expect(window.bytes).toBe(30);
    window.advance();
    expect(window.bytes).toBe(20);
  });

  it('knows what it holds, and takes the new message over', () => {
    const window = filled(1, 2);
    expect(window.open(1, '1/again', 10)).toBe(false);
    expect(window.bytes).toBe(20);
    window.done(1);
    expect(window.advance()).toBe('1/again');
    expect(window.open(1, '1/anew', 10)).toBe(true);
  });

  it('never acknowledges with a message of an earlier epoch, and does when its new message has come', () => {
    const window = filled(1, 2, 3);
    window.done(1);
    window.done(2);
    window.beginEpoch();
    expect(window.advance()).toBeUndefined();
    window.open(1, '1/1', 10);
    expect(window.advance()).toBe('1/1');
    expect(window.advance()).toBeUndefined();
    window.open(2, '2/1', 10);
    window.open(3, '3/1', 10);
    expect(window.advance()).toBe('2/1');
    window.done(3);
    expect(window.advance()).toBe('3/1');
  });

  it('is told of what it never held without harm', () => {
    const window = filled(1);
    window.done(99);
    expect(window.advance()).toBeUndefined();
    expect(window.size).toBe(1);
  });
});
