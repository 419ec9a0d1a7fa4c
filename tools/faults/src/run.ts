/**
 * One run of the fault test, top to bottom: start the stack, load it, kill its processes, let it come to rest, collect what every
 * side has seen, and judge it.
 */
import { startStack, type TestStack } from '@callboard/testing';
import { check, type Verdict } from './checker.js';
import type { History } from './history.js';
import { Killer } from './killer.js';
import { Load } from './load.js';
import { Observer, readEffects } from './observe.js';
import { Random } from './random.js';

export interface FaultOptions {
  seed: number;
  keys: number;
  values: number;
  clients: number;
  thinkMs: number;
  runners: number;
  frontEnds: number;
  killEveryMs: number;
  natsKills: number;
  dataDir: string;
}

export interface FaultReport {
  history: History;
  verdict: Verdict;
  loadMs: number;
  restMs: number;
  retries: number;
  /** Why the stack did not drain and stop cleanly at the end, if it did not. */
  stopFailure: string | undefined;
  /** What the stack printed last. */
  output: string;
}

const REST_TIMEOUT_MS = 60_000;
const TICK_MS = 3_000;

/** @throws Error when the run could not be made; a rule that was broken is in the verdict. */
export async function runFaults(
  options: FaultOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<FaultReport> {
  const { dataDir, frontEnds, runners } = options;
  say(`starting ${frontEnds} front ends and ${runners} runners in ${dataDir}`);
  const stack = await startStack({ dataDir, replicas: { 'mcp-frontend': frontEnds, 'action-runner': runners } });
  let seen: Pick<FaultReport, 'history' | 'loadMs' | 'restMs' | 'retries'>;
  try {
    seen = await loadAndKill(stack, options, say, signal);
  } catch (error) {
    await stack.stop();
    throw new Error(`the run broke off; the stack said last:\n${stack.output()}`, { cause: error });
  }
  const stopFailure = await stack.stop().then(
    () => undefined,
    (error: Error) => error.message,
  );
  return { ...seen, verdict: check(seen.history), stopFailure, output: stack.output() };
}

async function loadAndKill(
  stack: TestStack,
  options: FaultOptions,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
) {
  const keys = Array.from({ length: options.keys }, (_, index) => `key-${index}`);
  const load = new Load({
    urls: stack.ready.mcp_urls,
    token: stack.ready.token,
    keys,
    valuesPerKey: options.values,
    clients: options.clients,
    thinkMs: options.thinkMs,
    seed: options.seed,
  });
  const killer = new Killer(
    stack,
    { everyMs: options.killEveryMs, natsKills: options.natsKills },
    new Random(options.seed),
    () => load.succeeded / load.total,
  );

  const startedAt = Date.now();
  const ticker = setInterval(() => say(describeProgress(load, killer, startedAt)), TICK_MS);
  const killing = killer.run();
  try {
    await Promise.race([load.run(), killing, rejectedOn(signal)]);
  } finally {
    clearInterval(ticker);
    killer.stop();
  }
  await killing;
  const loadedAt = Date.now();
  say(describeProgress(load, killer, startedAt));

  await killer.repaired();
  const observer = await Observer.connect(await stack.readReady());
  try {
    await observer.quiet(REST_TIMEOUT_MS);
    const restedAt = Date.now();
    const history: History = {
      expected: { keys: load.begun, valuesPerKey: options.values },
      calls: load.calls,
      kills: killer.kills,
      ...(await readEffects(stack.dataDir)),
      commands: await observer.commands(),
      outcomes: await observer.outcomes(),
      consumers: await observer.consumers(),
    };
    return { history, loadMs: loadedAt - startedAt, restMs: restedAt - loadedAt, retries: load.retries };
  } finally {
    await observer.close();
  }
}

function rejectedOn(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('interrupted'))));
}

function describeProgress(load: Load, killer: Killer, startedAt: number): string {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  const gaveUp = load.gaveUp === 0 ? '' : `, ${load.gaveUp} given up`;
  return `${seconds} s: ${load.succeeded} of ${load.total} calls, ${load.retries} retries, ${killer.kills.length} kills${gaveUp}`;
}
