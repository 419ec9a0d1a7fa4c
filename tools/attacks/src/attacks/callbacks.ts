/** Reports of far sides that are none, or that come again. */
import { randomBytes } from 'node:crypto';
import { writeCallbackToken } from '@callboard/envelope';
import { report, type Attack } from '../attack.js';
import type { Target } from '../target.js';

const unauthorized = { status: 401, code: 'unauthorized' };
const invalid = { status: 400, code: 'invalid_request' };
const over = { status: 409, code: 'already_ended' };

const open = (target: Target) => target.callbacks.open;
const rightOf = (target: Target) => open(target).callback.token;
/** The claims of a good token with something else in them, and its MAC. */
const tampered = (target: Target, change: (claims: unknown[]) => void) => {
  const [claims = '', mac = ''] = rightOf(target).slice('cbk_'.length).split('.');
  const read = JSON.parse(Buffer.from(claims, 'base64url').toString()) as unknown[];
  change(read);
  return `cbk_${Buffer.from(JSON.stringify(read)).toString('base64url')}.${mac}`;
};
const toOpen = (token: (target: Target) => string | null, options?: Parameters<typeof report>[3]) => (target: Target) =>
  report(target, open(target).correlation_id, token(target), options);

export const CALLBACKS: Attack[] = [
  { name: 'no token', attempt: toOpen(() => null), refused: unauthorized },
  { name: "a client's token", attempt: toOpen((t) => t.vera.token), refused: unauthorized },
  {
    name: 'a token of another key',
    attempt: toOpen((t) =>
      writeCallbackToken(randomBytes(32), {
        tenantId: 'globex',
        correlationId: open(t).correlation_id,
        round: 1,
        attempt: 1,
        deadlineAt: Date.now() + 60_000,
      }),
    ),
    refused: unauthorized,
  },
  { name: 'a token without its MAC', attempt: toOpen((t) => rightOf(t).split('.')[0]!), refused: unauthorized },
  { name: 'a token with an empty MAC', attempt: toOpen((t) => `${rightOf(t).split('.')[0]!}.`), refused: unauthorized },
  { name: 'a token with half its MAC', attempt: toOpen((t) => rightOf(t).slice(0, -20)), refused: unauthorized },
  { name: 'a token with a third part', attempt: toOpen((t) => `${rightOf(t)}.x`), refused: unauthorized },
  {
    name: 'a token whose tenant was changed',
    attempt: toOpen((t) => tampered(t, (claims) => void (claims[0] = 'acme'))),
    refused: unauthorized,
  },
  {
    name: 'a token whose command was changed',
    attempt: (t) =>
      report(
        t,
        t.vera.taskId,
        tampered(t, (claims) => void (claims[1] = t.vera.taskId)),
      ),
    refused: unauthorized,
  },
  {
    name: 'a token whose round was changed',
    attempt: toOpen((t) => tampered(t, (claims) => void (claims[2] = 99))),
    refused: unauthorized,
  },
  {
    name: 'a token whose deadline was changed',
    attempt: (t) =>
      report(
        t,
        t.callbacks.late.correlation_id,
        tampered(t, (claims) => void (claims[4] = Date.now() + 1e9)),
      ),
    refused: unauthorized,
  },
  {
    name: 'a good token for another command',
    attempt: (t) => report(t, t.vera.taskId, rightOf(t)),
    refused: { status: 404, code: 'not_found' },
  },
  {
    name: 'a good token for every command',
    attempt: (t) => report(t, '*', rightOf(t)),
    refused: { status: 404, code: 'not_found' },
  },
  {
    name: 'a good token and a path that climbs',
    attempt: (t) => report(t, `..%2f${open(t).correlation_id}`, rightOf(t)),
    refused: { status: 404, code: 'not_found' },
  },
  {
    name: 'a good token and a path that is no text',
    attempt: (t) => report(t, '%E0%A4%A', rightOf(t)),
    refused: { status: 404, code: 'not_found' },
  },
  {
    name: 'an answer that was given, with another result',
    attempt: (t) => report(t, t.callbacks.answered.correlation_id, t.callbacks.answered.callback.token),
    refused: over,
  },
  {
    name: 'an answer that was given, replayed as it was',
    attempt: (t) =>
      report(t, t.callbacks.answered.correlation_id, t.callbacks.answered.callback.token, {
        body: '{"status":"ok","result":"first"}',
      }),
    refused: { status: 200 },
  },
  {
    name: 'progress after the answer',
    attempt: (t) =>
      report(t, `${t.callbacks.answered.correlation_id}/progress`, t.callbacks.answered.callback.token, {
        body: '{"percent":1}',
      }),
    refused: over,
  },
  {
    name: 'an answer after the deadline',
    attempt: (t) => report(t, t.callbacks.late.correlation_id, t.callbacks.late.callback.token),
    refused: { status: 410, code: 'deadline_exceeded' },
  },
  {
    name: 'progress after the deadline',
    attempt: (t) =>
      report(t, `${t.callbacks.late.correlation_id}/progress`, t.callbacks.late.callback.token, {
        body: '{"percent":1}',
      }),
    refused: { status: 410, code: 'deadline_exceeded' },
  },
  {
    name: 'an answer that is no answer',
    attempt: toOpen(rightOf, { body: '{"status":"succeeded"}' }),
    refused: invalid,
  },
  { name: 'an answer that is no JSON', attempt: toOpen(rightOf, { body: '{"status":' }), refused: invalid },
  {
    name: 'an answer a thousand levels deep',
    attempt: toOpen(rightOf, { body: `{"status":"ok","result":${'['.repeat(1_000)}${']'.repeat(1_000)}}` }),
    refused: invalid,
  },
  {
    name: 'an answer of 2 MiB',
    attempt: toOpen(rightOf, { body: `"${'x'.repeat(2 * 1024 * 1024)}"` }),
    refused: { status: 413, code: 'payload_too_large' },
  },
  {
    name: 'an answer as a form',
    attempt: toOpen(rightOf, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'an answer in gzip',
    attempt: toOpen(rightOf, { headers: { 'content-encoding': 'gzip' } }),
    refused: { status: 415, code: 'invalid_request' },
  },
  {
    name: 'reading the answer of a command',
    attempt: toOpen(rightOf, { method: 'GET' }),
    refused: { status: 405, code: 'invalid_request' },
  },
  {
    name: 'deleting the answer of a command',
    attempt: toOpen(rightOf, { method: 'DELETE' }),
    refused: { status: 405, code: 'invalid_request' },
  },
  {
    name: 'progress that is no number',
    attempt: (t) => report(t, `${open(t).correlation_id}/progress`, rightOf(t), { body: '{"percent":"NaN"}' }),
    refused: invalid,
  },
  {
    name: 'a path below a command that does not exist',
    attempt: (t) => report(t, `${open(t).correlation_id}/cancel`, rightOf(t)),
    refused: { status: 404, code: 'not_found' },
  },
];
