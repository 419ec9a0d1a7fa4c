/**
 * Audit writers, PostgreSQL and nats-server are killed at random while records come: what was acknowledged is in the ledger, once, and every hash is
 * right. With CALLBOARD_SPEC_KILL_SECONDS=600 and CALLBOARD_SPEC_KILLS=200 it is this at full size.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AuditTrail } from '@callboard/jetstream';
import {
  startTestNats,
  startTestPostgres,
  waitFor,
  type TestNats,
  type TestPostgres,
  type TestApp,
} from '@callboard/testing';
import { ledgerOf, startWriter, verifyAll } from './spec-writer.js';

const SECONDS = Number(process.env['CALLBOARD_SPEC_KILL_SECONDS'] ?? 12);
const KILLS = Number(process.env['CALLBOARD_SPEC_KILLS'] ?? 8);
const AT_ONCE = 20;
const SLOW_MS = 120_000 + 3_000 * SECONDS;

let nats: TestNats;
let postgres: TestPostgres;
let writers: TestApp[] = [];

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startTestNats(), startTestPostgres()]);
}, SLOW_MS);
afterAll(async () => {
  await Promise.all(writers.map((writer) => writer.kill()));
  await nats.dispose();
  await postgres.dispose();
});

describe('when writers, PostgreSQL and nats-server are killed at random', () => {
  it(
    'every record that was acknowledged is in the ledger once, and the chains are whole',
    async () => {
      const start = (name: string) => startWriter(nats, name, { CALLBOARD_AUDIT_DATABASE_URL: postgres.url });
      writers = await Promise.all(['one', 'two'].map(start));
      const audit = new AuditTrail(await nats.connect('mcp-frontend'), { app: 'spec', instance: 'spec' }, 30_000);
      const acknowledged: string[] = [];
      const until = Date.now() + SECONDS * 1_000;
      const callers = Array.from({ length: AT_ONCE }, async (_, caller) => {
        for (let i = 0; Date.now() < until; i++) {
          const correlationId = `c_${caller}_${i}`;
          const fact = { kind: 'call', what: 'submitted', tenantId: `t${caller % 3}`, correlationId } as const;
          await audit.record({ ...fact, who: { userId: `user-${i % 7}` }, args: { i } });
          acknowledged.push(correlationId);
          await delay(randomInt(10));
        }
      });
      const pause = Math.ceil((SECONDS * 1_000) / KILLS);
      // A machine that is slow to start what was killed comes to fewer of them.
      for (let kill = 0; kill < KILLS && Date.now() < until; kill++) {
        await delay(randomInt(pause));
        const what = ['writer', 'writer', 'postgres', 'nats'][kill % 4];
        if (what === 'nats') await nats.crash();
        else if (what === 'postgres') await postgres.crash();
        else {
          const which = randomInt(2);
          await writers[which]!.kill();
          writers[which] = await start(['one', 'two'][which]!);
        }
      }
      await Promise.all(callers);

      const ledger = await ledgerOf(nats);
      await waitFor(
        async () => {
          const status = await ledger.ask('status', {}).catch(() => undefined);
          return status?.written === status?.stream;
        },
        { what: 'the ledger to have everything' },
      );
      const written = new Map<string, number>();
      for (let after = 0; ;) {
        const rows = await ledger.rows(after, 2_000);
        if (rows.length === 0) break;
        for (const { correlation_id: id } of rows) if (id !== null) written.set(id, (written.get(id) ?? 0) + 1);
        after = rows.at(-1)!.stream_sequence;
      }
      expect(acknowledged.length).toBeGreaterThan(AT_ONCE);
      expect(acknowledged.filter((id) => written.get(id) !== 1)).toEqual([]);
      expect([...written.values()].every((times) => times === 1)).toBe(true);
      expect((await verifyAll(nats, ledger)).findings).toEqual([]);
      await audit.close();
    },
    SLOW_MS,
  );
});
