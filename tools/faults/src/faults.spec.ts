import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderFindings } from './report.js';
import { runFaults, type FaultReport } from './run.js';

/** A short run of what `npm run faults` does at length. */
describe('while apps and nats-server are killed at random, and commands fail, expire, are cancelled and redriven', () => {
  let dataDir: string;
  let report: FaultReport;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    const size = { keys: 60, values: 10, clients: 12, runners: 3, frontEnds: 2, nodes: 1 };
    const faults = { seed: 20_260_728, thinkMs: 200, killEveryMs: 2_000, natsKills: 1 };
    report = await runFaults({ ...size, ...faults, dataDir }, (line) => process.stderr.write(`${line}\n`));
  }, 240_000);
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it('every accepted call has one outcome, and its effects are complete and in order', () => {
    const { verdict, history } = report;
    expect(renderFindings(verdict.findings, history)).toEqual([]);
    expect(history.calls).toHaveLength(600);
    expect(history.outcomes).toHaveLength(history.commands.length);
  });

  it('everything that is judged has really happened', () => {
    const { calls, cancels, redrives, outcomes } = report.history;
    const statuses = new Set(outcomes.map(({ status }) => status));
    expect(statuses).toEqual(new Set(['succeeded', 'failed', 'cancelled', 'deadline_exceeded', 'dead_lettered']));
    expect(cancels.filter(({ said }) => said?.result === 'cancelled').length).toBeGreaterThan(0);
    expect(redrives.filter(({ successor }) => successor !== undefined).length).toBeGreaterThan(0);
    expect(new Set(calls.map(({ plan }) => plan.priority))).toEqual(new Set(['high', 'normal', 'low']));
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
