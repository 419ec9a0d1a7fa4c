import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Quota } from '@callboard/access';
import type { CallboardError } from '@callboard/envelope';
import { AckedPublisher, STREAM } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { Admission, type AdmissionLimit } from './admission.js';
import { quotas } from './spec-quotas.js';
import { StreamRoom } from './stream-room.js';

const jane = { tenantId: 'acme', userId: 'jane' };
const joe = { tenantId: 'acme', userId: 'joe' };
const jane2 = { tenantId: 'other', userId: 'jane' };

function refusal(admission: Admission, principal = jane): CallboardError | undefined {
  try {
    admission.enter(principal);
    return undefined;
  } catch (error) {
    return error as CallboardError;
  }
}

describe('commands that have not ended', () => {
  const limited = (commands: number, commandsPerPrincipal: number) => {
    const admission = new Admission(quotas({ commands, commandsPerPrincipal }), () => undefined);
    const refused: AdmissionLimit[] = [];
    admission.onRefusal = (limit) => refused.push(limit);
    return { admission, refused };
  };

  it('of one principal are limited, and those of the others are not', () => {
    const { admission, refused } = limited(10, 2);
    admission.enter(jane);
    admission.enter(jane);
    expect(refusal(admission)).toMatchObject({ code: 'overloaded', details: { retryAfterMs: 1_000 } });
    admission.enter(joe);
    admission.enter(jane2);
    expect([admission.open, refused]).toEqual([4, ['commands of a principal']]);
    admission.leave(jane);
    expect(refusal(admission)).toBeUndefined();
  });

  it('of one tenant are limited, whosever they are', () => {
    const { admission, refused } = limited(2, 2);
    admission.enter(jane);
    admission.enter(joe);
    expect(refusal(admission, { tenantId: 'acme', userId: 'jill' })).toMatchObject({ code: 'overloaded' });
    expect(refusal(admission, jane2)).toBeUndefined();
    expect(refused).toEqual(['commands of a tenant']);
  });

  it('that were accepted elsewhere are counted, and never refused', () => {
    const { admission } = limited(1, 1);
    admission.enter(jane, true);
    admission.enter(jane, true);
    expect(admission.open).toBe(2);
    admission.leave(jane);
    expect(refusal(admission)).toMatchObject({ code: 'overloaded' });
  });

  it('cannot leave more often than they came', () => {
    const { admission } = limited(1, 1);
    admission.enter(jane);
    admission.leave(jane);
    expect(() => admission.leave(jane)).toThrow('a command left that had not entered');
    expect(admission.open).toBe(0);
  });
});

describe('calls of a tenant', () => {
  it('come as often as its quota says, in bursts too, and those of others do not count', () => {
    let nowMs = 0;
    const rates = new Map([['acme', { perSecond: 2, burst: 3 }]]);
    const of = (tenantId: string) => ({ ...quotas().of(tenantId), ...spread(rates.get(tenantId)) });
    const admission = new Admission(
      { of },
      () => undefined,
      () => nowMs,
    );
    const refused: string[] = [];
    admission.onRefusal = (limit, tenantId) => refused.push(`${tenantId}: ${limit}`);
    const calls = (principal = jane) => {
      try {
        admission.call(principal);
        return 'served';
      } catch (error) {
        return (error as CallboardError).toBody();
      }
    };
    const tooOften = { code: 'rate_limited', retryable: true, retry_after_ms: 500 };
    expect([calls(), calls(joe), calls()]).toEqual(['served', 'served', 'served']);
    expect(calls(joe)).toMatchObject(tooOften);
    expect(calls(jane2)).toBe('served');
    nowMs = 250;
    expect(calls()).toMatchObject({ ...tooOften, retry_after_ms: 250 });
    nowMs = 500;
    expect([calls(), calls()]).toMatchObject(['served', tooOften]);
    nowMs = 1_000_000;
    expect([calls(), calls(), calls(), calls()]).toMatchObject(['served', 'served', 'served', tooOften]);
    // A rate that is taken away is gone, and one that is given begins with its burst.
    rates.delete('acme');
    expect([calls(), calls()]).toEqual(['served', 'served']);
    rates.set('acme', { perSecond: 1, burst: 1 });
    expect([calls(), calls()]).toMatchObject(['served', { retry_after_ms: 1_000 }]);
    expect(new Set(refused)).toEqual(new Set(['acme: calls of a tenant']));
  });
});

const spread = (calls: Quota['calls']) => (calls ? { calls } : {});

describe('a stream that is nearly full', () => {
  let nats: TestNats;
  beforeEach(async () => {
    nats = await startTestNats({ topology: { partitions: 1, maxBytes: 2 * 1024 * 1024 } });
  });
  afterEach(() => nats.dispose());

  it.each([
    [STREAM.commands, 'mcp-frontend', 'cmd.acme.demo.append.key'],
    [STREAM.outcomes, 'action-runner', 'out.acme'],
  ])('refuses commands while it is %s, and no longer', async (stream, user, subject) => {
    const room = await StreamRoom.start(await nats.connect('mcp-frontend'), () => undefined);
    const admission = new Admission(quotas(), () => room.full);
    expect(refusal(admission)).toBeUndefined();

    const publisher = new AckedPublisher(await nats.connect(user));
    for (const [id, bytes] of [
      [1, 990_000],
      [2, 990_000],
      [3, 60_000],
    ] as const) {
      await publisher.publish(`${subject}.${id}`, Buffer.alloc(bytes, 'x'), '', 5_000);
    }
    const full = await waitFor(() => refusal(admission), { what: 'a refusal' });
    expect(full).toMatchObject({ code: 'overloaded', details: { retryAfterMs: 5_000 } });
    expect(full.message).toContain(stream);

    const provisioner = await jetstreamManager(await nats.connect('provisioner'));
    const { config } = await provisioner.streams.info(STREAM.commands);
    await provisioner.streams.update(STREAM.commands, { ...config, max_bytes: 16 * 1024 * 1024 });
    await waitFor(() => refusal(admission) === undefined, { what: 'room again' });
    room.stop();
    publisher.close();
  });
});
