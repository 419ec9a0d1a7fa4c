import { describe, expect, it } from '@jest/globals';
import { readFarSideAnswer, readFarSideProgress } from './far-side.js';

const SECRET = 'hunter2';

describe('what a far side says', () => {
  it('is read as it is meant', () => {
    expect(readFarSideProgress({ stage: 'clone', percent: 12.5, message: 'half', more: 1 })).toEqual({
      stage: 'clone',
      percent: 12.5,
      message: 'half',
    });
    expect(readFarSideProgress({})).toEqual({});
    expect(readFarSideProgress({ percent: '12.5' })).toEqual({ percent: 12.5 });
    expect(readFarSideAnswer({ status: 'ok', result: [1] })).toEqual({ status: 'ok', result: [1] });
    expect(readFarSideAnswer({ status: 'ok' })).toEqual({ status: 'ok' });
    expect(readFarSideAnswer({ status: 'error' })).toEqual({ status: 'error', error: {} });
    const error = { code: 'disk_full', message: 'no room', retryable: true };
    expect(readFarSideAnswer({ status: 'error', error })).toEqual({ status: 'error', error });
  });

  it.each([
    [readFarSideProgress, SECRET, 'the report must be a JSON object'],
    [readFarSideProgress, [SECRET], 'the report must be a JSON object'],
    [readFarSideProgress, { percent: SECRET }, 'percent must be a number from 0 to 100'],
    [readFarSideProgress, { percent: 101 }, 'percent must be'],
    [readFarSideProgress, { percent: '0x10' }, 'percent must be'],
    [readFarSideProgress, { percent: NaN }, 'percent must be'],
    [readFarSideProgress, { message: { SECRET } }, 'message must be text'],
    [readFarSideProgress, { stage: SECRET.repeat(1_000) }, 'stage must be text of at most'],
    [readFarSideAnswer, null, 'the answer must be a JSON object'],
    [readFarSideAnswer, { status: SECRET }, 'status must be "ok" or "error"'],
    [readFarSideAnswer, { status: 'error', error: SECRET }, 'error must be a JSON object'],
    [readFarSideAnswer, { status: 'error', error: { code: SECRET.toUpperCase() } }, 'error.code must be a lower-case'],
    [readFarSideAnswer, { status: 'error', error: { retryable: SECRET } }, 'error.retryable must be true or false'],
    [readFarSideAnswer, { status: 'error', error: { message: 1 } }, 'error.message must be text'],
  ])('that is wrong is refused with the place, and never with what was sent: %p %j', (read, value, message) => {
    const refused = () => read(value);
    expect(refused).toThrow(
      expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(message) }),
    );
    expect(refused).not.toThrow(SECRET);
  });
});
