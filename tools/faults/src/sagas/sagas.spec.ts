import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSagas, type SeenSaga } from './checker.js';
import { SMALL } from './command.js';
import { runSagaFaults, type SagaFaultReport } from './run.js';

/** A short run of what `npm run faults -- sagas` does at length. */
describe('sagas, while orchestrators, runners and nats-server are killed', () => {
  let folder: string;
  let report: SagaFaultReport;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-faults-'));
    report = await runSagaFaults(
      {
        seed: 7,
        dataDir: join(folder, 'data'),
        sagas: SMALL.sagas,
        clients: SMALL.clients,
        thinkMs: SMALL['think-ms'],
        natsKills: SMALL['nats-kills'],
        killEveryMs: 1_500,
        replicas: 2,
        nodes: 1,
      },
      () => undefined,
    );
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('all end succeeded or fully undone, and no step has an effect that is not on record', () => {
    expect(report.findings).toEqual([]);
    expect(report.stopFailure).toBeUndefined();
    expect(report.sagas).toHaveLength(SMALL.sagas);
  });

  it('were killed, and failed, often enough to tell', () => {
    expect(report.kills.map(({ process }) => process)).toEqual(
      expect.arrayContaining(['nats-server', 'saga-orchestrator']),
    );
    expect(new Set(report.sagas.map(({ phase }) => phase))).toEqual(new Set(['succeeded', 'compensated']));
  });
});

describe('the checker', () => {
  const saga = (change: Partial<SeenSaga> = {}): SeenSaga => ({
    name: 'a',
    failsAt: 3,
    flaky: 0,
    phase: 'compensated',
    told: 'saga_compensated',
    commands: ['1', '2', '3', '4'],
    ...change,
  });
  const effects = (...values: string[]) =>
    values.map((value, i) => ({ key: 'a', value, correlationId: String(i + 1) }));
  const rules = (change: Partial<SeenSaga>, ...values: string[]) =>
    checkSagas([saga(change)], effects(...values)).map(({ rule }) => rule);

  it('is content with a saga that is undone, the last step first', () => {
    expect(rules({}, 's1', 's2', '-s2', '-s1')).toEqual([]);
  });

  it.each([
    ['has not ended', { phase: 'running' }, ['s1'], 'ended'],
    ['ended otherwise than its caller was told', { told: 'succeeded' }, ['s1', 's2', '-s2', '-s1'], 'told'],
    ['is undone in the order of its steps', {}, ['s1', 's2', '-s1', '-s2'], 'order'],
    ['is undone in part', {}, ['s1', 's2', '-s2'], 'undone'],
    ['succeeded in part', { phase: 'succeeded', told: 'succeeded', failsAt: 0 }, ['s1', 's2'], 'complete'],
    ['had an effect that is not on record', { commands: ['1', '2', '3'] }, ['s1', 's2', '-s2', '-s1'], 'recorded'],
  ] as const)('finds a saga that %s', (_, change, values, rule) => {
    expect(rules(change as Partial<SeenSaga>, ...values)).toContain(rule);
  });
});
