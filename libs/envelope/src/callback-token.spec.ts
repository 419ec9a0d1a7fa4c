import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { callbackKey, readCallbackToken, writeCallbackToken } from './callback-token.js';

const key = randomBytes(32);
const right = { tenantId: 'acme, inc.', correlationId: 'c_1', round: 2, attempt: 3, deadlineAt: 1_790_000_000_000 };

describe('a callback token', () => {
  it('says which command it is for, to whoever has the key', () => {
    const token = writeCallbackToken(key, right);
    expect(token).toMatch(/^cbk_[\w-]+\.[\w-]+$/);
    expect(readCallbackToken(key, token)).toEqual(right);
    expect(readCallbackToken(randomBytes(32), token)).toBeUndefined();
  });

  it('that was changed anywhere is none', () => {
    const token = writeCallbackToken(key, right);
    for (let i = 0; i < token.length; i++) {
      // The last character of base64url may have bits that say nothing.
      const other = token[i] === 'A' ? 'B' : 'A';
      const changed = token.slice(0, i) + other + token.slice(i + 1);
      const read = readCallbackToken(key, changed);
      if (i < token.length - 1) expect(read).toBeUndefined();
    }
    for (const wrong of ['', 'cbk_', 'cbk_.', `${token}.x`, token.slice(4), 'Bearer x']) {
      expect(readCallbackToken(key, wrong)).toBeUndefined();
    }
  });

  it('is for one round, whose answer has a place of its own', () => {
    expect(callbackKey(2)).toBe('callback-2');
  });
});
