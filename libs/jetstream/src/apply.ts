/**
 * Makes the server match the declared topology, or says where it does not.
 *
 * A stream that exists is updated only where an update cannot lose or re-route anything (limits, ages, descriptions). A difference
 * in what the stream means (subjects, transform, storage, retention, discard policy) is an error that names stream, setting and
 * both values; nothing is changed then.
 */
import { jetstreamManager, JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DeclaredStream, Topology } from './topology.js';

export interface TopologyDifference {
  stream: string;
  setting: string;
  declared: unknown;
  actual: unknown;
  /** Can `applyTopology` mend it? */
  mendable: boolean;
}

export class TopologyError extends Error {
  override readonly name = 'TopologyError';
  constructor(readonly differences: TopologyDifference[]) {
    super(
      `The server's streams do not fit this version of Callboard:\n${differences
        .map((d) => `  ${d.stream}: ${d.setting} is ${show(d.actual)}, declared ${show(d.declared)}`)
        .join('\n')}\nBack up what you need, then remove the stream or start with the setting it has.`,
    );
  }
}

/** Settings whose change keeps every stored message where it is and every promise made. */
const MENDABLE = new Set([
  'description',
  'max_age',
  'max_bytes',
  'max_msg_size',
  'duplicate_window',
  'num_replicas',
  'allow_direct',
  'allow_atomic',
  'subject_delete_marker_ttl',
  'missing',
]);
/** Every difference between what is declared and what the server has; empty when they agree. */
export async function checkTopology(nc: NatsConnection, topology: Topology): Promise<TopologyDifference[]> {
  const differences: TopologyDifference[] = [];
  for (const declared of topology.streams) differences.push(...(await compareStream(nc, declared)));
  return differences;
}

/**
 * Creates what is missing and mends what can be mended.
 * @returns what was changed.
 * @throws TopologyError when something cannot be mended; nothing was changed then.
 */
export async function applyTopology(nc: NatsConnection, topology: Topology): Promise<TopologyDifference[]> {
  const differences = await checkTopology(nc, topology);
  const stuck = differences.filter(({ mendable }) => !mendable);
  if (stuck.length > 0) throw new TopologyError(stuck);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  for (const declared of topology.streams) {
    const own = differences.filter(({ stream }) => stream === declared.config.name);
    if (own.some(({ setting }) => setting === 'missing')) await jsm.streams.add(declared.config);
    else if (own.some(({ setting }) => !setting.startsWith('consumer '))) {
      await jsm.streams.update(declared.config.name, declared.config);
    }
    for (const consumer of declared.consumers ?? []) {
      if (own.some(({ setting }) => setting === 'missing' || setting === `consumer ${consumer.durable_name}`)) {
        await jsm.consumers.add(declared.config.name, consumer);
      }
    }
  }
  return differences;
}

async function compareStream(nc: NatsConnection, declared: DeclaredStream): Promise<TopologyDifference[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const stream = declared.config.name;
  const info = await absentAs(undefined, JetStreamApiCodes.StreamNotFound, jsm.streams.info(stream));
  if (!info) return [{ stream, setting: 'missing', declared: stream, actual: undefined, mendable: true }];
  const missing: TopologyDifference[] = [];
  for (const { durable_name } of declared.consumers ?? []) {
    const found = await absentAs(
      undefined,
      JetStreamApiCodes.ConsumerNotFound,
      jsm.consumers.info(stream, durable_name),
    );
    const setting = `consumer ${durable_name}`;
    if (!found) missing.push({ stream, setting, declared: durable_name, actual: undefined, mendable: true });
  }
  const settings = Object.entries(declared.config)
    .map(([setting, value]) => ({
      stream,
      setting,
      declared: value as unknown,
      actual: (info.config as unknown as Record<string, unknown>)[setting],
      mendable: MENDABLE.has(setting),
    }))
    .filter(({ declared, actual }) => !agree(declared, actual));
  return [...settings, ...missing];
}

/** What the server leaves out is its zero value; what it adds to an object of ours is its business. */
function agree(declared: unknown, actual: unknown): boolean {
  if (actual === undefined || actual === null) return !declared || (Array.isArray(declared) && declared.length === 0);
  if (Array.isArray(declared)) {
    return (
      Array.isArray(actual) && declared.length === actual.length && declared.every((item, i) => agree(item, actual[i]))
    );
  }
  if (declared !== null && typeof declared === 'object') {
    return Object.entries(declared).every(([name, value]) => agree(value, (actual as Record<string, unknown>)[name]));
  }
  return declared === actual;
}

async function absentAs<T, U>(absent: U, code: number, answer: Promise<T>): Promise<T | U> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === code) return absent;
    throw error;
  }
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? 'absent';
}
