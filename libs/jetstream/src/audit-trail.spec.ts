/** What the audit stream does not take is not done, and nobody can fill it with refusals. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { AuditFact } from '@callboard/audit';

import { readAudit, startTestNats, stopAudit, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AuditTrail, type AuditCount } from './audit-trail.js';
import { CommandClient } from './command-client.js';
import { STREAM } from './topology.js';

const TIMEOUT_MS = 300;

let nats: TestNats;
let nc: NatsConnection;
let sre: JetStreamManager;
let audit: AuditTrail;
let restore: (() => Promise<void>) | undefined;

beforeAll(async () => {
  nats = await startTestNats();
  nc = await nats.connect('mcp-frontend');
  sre = await jetstreamManager(await nats.connect('sre'));
});
afterAll(() => nats.dispose());

afterEach(async () => {
  await restore?.();
  restore = undefined;
  await audit.close();
});

function open(): Record<AuditCount, number> {
  audit = new AuditTrail(nc, { app: 'spec', instance: 'spec-1' }, TIMEOUT_MS);
  const counts = { recorded: 0, refused: 0, counted: 0, lost: 0 };
  audit.onCount = (count) => (counts[count] += 1);
  return counts;
}

const fact: AuditFact = {
  kind: 'read',
  what: 'result',
  tenantId: 'acme',
  who: { userId: 'user:default/jane' },
  args: { to: 'jane.doe@example.com', text: 'x' },
};
const stored = async () => (await readAudit(sre)).length;
const commands = async () => (await sre.streams.info(STREAM.commands)).state.messages;

describe('a record', () => {
  it('is in the stream when it is said to be, with arguments redacted', async () => {
    open();
    await audit.record(fact);
    const [record] = (await readAudit(sre)).slice(-1);
    expect(record).toMatchObject({ kind: 'read', tenant_id: 'acme', app: 'spec', instance: 'spec-1' });
    expect(record!.personal).toMatchObject({ user_id: 'user:default/jane', arguments: { text: 'x' } });
    expect(JSON.stringify(record)).not.toContain('jane.doe');
    expect(record!.arguments_digest).toMatch(/^[\w-]{43}$/);
  });

  it.each([
    ['gone', 'unavailable'],
    ['full', 'overloaded'],
  ] as const)('is an error while the stream is %s, and none when it is back', async (how, code) => {
    const counts = open();
    const troubles: unknown[] = [];
    audit.onTrouble = (error) => troubles.push(error);
    restore = await stopAudit(nats, how);
    await expect(audit.record(fact)).rejects.toMatchObject({ code, retryable: true });
    await expect(audit.record(fact)).rejects.toMatchObject({ code });
    expect([audit.troubled, troubles.length, counts.refused]).toEqual([true, 1, 2]);
    await restore();
    await audit.record(fact);
    expect(audit.troubled).toBe(false);
  });
});

describe('what was refused', () => {
  it('is recorded one by one, and from the twenty-first of the same on as a count', async () => {
    const counts = open();
    const before = await stored();
    const refused: AuditFact = { kind: 'authentication', what: 'refused', tenantId: '', who: { address: '192.0.2.1' } };
    for (let i = 0; i < 1_000; i++) audit.note(refused);
    audit.note({ ...refused, who: { address: '192.0.2.2' } });
    await waitFor(() => counts.recorded === 21, { what: 'twenty of the first, and the other' });
    await audit.close();
    const records = (await readAudit(sre)).slice(before);
    expect(records.length).toBe(22);
    expect(records.at(-1)).toMatchObject({ kind: 'authentication', details: { more: 980 } });
    expect(counts).toMatchObject({ counted: 980, lost: 0 });
  });

  it('is counted also where it is a denial, of nobody who is known; apart for each source', async () => {
    const counts = open();
    const before = await stored();
    for (let i = 0; i < 30; i++) {
      for (const source of ['ci', 'hub'])
        audit.note({ kind: 'denial', what: 'refused', tenantId: 'acme', details: { source } });
      audit.note({ ...fact, kind: 'denial', what: 'refused' });
    }
    await waitFor(() => counts.recorded === 70, { what: 'twenty of each source, and each of who is known' });
    await audit.close();
    const told = (await readAudit(sre)).slice(before).filter(({ details }) => details?.['more']);
    expect(told.map(({ details }) => details)).toMatchObject([
      { source: 'ci', more: 10 },
      { source: 'hub', more: 10 },
    ]);
  });

  it('takes no more of the memory than ten thousand records while the stream is away', async () => {
    const counts = open();
    restore = await stopAudit(nats);
    for (let i = 0; i < 10_100; i++) audit.note({ ...fact, kind: 'denial', what: 'refused' });
    expect(counts.lost).toBe(100);
  });
});

describe('a command that cannot be recorded', () => {
  it('is refused, and those after it are not even stored', async () => {
    open();
    const client = await CommandClient.start(nc, { instance: 'front end', audit });
    const outcomes = async () => (await sre.streams.info(STREAM.outcomes)).state.messages;
    restore = await stopAudit(nats);
    await expect(client.submit(testCommand('k'))).rejects.toMatchObject({ code: 'unavailable' });
    // It was stored while the record was not: it is taken back.
    await waitFor(async () => (await outcomes()) > 0, { what: 'its cancelling' });
    const before = await commands();
    await expect(client.submit(testCommand('k'))).rejects.toMatchObject({ code: 'unavailable' });
    expect(await commands()).toBe(before);
    await restore();
    await expect(client.submit(testCommand('k')))
      .rejects.toMatchObject({ code: 'unavailable' })
      .catch(() => undefined);
    const submission = await client.submit(testCommand('k'));
    submission.release();
    const records = await readAudit(sre);
    expect(records.filter(({ correlation_id: id }) => id === submission.correlationId)).toMatchObject([
      { kind: 'call', what: 'submitted', action: 'demo.append' },
    ]);
    client.close();
  });
});
