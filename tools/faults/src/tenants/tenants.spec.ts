import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTenants, type TenantReport } from './run.js';

/** A short run of what `npm run faults -- tenants` does at length. */
describe('two tenants of one deployment, at the same time and under the same names', () => {
  let folder: string;
  let report: TenantReport;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-tenants-'));
    const sizes = { operations: 1_500, usersEach: 2, callersEach: 4, frontEnds: 2, runners: 1 };
    report = await runTenants({ seed: 7, folder, ...sizes }, () => undefined);
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('see nothing of each other, in no answer and in nothing that is stored', () => {
    expect(report.findings).toEqual([]);
    expect(report.stopFailure).toBeUndefined();
  });

  it('have tried everything, each for itself and for what is the other’s', () => {
    const kinds = [
      'echo',
      'echo once',
      'append',
      'accept',
      'own result',
      'event',
      'events.read',
      'events.poll',
      'ping',
    ];
    const foreign = [
      'foreign result',
      'foreign tasks/get',
      'foreign tasks/cancel',
      'resource of the other',
      'foreign session',
    ];
    expect([...report.done.keys()]).toEqual(expect.arrayContaining([...kinds, ...foreign]));
    for (const stream of ['COMMANDS', 'OUTCOMES', 'EVENTS', 'AUDIT']) {
      expect([stream, report.stored.get(stream)! > 50]).toEqual([stream, true]);
    }
  });
});
