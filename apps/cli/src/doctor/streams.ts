/** The streams of a stack: are they there and as declared, have they room, and does anybody see to what is in them? */
import { setTimeout as delay } from 'node:timers/promises';
import {
  Halts,
  STREAM,
  checkTopology,
  declareTopology,
  partitionConsumerName,
  partitionsOf,
  type TopologyDifference,
  type TopologyOptions,
} from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ageOf } from '../when.js';
import { failed, ok, warning, type Finding } from './finding.js';

const HANDOVER_MS = 5_000;
const HANDOVER_POLL_MS = 250;
const FILTER_LAG_MS = 60_000;
const NEARLY_FULL = 0.8;
/** The largest message that there may be: with less room, some are refused. */
const LARGEST_MESSAGE_BYTES = 1024 ** 2;
const REFUSED_WHEN_FULL = 'when it is full, calls are refused';

/** What only the user who makes streams is told: whether they are as declared, and how much the account may store. */
export async function checkDeclared(nc: NatsConnection, options: Partial<TopologyOptions>): Promise<Finding[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const account = await jsm.getAccountInfo().catch(() => undefined);
  if (!account) {
    const fix = 'enable JetStream on the server and for the account; a server whose disk was full is started again';
    return [failed('streams', 'no_jetstream', 'JetStream does not answer', fix)];
  }
  const topology = declareTopology(options);
  return [
    ...declaredFindings(await checkTopology(nc, topology), topology.streams.length),
    ...roomFindings(account.storage, account.limits.max_storage),
  ];
}

function declaredFindings(differences: TopologyDifference[], count: number): Finding[] {
  if (differences.length === 0) return [ok('streams', `${count} as declared`)];
  const isMissing = ({ setting }: TopologyDifference) => setting === 'missing' || setting.startsWith('consumer ');
  const missing = differences.filter(isMissing);
  const partitions = differences.filter(
    ({ setting, actual, declared }) =>
      setting === 'subject_transform' && partitionCount(actual) !== partitionCount(declared),
  );
  const others = differences.filter((one) => !missing.includes(one) && !partitions.includes(one));
  const findings = partitions.map(({ stream, actual, declared }) =>
    failed(
      'partitions',
      'partitions_differ',
      `${stream} has ${partitionCount(actual) ?? 'no'} partitions, and ${partitionCount(declared)} are configured`,
      'configure the number that the stream has, in every app and file; to change it, see docs/runbook/partition-change.md',
    ),
  );
  if (missing.length > 0) {
    const names = missing.map(({ stream, setting }) => (setting === 'missing' ? stream : `${setting} of ${stream}`));
    const fix = 'callboard streams apply makes it; if there was one, what was in it is gone: docs/runbook/restore.md';
    findings.push(failed('streams', 'stream_missing', `${names.join(', ')}: not there`, fix));
  }
  if (others.length > 0) {
    const told = others.map(
      ({ stream, setting, actual, declared }) =>
        `${stream}: ${setting} is ${JSON.stringify(actual) ?? 'absent'}, declared ${JSON.stringify(declared) ?? 'absent'}`,
    );
    const fix = others.every(({ mendable }) => mendable)
      ? 'callboard streams apply mends it'
      : 'it cannot be mended in place: callboard streams check, and docs/runbook/restore.md';
    findings.push(failed('streams', 'stream_differs', told.join('; '), fix));
  }
  return findings;
}

function partitionCount(transform: unknown): number | undefined {
  return partitionsOf({ subject_transform: transform as { src: string; dest: string } });
}

/** @param most what the account may store; -1 for any amount */
export function roomFindings(used: number, most: number): Finding[] {
  if (most <= 0) return [];
  const finding = `the account stores ${mib(used)} of ${mib(most)}`;
  const fix = 'raise max_store of the account, or keep less: streams.retention_hours';
  if (most - used < LARGEST_MESSAGE_BYTES) return [failed('storage', 'storage_full', finding, fix)];
  if (used > NEARLY_FULL * most) return [warning('storage', 'storage_nearly_full', finding, fix)];
  return [ok('storage', finding)];
}

/** What is in the streams, and who owns the partitions. */
export async function checkContents(nc: NatsConnection): Promise<Finding[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  // What a stream tells of itself alone may name its subjects, and those of raw events are not for people.
  const streams: StreamInfo[] = [];
  for await (const info of jsm.streams.list()) streams.push(info);
  const named = (name: string) => streams.find(({ config }) => config.name === name);
  const messages = (name: string) => named(name)?.state.messages ?? 0;
  const letters = messages(STREAM.deadLetters);
  const held = messages(STREAM.eventsHeld);
  const redrive = 'callboard dlq list, then redrive or discard: docs/runbook/redrive.md';
  return [
    ...streams.flatMap(fillOf),
    ...(named(STREAM.commands) ? await checkPartitions(jsm, partitionsOf(named(STREAM.commands)!.config) ?? 0) : []),
    ...(await checkHalts(nc).catch(() => [])),
    checkFilter(named(STREAM.eventsRaw)),
    held === 0
      ? ok('held events', '0')
      : warning('held events', 'events_held', String(held), 'docs/runbook/filter-failing-closed.md'),
    letters === 0 ? ok('dead letters', '0') : warning('dead letters', 'dead_letters', String(letters), redrive),
  ];
}

/** Of a stream that lets go of what is old to take what is new, being full is the way of life. */
function fillOf({ config: { name, max_bytes, discard }, state: { bytes } }: StreamInfo): Finding[] {
  if (max_bytes <= 0 || discard !== 'new' || bytes <= NEARLY_FULL * max_bytes) return [];
  const finding = `${Math.round((100 * bytes) / max_bytes)} % full`;
  const fix = 'raise streams.max_bytes and callboard streams apply, or let what is old go sooner: docs/operations.md';
  if (max_bytes - bytes < LARGEST_MESSAGE_BYTES) {
    return [failed(name, 'stream_full', `${finding}: calls are refused`, fix)];
  }
  return [warning(name, 'stream_nearly_full', `${finding}: ${REFUSED_WHEN_FULL}`, fix)];
}

async function checkPartitions(jsm: JetStreamManager, partitions: number): Promise<Finding[]> {
  const { waiting, idle } = await lookAtPartitions(jsm, partitions);
  return [
    idle.length === 0
      ? ok('partitions', `${partitions}, each with an owner`)
      : failed(
          'partitions',
          'partition_without_owner',
          `no runner owns ${idle.length === partitions ? `any of ${partitions}` : idle.join(', ')}`,
          'start a runner, or see the logs of those that run',
        ),
    ok('commands', `${waiting} not read yet`),
  ];
}

async function checkHalts(nc: NatsConnection): Promise<Finding[]> {
  const halts = await Halts.open(nc);
  halts.close();
  if (halts.size === 0) return [];
  const fix = 'callboard dlq list marks their letters: redriving or discarding one lets its key go on';
  return [warning('halted keys', 'keys_halted', String(halts.size), fix)];
}

/** A filter that works has dealt with an event within seconds. */
function checkFilter(raw: StreamInfo | undefined): Finding {
  const check = 'privacy filter';
  const { messages, first_ts } = raw?.state ?? { messages: 0, first_ts: '' };
  const oldestMs = messages === 0 ? 0 : Date.now() - Date.parse(first_ts);
  const finding = `${messages} events not dealt with yet${messages > 0 ? `, the oldest for ${ageOf(first_ts)}` : ''}`;
  if (oldestMs < FILTER_LAG_MS) return ok(check, finding);
  return warning(check, 'filter_behind', finding, 'see the logs of the filters, or start more of them');
}

/** A partition that changes hands has no consumer for a moment: only one that keeps having none counts. */
async function lookAtPartitions(
  jsm: JetStreamManager,
  partitions: number,
): Promise<{ waiting: number; idle: number[] }> {
  const until = Date.now() + HANDOVER_MS;
  for (;;) {
    let waiting = 0;
    const owned = new Set<string>();
    for await (const { name, num_pending } of jsm.consumers.list(STREAM.commands)) {
      waiting += num_pending;
      owned.add(name);
    }
    const idle = Array.from({ length: partitions }, (_, i) => i).filter((i) => !owned.has(partitionConsumerName(i)));
    if (idle.length === 0 || Date.now() > until) return { waiting, idle };
    await delay(HANDOVER_POLL_MS);
  }
}

const mib = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MiB`;
