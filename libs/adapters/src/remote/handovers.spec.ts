import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { answerSubject, callbackKey, type FarSideAnswer } from '@callboard/envelope';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Handovers, type Handed } from './handovers.js';

let nats: TestNats;
let handovers: Handovers;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  handovers = await Handovers.open(await nats.connect('action-runner'));
});
afterAll(async () => {
  handovers.close();
  await nats.dispose();
});

async function answer({ tenant_id, correlation_id }: Handed, round: number, what: FarSideAnswer): Promise<void> {
  const nc = await nats.connect('mcp-frontend');
  const subject = answerSubject(tenant_id, correlation_id, callbackKey(round));
  await jetstream(nc).publish(subject, JSON.stringify(what));
  await nc.close();
}

async function stored(subject: string): Promise<unknown> {
  const nc = await nats.connect('sre');
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const message = await jsm.direct.getMessage('DISPATCH', { last_by_subj: subject });
  await nc.close();
  return message?.json();
}

describe('what was handed over', () => {
  it('is handed over once in a round, however often it is tried', async () => {
    const command = testCommand('key');
    expect(await handovers.standing(command, 'spec')).toEqual({ round: 1, handed: false });
    await Promise.all([1, 2].map((n) => handovers.store(command, 1, 'spec', { n })));
    await handovers.store(command, 1, 'spec', { n: 3 });
    expect(await stored(`dispatch.spec.acme.${command.correlation_id}.1`)).toEqual({ n: 1 });
    expect(await handovers.standing(command, 'spec')).toEqual({ round: 1, handed: true });
    // Another way to a far side is another matter.
    expect(await handovers.standing(command, undefined)).toEqual({ round: 1, handed: false });
  });

  it('is answered, and is handed over again only when the answer says so', async () => {
    const command = testCommand('key');
    await handovers.store(command, 1, undefined, {});
    const again: FarSideAnswer = { status: 'error', error: { retryable: true } };
    await answer(command, 1, again);
    expect(await handovers.standing(command, undefined)).toEqual({ round: 2, handed: false });
    await handovers.store(command, 2, undefined, {});
    expect(await handovers.standing(command, undefined)).toEqual({ round: 2, handed: true });
    const done: FarSideAnswer = { status: 'ok', result: 'done' };
    await answer(command, 2, done);
    expect(await handovers.standing(command, undefined)).toEqual({ round: 2, handed: true, answer: done });
  });

  it('is gone when the deadline has passed: nobody begins what has expired', async () => {
    const command = testCommand('key', {}, { deadline_ms: 3_000 });
    await handovers.store(command, 1, 'spec', { n: 1 });
    const subject = `dispatch.spec.acme.${command.correlation_id}.1`;
    expect(await stored(subject)).toEqual({ n: 1 });
    await waitFor(async () => (await stored(subject)) === undefined, { what: 'the message is gone' });
  });
});
