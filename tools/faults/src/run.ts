/**
 * One run of the fault test, top to bottom: start the stack, load it, kill its processes, cancel and redrive meanwhile, let it come to rest,
 * collect what every side has seen, and judge it.
 */
import { fileURLToPath } from 'node:url';
import { CALLS, type TestStack } from '@callboard/testing';
import { check, type Verdict } from './checker.js';
import type { History } from './history.js';
import { HttpCaller } from './http-caller.js';
import { Killer } from './killer.js';
import { Load } from './load.js';
import { Observer, readLines } from './observe.js';
import { Operator, type CallerIdentity } from './operator.js';
import { Random } from './random.js';
import { rejectedOn, withinStack, type StackEnd } from './within-stack.js';

export interface FaultOptions {
  seed: number;
  keys: number;
  values: number;
  clients: number;
  thinkMs: number;
  runners: number;
  frontEnds: number;
  /** Nodes of nats-server; those of a cluster are killed at ticks. */
  nodes: number;
  killEveryMs: number;
  /** Kills of a nats-server that is alone. */
  natsKills: number;
  dataDir: string;
}

export interface FaultReport extends StackEnd {
  history: History;
  verdict: Verdict;
  loadMs: number;
  restMs: number;
  retries: number;
}

/** On a machine that does much else. */
const READY_MS = 120_000;
const REST_TIMEOUT_MS = 60_000;
const TICK_MS = 3_000;
const CALL_MS = 30_000;
const ACTIONS = fileURLToPath(new URL('./actions.js', import.meta.url));

/** @throws Error when the run could not be made; a rule that was broken is in the verdict. */
export async function runFaults(
  options: FaultOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<FaultReport> {
  const { dataDir, frontEnds, runners, nodes } = options;
  say(`starting ${nodes} nats-server, ${frontEnds} front ends and ${runners} runners in ${dataDir}`);
  const stack = {
    dataDir,
    apps: CALLS,
    config: { nats: { nodes } },
    replicas: { 'mcp-frontend': frontEnds, 'action-runner': runners },
    env: { CALLBOARD_ACTION_MODULES: `@callboard/demo-actions,${ACTIONS}` },
    readyWithinMs: READY_MS,
  };
  const seen = await withinStack(stack, (started) => loadAndKill(started, options, say, signal));
  return { ...seen, verdict: check(seen.history) };
}

async function loadAndKill(
  stack: TestStack,
  options: FaultOptions,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
) {
  const observer = await Observer.connect(stack.ready);
  const caller = await findOutWhoCalls(stack.ready.mcp_url, stack.ready.token, observer);
  const operator = await Operator.start(stack.ready, stack.dataDir, observer, caller);
  try {
    const load = new Load({
      urls: stack.ready.mcp_urls,
      token: stack.ready.token,
      keys: Array.from({ length: options.keys }, (_, index) => `key-${index}`),
      valuesPerKey: options.values,
      clients: options.clients,
      thinkMs: options.thinkMs,
      seed: options.seed,
      onCancel: (call) => operator.cancel(call),
    });
    const killer = new Killer(
      stack,
      {
        everyMs: options.killEveryMs,
        apps: CALLS,
        ...(options.nodes > 1 ? { natsKills: 0, leader: () => observer.leader() } : { natsKills: options.natsKills }),
      },
      new Random(options.seed),
      () => load.answered / load.total,
    );

    const startedAt = Date.now();
    const describe = () => describeProgress(load, killer, operator, startedAt);
    const ticker = setInterval(() => say(describe()), TICK_MS);
    const killing = killer.run();
    const operating = operator.run();
    try {
      await Promise.race([load.run(), killing, rejectedOn(signal)]);
    } finally {
      clearInterval(ticker);
      killer.stop();
      await operator.stop();
    }
    await Promise.all([killing, operating]);
    const loadedAt = Date.now();
    say(describe());

    await killer.repaired();
    await redriveTheRest(operator, observer);
    const restedAt = Date.now();
    const history = await collect(load, operator, observer, stack.dataDir, killer.kills);
    return { history, loadMs: loadedAt - startedAt, restMs: restedAt - loadedAt, retries: load.retries };
  } finally {
    await operator.close();
    await observer.close();
  }
}

/** Everything comes to rest: what is redriven may give up once more, and then it is redriven once more. */
export async function redriveTheRest(operator: Operator, observer: Observer): Promise<void> {
  const until = Date.now() + REST_TIMEOUT_MS;
  do await observer.quiet(until - Date.now());
  while ((await operator.redriveAll()) > 0 && Date.now() < until);
}

/** What every side has seen, once everything is at rest. */
export async function collect(
  { calls }: Load,
  { cancels, redrives, letters }: Operator,
  observer: Observer,
  dataDir: string,
  kills: History['kills'],
): Promise<History> {
  return {
    calls,
    cancels,
    redrives,
    kills,
    ...(await readLines(dataDir)),
    commands: await observer.commands(),
    outcomes: await observer.outcomes(),
    letters,
    partitions: await observer.partitions(),
  };
}

/** One call tells under which tenant and principal the token calls. */
export async function findOutWhoCalls(
  url: string,
  token: string | undefined,
  observer: Observer,
): Promise<CallerIdentity> {
  const caller = new HttpCaller(url, token, CALL_MS);
  const answer = await caller.call({ name: 'demo.echo', arguments: { text: 'who am I?' } });
  await caller.close();
  if (answer.kind !== 'succeeded') throw new Error(`the first call did not succeed: ${JSON.stringify(answer)}`);
  const { tenant_id: tenantId, user_id: userId } = await observer.envelope(answer.correlationId!);
  return { tenantId, userId };
}

function describeProgress(load: Load, killer: Killer, operator: Operator, startedAt: number): string {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  const gaveUp = load.gaveUp === 0 ? '' : `, ${load.gaveUp} given up`;
  const operated = `${operator.cancels.length} cancels, ${operator.redrives.length} redrives`;
  return `${seconds} s: ${load.answered} of ${load.total} calls, ${load.retries} retries, ${killer.kills.length} kills, ${operated}${gaveUp}`;
}
