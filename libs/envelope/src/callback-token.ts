/**
 * The right to report about one command, given to a far side with the command itself: a bearer token that says which command, which
 * round of it and until when, with a MAC over that. Runners write it and front ends check it with a key that both have; nothing is
 * stored. Whoever has it can tell one command's progress and result, until its deadline, and nothing else.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface CallbackRight {
  tenantId: string;
  correlationId: string;
  /** Counts how often the command was handed over; a far side that was given up cannot answer for the next. */
  round: number;
  /** Of the runner, for its progress. */
  attempt: number;
  /** Milliseconds since the epoch. */
  deadlineAt: number;
}

const PREFIX = 'cbk_';

export function writeCallbackToken(key: Uint8Array, right: CallbackRight): string {
  const { tenantId, correlationId, round, attempt, deadlineAt } = right;
  const claims = Buffer.from(JSON.stringify([tenantId, correlationId, round, attempt, deadlineAt])).toString(
    'base64url',
  );
  return `${PREFIX}${claims}.${macOf(key, claims).toString('base64url')}`;
}

/** What a token allows, also when its time is over; `undefined` when it was not written with this key. */
export function readCallbackToken(key: Uint8Array, token: string): CallbackRight | undefined {
  const [claims, mac, more] = token.startsWith(PREFIX) ? token.slice(PREFIX.length).split('.') : [];
  if (!claims || !mac || more !== undefined) return undefined;
  const given = Buffer.from(mac, 'base64url');
  const expected = macOf(key, claims);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const [tenantId, correlationId, round, attempt, deadlineAt] = JSON.parse(
    Buffer.from(claims, 'base64url').toString('utf8'),
  ) as [string, string, number, number, number];
  return { tenantId, correlationId, round, attempt, deadlineAt };
}

/** Under which key the answer of a round is stored with the command. */
export function callbackKey(round: number): string {
  return `callback-${round}`;
}

function macOf(key: Uint8Array, claims: string): Buffer {
  return createHmac('sha256', key).update(PREFIX).update(claims).digest();
}
