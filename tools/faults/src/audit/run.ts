/**
 * One run of the fault test of the audit, top to bottom: start the stack with its ledger, call, send and be refused, kill audit writers, runners,
 * filters, nats-server and, where the ledger is in one, PostgreSQL meanwhile; take the audit stream away and ask in vain; wait until the ledger has
 * everything, collect what was done and what is on record, and judge it.
 *
 * Without PostgreSQL the ledger's database is in the process of the audit writer, and dies with it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointKey, type LedgerEntry } from '@callboard/audit';
import { LedgerControl, readSubject, STREAM } from '@callboard/jetstream';
import { verifyLedger } from '@callboard/ledger';
import { startTestPostgres, stopAudit, waitFor, type TestPostgres, type TestStack } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Kill } from '../history.js';
import { natsKillPlan } from '../cluster.js';
import { Killer } from '../killer.js';
import { Observer } from '../observe.js';
import { Random } from '../random.js';
import type { ClusterSize } from '../seeded-runs.js';
import { rejectedOn, withinStack, type StackEnd } from '../within-stack.js';
import {
  checkAudit,
  toldRefusals,
  type AskedInVain,
  type AuditFinding,
  type AuditHistory,
  type Effect,
  type Recorded,
} from './checker.js';
import { AuditLoad } from './load.js';

/** How the audit stream is taken away: its subjects are another's, or it has no room. */
export type Outage = 'gone' | 'full';

export interface AuditFaultOptions extends ClusterSize {
  seed: number;
  operations: number;
  clients: number;
  thinkMs: number;
  killEveryMs: number;
  natsKills: number;
  /** Kills of PostgreSQL, which has the ledger then; 0: the ledger is in the audit writer's own database. */
  postgresKills: number;
  outages: readonly Outage[];
  dataDir: string;
}

export interface AuditFaultReport extends StackEnd {
  history: AuditHistory;
  kills: Kill[];
  findings: AuditFinding[];
  succeeded: number;
  loadMs: number;
}

const APPS = ['mcp-frontend', 'action-runner', 'event-ingestor', 'pii-filter', 'audit-writer'];
/** The front doors live: they alone know what they have refused and not yet told. */
const KILLED = ['audit-writer', 'action-runner', 'pii-filter'];
const READY_MS = 120_000;
const REST_MS = 120_000;
/** Longer than it takes until what was counted is told. */
const COUNTS_MS = 75_000;
const TICK_MS = 3_000;
const POLL_MS = 200;
const PAGE = 1_000;

/** @throws Error when the run could not be made; a rule that was broken is in the findings. */
export async function runAuditFaults(
  options: AuditFaultOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<AuditFaultReport> {
  const { dataDir, replicas, nodes, postgresKills } = options;
  const postgres = postgresKills > 0 ? await startTestPostgres() : undefined;
  try {
    say(`starting ${nodes} nats-server, ${replicas} runners and the ledger in ${postgres ? 'PostgreSQL' : dataDir}`);
    const stack = {
      dataDir,
      apps: APPS,
      config: { nats: { nodes } },
      replicas: {
        ...Object.fromEntries(APPS.map((app) => [app, 1])),
        ...{ 'action-runner': replicas, 'pii-filter': replicas },
        // Its own database is one process's.
        ...(postgres && { 'audit-writer': replicas }),
      },
      env: {
        CALLBOARD_AUDIT_CHECKPOINT_MS: '1000',
        ...(postgres && { CALLBOARD_AUDIT_DATABASE_URL: postgres.url }),
      },
      readyWithinMs: READY_MS,
    };
    const seen = await withinStack(stack, (started) => loadAndKill(started, postgres, options, say, signal));
    return { ...seen, findings: checkAudit(seen.history) };
  } finally {
    await postgres?.dispose();
  }
}

async function loadAndKill(
  stack: TestStack,
  postgres: TestPostgres | undefined,
  options: AuditFaultOptions,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
) {
  const { ready } = stack;
  const load = new AuditLoad({ ...options, ready });
  const random = new Random(options.seed);
  const progress = () => load.done / options.operations;
  const sre = await stack.connect('sre');
  const nodes = await natsKillPlan(options, sre, STREAM.commands);
  const plan = { everyMs: options.killEveryMs, apps: KILLED, ...nodes };
  const killer = new Killer(stack, plan, random, progress);
  const database = new DatabaseKiller(postgres, options.postgresKills, new Random(options.seed + 1), progress);
  const startedAt = Date.now();
  const describe = () =>
    `${((Date.now() - startedAt) / 1000).toFixed(0)} s: ${load.done} of ${options.operations} operations, ${killer.kills.length + database.kills.length} kills`;
  const ticker = setInterval(() => say(describe()), TICK_MS);
  const killing = Promise.all([killer.run(), database.run()]);
  const stop = () => {
    killer.stop();
    database.stop();
  };
  try {
    await Promise.race([load.run(), killing, rejectedOn(signal)]);
    const loadMs = Date.now() - startedAt;
    stop();
    await killing;
    await killer.repaired();
    say(describe());
    const away: AskedInVain[] = [];
    for (const how of options.outages) away.push(...(await without(stack, how, load)));
    const history = await collect(stack, load, away, say);
    return { history, kills: [...killer.kills, ...database.kills], succeeded: load.succeeded, loadMs };
  } finally {
    clearInterval(ticker);
    stop();
    await Promise.allSettled([killing]);
    await Promise.all([load.close(), sre.close()]);
  }
}

/** What was asked while the audit stream was away. */
async function without(stack: TestStack, how: Outage, load: AuditLoad): Promise<AskedInVain[]> {
  const restore = await stopAudit(stack, how);
  try {
    const asked = await load.askInVain(how);
    const until = Date.now();
    return asked.map((each) => ({ ...each, until }));
  } finally {
    await restore();
  }
}

async function collect(
  stack: TestStack,
  load: AuditLoad,
  away: AskedInVain[],
  say: (line: string) => void,
): Promise<AuditHistory> {
  const { ready } = stack;
  const [sre, operator] = await Promise.all([stack.connect('sre'), stack.connect('operator')]);
  const observer = await Observer.connect(ready);
  try {
    await observer.quiet(REST_MS);
    const jsm = await jetstreamManager(sre, { checkAPI: false });
    const ledger = new LedgerControl(operator);
    let records = await recordsOf(ledger);
    // What is one of many is told with the next count; where none is missing, nothing is waited for.
    const isTold = () => [...load.refused].every(([name, count]) => toldRefusals(records).get(name) === count);
    for (const until = Date.now() + COUNTS_MS; !isTold() && Date.now() < until; await sleep(POLL_MS)) {
      records = await recordsOf(ledger);
    }
    say(`${records.length} records in the ledger`);
    const { findings } = await verifyLedger(ledger, sre, CheckpointKey.parse(ready.audit_public_key));
    return {
      effects: await readEffects(stack.dataDir),
      keyed: load.keyed,
      taken: load.taken,
      passed: await passedEvents(jsm),
      refused: load.refused,
      away,
      records,
      verified: findings.map((finding) => JSON.stringify(finding)),
    };
  } finally {
    await observer.close();
    await closed(sre, operator);
  }
}

/** All entries, once the ledger has what is in the stream. */
async function recordsOf(ledger: LedgerControl): Promise<Recorded[]> {
  await waitFor(
    async () => {
      const status = await ledger.ask('status', {}).catch(() => undefined);
      return status !== undefined && status.written === status.stream;
    },
    { what: 'a ledger that has everything', timeoutMs: REST_MS },
  );
  const records: Recorded[] = [];
  for (let after = 0; ;) {
    const rows = await ledger.rows(after, PAGE);
    if (rows.length === 0) return records;
    for (const { body } of rows) {
      const { id, at, app, kind, what, correlation_id, code, details = {} } = JSON.parse(body) as LedgerEntry;
      records.push({
        id,
        at: Date.parse(at),
        app,
        kind,
        what,
        details,
        ...(correlation_id !== undefined && { correlationId: correlation_id }),
        ...(code !== undefined && { code }),
      });
    }
    after = rows.at(-1)!.stream_sequence;
  }
}

async function readEffects(dataDir: string): Promise<Effect[]> {
  const text = await readFile(join(dataDir, 'demo', 'append.log'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { key: string; correlation_id: string; attempt: number; at: string })
    .map(({ key, correlation_id, attempt, at }) => ({
      key,
      correlationId: correlation_id,
      attempt,
      at: Date.parse(at),
    }));
}

/** The names of those of the run. */
async function passedEvents(jsm: JetStreamManager): Promise<string[]> {
  const names: string[] = [];
  for (let after = 0; ;) {
    const messages = await readSubject(jsm, STREAM.events, 'evt.*.local.>', after);
    if (messages.length === 0) return names;
    names.push(...messages.map(({ subject }) => subject.slice(subject.lastIndexOf('.') + 1)));
    after = messages.at(-1)!.seq;
  }
}

async function closed(...connections: NatsConnection[]): Promise<void> {
  await Promise.all(connections.map((connection) => connection.close()));
}

/** Kills PostgreSQL as often as the plan says, spread over the load. */
class DatabaseKiller {
  readonly kills: Kill[] = [];
  readonly #at: number[];
  #stopped = false;

  constructor(
    private readonly postgres: TestPostgres | undefined,
    kills: number,
    random: Random,
    private readonly progress: () => number,
  ) {
    this.#at = Array.from({ length: kills }, () => random.between(0.1, 0.9)).sort((a, b) => a - b);
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      if (this.postgres && this.progress() >= (this.#at[0] ?? Infinity)) {
        this.#at.shift();
        const kill: Kill = { at: Date.now(), process: 'postgres', pid: 0 };
        await this.postgres.crash();
        this.kills.push({ ...kill, replacedAt: Date.now() });
      }
      await sleep(POLL_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}
