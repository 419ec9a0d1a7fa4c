/** From the audit stream into the ledger, out of the stream, and what an operator may ask. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AuditFact } from '@callboard/audit';
import { AuditTrail, STREAM, type LedgerControl } from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats, type TestApp } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { ledgerOf, startWriter, verifyAll } from './spec-writer.js';

const SLOW_MS = 180_000;

let nats: TestNats;
let folder: string;
let writer: TestApp;
let ledger: LedgerControl;
let audit: AuditTrail;
let sre: JetStreamManager;

const start = (env: NodeJS.ProcessEnv = {}) =>
  startWriter(nats, 'audit-writer-1', { CALLBOARD_AUDIT_DATABASE_DIR: join(folder, 'ledger'), ...env });
const settled = () =>
  waitFor(
    async () => {
      const { written, stream } = await ledger.ask('status', {});
      return written === stream;
    },
    { what: 'the ledger to have everything' },
  );
const messages = async () => (await sre.streams.info(STREAM.audit)).state.messages;

beforeAll(async () => {
  nats = await startTestNats();
  folder = await mkdtemp(join(tmpdir(), 'callboard-audit-'));
  audit = new AuditTrail(await nats.connect('mcp-frontend'), { app: 'mcp-frontend', instance: 'front-1' });
  sre = await jetstreamManager(await nats.connect('sre'));
  writer = await start();
  ledger = await ledgerOf(nats);
}, SLOW_MS);
afterAll(async () => {
  await writer.stop();
  await audit.close();
  await nats.dispose();
  await rm(folder, { recursive: true, force: true });
});

const call = (userId: string, n: number, tenantId = 'acme'): AuditFact => ({
  kind: 'call',
  what: 'submitted',
  tenantId,
  who: { userId },
  correlationId: `c_${userId}_${n}`,
  args: { n, to: 'joe@example.com' },
});

describe('an audit writer', () => {
  it('has in its ledger what was recorded, for operators who are recorded themselves', async () => {
    await Promise.all(Array.from({ length: 60 }, (_, i) => audit.record(call(i % 2 ? 'jane' : 'joe', i))));
    await settled();
    const found = await ledger.ask('search', { tenant: 'acme', user: 'jane', limit: 100, by: 'root' });
    expect(found.length).toBe(30);
    expect(found[0]).toMatchObject({ kind: 'call', personal: { user_id: 'jane', arguments: { n: 59 } } });
    expect(JSON.stringify(found)).not.toContain('joe@example.com');
    await settled();
    const looks = await ledger.ask('search', { kind: 'operator', limit: 100, by: 'root' });
    expect(looks).toMatchObject([{ what: 'audit_read', personal: { user_id: 'root', target: 'jane' } }]);
    expect(await verifyAll(nats, ledger)).toMatchObject({ findings: [], pending: expect.any(Number) });
  });

  it('goes on where it was when it is killed, and has nothing twice', async () => {
    await writer.kill();
    await Promise.all(Array.from({ length: 40 }, (_, i) => audit.record(call('mo', i))));
    writer = await start();
    await settled();
    expect((await ledger.ask('search', { tenant: 'acme', user: 'mo', limit: 100, by: 'root' })).length).toBe(40);
    expect(await verifyAll(nats, ledger)).toMatchObject({ findings: [] });
  });

  it('lets the stream go of what is vouched for in both places, and not before', async () => {
    expect(await messages()).toBeGreaterThan(90);
    await writer.stop();
    writer = await start({ CALLBOARD_AUDIT_KEEP_MS: '0' });
    await audit.record(call('mo', 100));
    await waitFor(async () => (await messages()) === 0, { what: 'an empty stream' });
    const { written, anchored } = await ledger.ask('status', {});
    expect(anchored).toBe(written);
    expect(await verifyAll(nats, ledger)).toMatchObject({ findings: [], compared: 0 });
  });

  it('forgets a person for good, and the chain stays whole', async () => {
    expect(await ledger.ask('erase', { tenant: 'acme', user: 'jane', by: 'root' })).toEqual({ keys: 1 });
    expect(await ledger.ask('search', { tenant: 'acme', user: 'jane', limit: 10, by: 'root' })).toEqual([]);
    const calls = await ledger.ask('search', { tenant: 'acme', kind: 'call', limit: 200, by: 'root' });
    const [hers] = calls.filter(({ correlation_id: id }) => id === 'c_jane_1');
    expect(hers).toBeDefined();
    expect(hers!.personal).toBeUndefined();
    expect(JSON.stringify(await ledger.rows(0, 1_000))).not.toContain('"jane"');
    expect(await verifyAll(nats, ledger)).toMatchObject({ findings: [] });
  });

  it('keeps a signed segment of each tenant in place of entries that are dropped', async () => {
    const before = new Date().toISOString();
    expect((await ledger.ask('seal', { before, by: 'root' })).tenants).toBeGreaterThan(0);
    expect((await ledger.ask('drop', { by: 'root' })).entries).toBeGreaterThan(100);
    await audit.record(call('mo', 150));
    await settled();
    const { records, findings } = await verifyAll(nats, ledger);
    expect([findings, records < 50]).toEqual([[], true]);
  });

  it('says which messages were taken out of the stream before it could write them', async () => {
    await writer.stop();
    await audit.record(call('mo', 200));
    await audit.record(call('mo', 201));
    const admin = await jetstreamManager(await nats.connect('audit-writer'), { checkAPI: false });
    const { last_seq } = (await sre.streams.info(STREAM.audit)).state;
    await admin.streams.purge(STREAM.audit, { seq: last_seq });
    writer = await start();
    await settled();
    const [gap] = await ledger.ask('search', { tenant: '', kind: 'ledger', limit: 1, by: 'root' });
    expect(gap).toMatchObject({ what: 'gap', details: { to: last_seq - 1 } });
    expect(await verifyAll(nats, ledger)).toMatchObject({ findings: [] });
  });

  it('refuses what it cannot understand, and says nothing of it', async () => {
    for (const asked of [
      { limit: 'x', after: 0 },
      { limit: 10, after: 0.5 },
    ]) {
      await expect(ledger.ask('rows', asked as never)).rejects.toMatchObject({ code: 'invalid_request' });
    }
    await expect(ledger.ask('search', { user: 'jane', limit: 1, by: 'root' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});
