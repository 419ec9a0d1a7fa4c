/**
 * More than four hundred attacks on a running stack, one after the other, and after each the same three questions: was it refused exactly as it must be,
 * is nothing stored of it, and does the answer say nothing of the inside?
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TENANTS, Target } from './target.js';
import { echo } from './attack.js';
import { ATTACKS } from './attacks.js';
import { publish } from './attacks/events.js';

let target: Target;
beforeAll(async () => {
  target = await Target.start();
});
afterAll(() => target?.stop(), 90_000);

/** How often each code was answered to a request at the MCP endpoint that came as far as our own code. */
const refusals = new Map<string, number>();
/** Those are refused elsewhere: by the edges of reports and of events, or by HTTP itself, or not refused but unavailable. */
const ELSEWHERE = new Set([
  'a report of a far side',
  'an event of a sender',
  'a message that never ends',
  'metadata that lead elsewhere',
]);

/** Where code lives, what it looks like inside, and what others have. */
const INSIDE = /node_modules|\.[jt]s:\d|\n {4}at |ZodError|"stack"/;

describe.each(Object.entries(ATTACKS))('%s', (aim, attacks) => {
  it.each(attacks)('$name', async ({ attempt, refused, stored = 'nothing' }) => {
    const before = await target.stored();
    const { status, code, text } = await attempt(target);
    expect({ status, code }).toEqual({ status: refused.status, code: refused.code });
    if (!ELSEWHERE.has(aim)) countRefusal(status, code);
    expect(text).not.toMatch(INSIDE);
    for (const secret of target.secrets) expect(text).not.toContain(secret);
    if (stored === 'nothing') {
      expect(Object.fromEntries(await target.stored())).toEqual(Object.fromEntries(before));
    } else {
      await target.settled();
      expect([...(await target.tenantsSince(before))]).toEqual([TENANTS.own]);
    }
  });
});

function countRefusal(status: number, code: string | number | undefined): void {
  if (code === undefined) return;
  // A request that was refused with an HTTP status is on record by that; a call, by its code.
  const recorded =
    status >= 400 ? (CODES.get(status) ?? 'invalid_request') : RECORDED.has(code) ? String(code) : undefined;
  if (recorded !== undefined) refusals.set(recorded, (refusals.get(recorded) ?? 0) + 1);
}
const CODES = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not_found'],
  [413, 'payload_too_large'],
]);
const RECORDED = new Set<string | number>(['invalid_arguments', 'invalid_messaging_field']);

describe('the table', () => {
  const all = Object.values(ATTACKS).flat();

  it('has no attack twice', () => {
    const names = all.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    expect(names.length).toBeGreaterThan(400);
  });

  it('is of attacks, and not of a target that refuses everything', async () => {
    const { issuer, limited } = target;
    for (const token of [issuer.token(), issuer.token({ org: 'globex' }), limited]) {
      expect(await echo(target, { token })).toMatchObject({ status: 200, text: expect.stringContaining('"x"') });
    }
    expect(await publish(target)).toMatchObject({ status: 202 });
  });

  it('leaves the victims what they had', async () => {
    const { vera, jane, callbacks } = target;
    for (const victim of [vera, jane]) {
      const { subscription } = victim;
      const had = { task: 'working', result: 'running', session: 200, subscriptions: [subscription] };
      expect(await target.has(victim)).toEqual(had);
    }
    expect(await target.resultOf(callbacks.answered)).toBe('first');
  });

  it('is on record, attack by attack or as a count of the same', async () => {
    await target.endFrontEnd();
    const recorded = await target.recordedRefusals();
    for (const [code, times] of refusals) {
      expect({ code, isOnRecord: (recorded.get(code) ?? 0) >= times, times }).toEqual({
        code,
        isOnRecord: true,
        times,
      });
    }
    expect([...refusals.keys()].sort()).toEqual([
      'forbidden',
      'invalid_arguments',
      'invalid_messaging_field',
      'invalid_request',
      'not_found',
      'payload_too_large',
      'unauthorized',
    ]);
  });
});
