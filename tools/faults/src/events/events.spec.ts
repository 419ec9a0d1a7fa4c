import { BACKSTAGE, describeWith } from '@callboard/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMALL } from './command.js';
import { runEventFaults, type EventFaultReport } from './run.js';

/** A short run of what `npm run faults -- events` does at length. */
describeWith([BACKSTAGE], 'events, while ingestors, filters, nats-server and Backstage are killed', () => {
  let dataDir: string;
  let report: EventFaultReport;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    report = await runEventFaults(
      {
        seed: 7,
        dataDir,
        keys: SMALL.keys,
        values: SMALL.values,
        thinkMs: SMALL['think-ms'],
        natsKills: SMALL['nats-kills'],
        backstageKills: SMALL['backstage-kills'],
        killEveryMs: 2_000,
        replicas: 2,
        nodes: 1,
      },
      () => undefined,
    );
  }, 600_000);
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it('are stored and read once each, in order and redacted, and what the bus may have lost is in a gap', () => {
    expect(report.findings).toEqual([]);
    expect(report.stopFailure).toBeUndefined();
  });

  it('were killed often enough to tell', () => {
    const killed = new Set(report.history.kills.map(({ process }) => process));
    expect([...killed]).toEqual(expect.arrayContaining(['nats-server', 'backstage']));
    expect(report.history.kills.length).toBeGreaterThan(3);
  });
});
