/**
 * One run of the fault test with events, top to bottom: start the stack with a Backstage, subscribe a client of each era, send events every way
 * that there is, kill processes meanwhile, let everything arrive, collect what every side has seen, and judge it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { toStructured } from '@callboard/events';
import { EventReader, STREAM, connectNats } from '@callboard/jetstream';
import { waitFor, type ReadyFile, type TestStack } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { natsKillPlan } from '../cluster.js';
import { Killer } from '../killer.js';
import { Random } from '../random.js';
import type { ClusterSize } from '../seeded-runs.js';
import { rejectedOn, withinStack, type StackEnd } from '../within-stack.js';
import { checkEvents, type EventFinding } from './checker.js';
import { ERAS, type EventHistory, type SeenEvent, type SeenGap } from './history.js';
import { EventLoad } from './load.js';
import { seenEvent, seenGap, type GivenEvent } from './seen.js';
import { Subscriber } from './subscriber.js';

export interface EventFaultOptions extends ClusterSize {
  seed: number;
  keys: number;
  values: number;
  thinkMs: number;
  killEveryMs: number;
  natsKills: number;
  backstageKills: number;
  dataDir: string;
}

export interface EventFaultReport extends StackEnd {
  history: EventHistory;
  findings: EventFinding[];
  loadMs: number;
}

/** Where Backstage has to be installed first. */
const READY_MS = 300_000;
/** What the run is about; the front end's own deaths are the other run's. */
const KILLED = ['event-ingestor', 'pii-filter'];
const TICK_MS = 3_000;
const REST_MS = 60_000;
const PAGE = { events: 1_000, bytes: 16 * 1024 * 1024 };

/** @throws Error when the run could not be made; a rule that was broken is in the findings. */
export async function runEventFaults(
  options: EventFaultOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<EventFaultReport> {
  const { dataDir, replicas, nodes } = options;
  say(`starting Backstage, ${nodes} nats-server, ${replicas} ingestors and ${replicas} filters in ${dataDir}`);
  const stack = {
    dataDir,
    config: { nats: { nodes } },
    replicas: { 'event-ingestor': replicas, 'pii-filter': replicas },
    args: ['--backstage'],
    readyWithinMs: READY_MS,
  };
  const seen = await withinStack(stack, (started) => sendAndKill(started, options, say, signal));
  return { ...seen, findings: checkEvents(seen.history) };
}

async function sendAndKill(
  stack: TestStack,
  options: EventFaultOptions,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
) {
  const { ready } = stack;
  await busIsRead(ready);
  const load = new EventLoad({ ...options, ready });
  const random = new Random(options.seed);
  const sre = await stack.connect('sre');
  const killer = new Killer(
    stack,
    {
      everyMs: options.killEveryMs,
      backstageKills: options.backstageKills,
      apps: KILLED,
      ...(await natsKillPlan(options, sre, STREAM.events)),
    },
    random,
    () => load.done / load.total,
  );
  const [modern, legacy] = await Promise.all(ERAS.map((era) => Subscriber.subscribe(ready.mcp_url, ready.token, era)));
  const subscribers = { modern: modern!, legacy: legacy! };

  const startedAt = Date.now();
  const describe = () =>
    `${((Date.now() - startedAt) / 1000).toFixed(0)} s: ${load.done} of ${load.total} events sent, ${modern!.read.length} and ${legacy!.read.length} read, ${killer.kills.length} kills`;
  const ticker = setInterval(() => say(describe()), TICK_MS);
  const killing = killer.run();
  const reading = Promise.all(ERAS.map((era) => subscribers[era].run()));
  let stored: Stored;
  let loadMs: number;
  try {
    await Promise.race([load.run(), killing, reading, rejectedOn(signal)]);
    loadMs = Date.now() - startedAt;
    killer.stop();
    await killing;
    await killer.repaired();
    stored = await rest(ready, (now) => {
      const names = new Set(now.events.map(({ key, value }) => `${key} ${value}`));
      const due = load.posts.filter(({ way, answeredAt }) => way !== 'bus' && answeredAt !== undefined);
      return (
        due.every(({ key, value }) => names.has(`${key} ${value}`)) &&
        ERAS.every((era) => subscribers[era].read.length >= now.events.length)
      );
    });
    say(describe());
  } finally {
    clearInterval(ticker);
    killer.stop();
    for (const era of ERAS) subscribers[era].stop();
    await Promise.allSettled([killing, reading]);
    await sre.close();
  }
  await reading;
  const history: EventHistory = {
    posts: load.posts,
    kills: killer.kills,
    stored: stored.events,
    gaps: stored.gaps,
    read: { modern: modern!.read, legacy: legacy!.read },
    held: stored.held,
  };
  return { history, loadMs };
}

/** What is published on the bus before somebody subscribes is nobody's loss. */
async function busIsRead({ metrics }: ReadyFile): Promise<void> {
  const isRead = async (url: string) =>
    /^callboard_bus_answers_total\{[^}]*answer="empty"[^}]*\} [1-9]/m.test(await (await fetch(url)).text());
  await waitFor(async () => (await Promise.all(metrics['event-ingestor']!.map(isRead))).includes(true), {
    what: 'a reader of the event bus',
    timeoutMs: REST_MS,
  });
}

interface Stored {
  events: SeenEvent[];
  gaps: SeenGap[];
  held: number;
}

/** What is stored once it is enough and does not grow any more, or when that takes too long: what is missing then is for the checker to say. */
async function rest(ready: ReadyFile, isEnough: (stored: Stored) => boolean): Promise<Stored> {
  const { creds } = ready.nats_users['sre']!;
  const nc = await connectNats({ servers: ready.nats_url, user: 'sre', credsFile: creds, name: 'callboard-faults' });
  try {
    const reader = await EventReader.open(nc);
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const until = Date.now() + REST_MS;
    for (let before = -1; ; await sleep(1_000)) {
      const stored: Stored = { events: [], gaps: [], held: await countHeld(jsm) };
      for (const event of await readAll(reader)) {
        const [seen, gap] = [seenEvent(event), seenGap(event)];
        if (seen) stored.events.push(seen);
        if (gap) stored.gaps.push(gap);
      }
      const size = stored.events.length + stored.gaps.length;
      if ((size === before && isEnough(stored)) || Date.now() > until) return stored;
      before = size;
    }
  } finally {
    await nc.close();
  }
}

async function countHeld(jsm: JetStreamManager): Promise<number> {
  const letters = `dlq.${STREAM.eventsRaw}.>`;
  const { state } = await jsm.streams.info(STREAM.deadLetters, { subjects_filter: letters });
  return Object.keys(state.subjects ?? {}).length;
}

async function readAll(reader: EventReader): Promise<GivenEvent[]> {
  const all: GivenEvent[] = [];
  let { earliest: position } = await reader.range();
  for (let hasMore = true; hasMore;) {
    const page = await reader.read('every tenant', {}, position, PAGE);
    for (const { address, attributes, data } of page.events) {
      all.push({ ...address, event: toStructured(attributes, data) });
    }
    ({ next: position, hasMore } = page);
  }
  return all;
}
