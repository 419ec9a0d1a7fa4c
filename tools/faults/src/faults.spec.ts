import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderFindings } from './report.js';
import { runFaults, type FaultReport } from './run.js';

/** A short run of what `npm run faults` does at length. */
describe('while apps and nats-server are killed at random', () => {
  let dataDir: string;
  let report: FaultReport;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    const size = { keys: 60, values: 10, clients: 12, runners: 3, frontEnds: 2 };
    const faults = { seed: 20_260_728, thinkMs: 200, killEveryMs: 2_000, natsKills: 1 };
    report = await runFaults({ ...size, ...faults, dataDir }, (line) => process.stderr.write(`${line}\n`));
  }, 240_000);
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it('every accepted call has one outcome, and its effects are complete and in order', () => {
    const { verdict, history } = report;
    expect(renderFindings(verdict.findings, history)).toEqual([]);
    expect(history.calls).toHaveLength(600);
    expect(history.outcomes).toHaveLength(600);
  });

  it('processes of every kind really died, and all came back', () => {
    const { kills } = report.history;
    expect(new Set(kills.map(({ process }) => process))).toEqual(
      new Set(['nats-server', 'mcp-frontend', 'action-runner']),
    );
    expect(kills.filter(({ replacedAt }) => replacedAt === undefined)).toEqual([]);
  });

  it('the stack still drains and stops cleanly', () => {
    expect(report.stopFailure).toBeUndefined();
  });
});
