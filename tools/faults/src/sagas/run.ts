/**
 * One run of the fault test with sagas, top to bottom: start the stack, begin sagas as front ends do, kill orchestrators, runners and nats-server
 * meanwhile, wait until every saga has ended, collect what the log of effects, the journals and the callers have, and judge it.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CallboardError, newCorrelationId, parseActionId, type CommandEnvelope } from '@callboard/envelope';
import { AckedPublisher, BUCKET, CommandClient, KeyValueStore, STREAM } from '@callboard/jetstream';
import { SagaJournal } from '@callboard/saga-journal';
import { testCommand, waitFor, type TestStack } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { natsKillPlan } from '../cluster.js';
import { Killer } from '../killer.js';
import type { Kill } from '../history.js';
import { Random } from '../random.js';
import type { ClusterSize } from '../seeded-runs.js';
import { rejectedOn, withinStack, type StackEnd } from '../within-stack.js';
import { checkSagas, type Effect, type SagaFinding, type SeenSaga } from './checker.js';
import { SAGA_ID, definitionFile, planSagas, type PlannedSaga } from './plan.js';

export interface SagaFaultOptions extends ClusterSize {
  seed: number;
  sagas: number;
  clients: number;
  /** How long a client thinks before its next saga, on average. */
  thinkMs: number;
  killEveryMs: number;
  natsKills: number;
  dataDir: string;
}

export interface SagaFaultReport extends StackEnd {
  sagas: SeenSaga[];
  kills: Kill[];
  findings: SagaFinding[];
  loadMs: number;
}

const TENANT = 'default';
const READY_MS = 120_000;
const SAGA_MS = 600_000;
const AGAIN_MS = 300;
const TICK_MS = 3_000;

/** @throws Error when the run could not be made; a rule that was broken is in the findings. */
export async function runSagaFaults(
  options: SagaFaultOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<SagaFaultReport> {
  const { dataDir, replicas, nodes } = options;
  await mkdir(dataDir, { recursive: true });
  const definitions = `${dataDir}.saga.yaml`;
  await writeFile(definitions, definitionFile());
  say(`starting ${nodes} nats-server, ${replicas} orchestrators and ${replicas} runners in ${dataDir}`);
  const stack = {
    dataDir,
    config: { nats: { nodes } },
    replicas: { 'saga-orchestrator': replicas, 'action-runner': replicas },
    env: { CALLBOARD_SAGAS: definitions },
    readyWithinMs: READY_MS,
  };
  const seen = await withinStack(stack, (started) => beginAndKill(started, options, say, signal));
  return { ...seen, findings: checkSagas(seen.sagas, await readEffects(dataDir)) };
}

async function beginAndKill(
  stack: TestStack,
  options: SagaFaultOptions,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
) {
  const nc = await stack.connect('mcp-frontend');
  const sre = await stack.connect('sre');
  const commands = await CommandClient.start(nc, { instance: 'faults' });
  const random = new Random(options.seed);
  const planned = planSagas(options.sagas, random);
  await announced(nc);
  let done = 0;
  const killer = new Killer(
    stack,
    {
      everyMs: options.killEveryMs,
      apps: ['saga-orchestrator', 'action-runner'],
      ...(await natsKillPlan(options, sre, STREAM.sagas)),
    },
    random,
    () => done / planned.length,
  );
  const startedAt = Date.now();
  const describe = () =>
    `${((Date.now() - startedAt) / 1000).toFixed(0)} s: ${done} of ${planned.length} sagas ended, ${killer.kills.length} kills`;
  const ticker = setInterval(() => say(describe()), TICK_MS);
  const killing = killer.run();
  try {
    const ended: { saga: PlannedSaga; id: string; told: string | undefined }[] = [];
    const left = [...planned];
    const client = async () => {
      for (let saga = left.shift(); saga; saga = left.shift()) {
        const id = newCorrelationId();
        ended.push({ saga, id, told: await begin(commands, saga, id) });
        done += 1;
        await sleep(random.between(0, 2 * options.thinkMs));
      }
    };
    const load = Promise.all(Array.from({ length: options.clients }, client));
    await Promise.race([load, killing, rejectedOn(signal)]);
    const loadMs = Date.now() - startedAt;
    killer.stop();
    await killing;
    await killer.repaired();
    say(describe());
    const journal = await SagaJournal.open(nc, new AckedPublisher(nc));
    const sagas: SeenSaga[] = [];
    for (const { saga, id, told } of ended) sagas.push(await look(journal, saga, id, told));
    return { sagas, kills: killer.kills, loadMs };
  } finally {
    clearInterval(ticker);
    killer.stop();
    await Promise.allSettled([killing]);
    commands.close();
    await Promise.all([nc.close(), sre.close()]);
  }
}

/** Resolves with what the caller of a saga is told, or with nothing when that takes for ever. */
async function begin(commands: CommandClient, saga: PlannedSaga, id: string): Promise<string | undefined> {
  const args = { name: saga.name, fails_at: saga.failsAt, flaky: saga.flaky };
  const more = { ...parseActionId(SAGA_ID), tenant_id: TENANT, correlation_id: id, deadline_ms: SAGA_MS };
  const command: CommandEnvelope = testCommand(id, args, more);
  for (;;) {
    try {
      // Under the same id again it is the same saga.
      const { outcome } = await commands.submit(command, { saga: true, keep: true, ownId: true });
      const { status, error } = await outcome;
      return error?.code ?? status;
    } catch (error) {
      if (!(error instanceof CallboardError && error.retryable)) throw error;
      if (Date.now() > Date.parse(command.deadline_at)) return undefined;
      await sleep(AGAIN_MS);
    }
  }
}

async function look(journal: SagaJournal, saga: PlannedSaga, id: string, told: string | undefined): Promise<SeenSaga> {
  const entries = await journal.entries(TENANT, id);
  const commands = entries.flatMap(({ facts }) =>
    facts.flatMap((fact) => {
      if (fact.fact === 'step_started') return fact.command ? [fact.command.correlation_id] : [];
      return fact.fact === 'compensation_started' ? [fact.correlation_id] : [];
    }),
  );
  const { state } = await journal.read(TENANT, id);
  return { ...saga, phase: state.phase, told, commands };
}

/** The saga can run once the runners have announced its actions. */
async function announced(nc: NatsConnection): Promise<void> {
  const registry = await KeyValueStore.open(nc, BUCKET.actions);
  const catalogs = new Map<string, string>();
  const watch = await registry.watch('catalogs.*', (key, value) => {
    if (value) catalogs.set(key, Buffer.from(value).toString());
  });
  await waitFor(() => [...catalogs.values()].some((catalog) => catalog.includes(`"${SAGA_ID}"`)), {
    what: 'the saga to be announced',
    timeoutMs: READY_MS,
  });
  watch.stop();
}

async function readEffects(dataDir: string): Promise<Effect[]> {
  const text = await readFile(join(dataDir, 'demo', 'append.log'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { key: string; value: string; correlation_id: string })
    .map(({ key, value, correlation_id }) => ({ key, value, correlationId: correlation_id }));
}
