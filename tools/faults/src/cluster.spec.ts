import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderFindings } from './report.js';
import { runFaults, type FaultReport } from './run.js';

/** A short run of what `npm run faults -- --nodes 3` does at length. */
describe('while the nodes of a cluster, front ends and runners are killed at random', () => {
  let dataDir: string;
  let report: FaultReport;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    const size = { keys: 16, values: 8, clients: 8, runners: 3, frontEnds: 2, nodes: 3 };
    const faults = { seed: 20_261_128, thinkMs: 300, killEveryMs: 5_000, natsKills: 0 };
    report = await runFaults({ ...size, ...faults, dataDir }, (line) => process.stderr.write(`${line}\n`));
  }, 240_000);
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it('every accepted call has one outcome, and its effects are complete and in order', () => {
    const { verdict, history, stopFailure } = report;
    expect(renderFindings(verdict.findings, history)).toEqual([]);
    expect(history.calls).toHaveLength(128);
    expect(history.outcomes).toHaveLength(history.commands.length);
    expect(stopFailure).toBeUndefined();
  });

  it('nodes really died, one that led among them, and all came back', () => {
    const { kills } = report.history;
    const nodes = kills.filter(({ process }) => process === 'nats-server');
    expect(nodes.filter(({ leader }) => leader).length).toBeGreaterThan(0);
    expect(nodes.filter(({ replacedAt }) => replacedAt === undefined)).toEqual([]);
  });
});
