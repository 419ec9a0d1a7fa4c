/**
 * What a stack is made of: defaults, overridden by the configuration file, overridden by the command line.
 *
 * The file is YAML, so JSON will do as well. A key that is not known is an error, not a surprise later.
 */
import { readFile } from 'node:fs/promises';
import { DEFAULT_TOPOLOGY, type TopologyOptions } from '@callboard/jetstream';
import { parseDocument } from 'yaml';
import { Failure, messageOf } from './failure.js';

/** In the order in which they are stopped: whoever takes something in before those who deal with it. */
export const APPS = [
  'mcp-frontend',
  'saga-orchestrator',
  'action-runner',
  'notifier',
  'operator-tools',
  'event-ingestor',
  'pii-filter',
  'audit-writer',
] as const;
export type AppName = (typeof APPS)[number];

export interface StackConfig {
  /** Port of the first front end; 0 takes any free one. */
  port: number;
  /** Port of the first ingestor; 0 takes any free one. */
  ingestPort: number;
  replicas: Record<AppName, number>;
  nats: {
    /** 0 takes any free one. */
    port: number;
    /** `always`, or an interval such as `2m`: see `sync_interval` of nats-server. */
    syncInterval: string;
    /** With less than this free on the disk of the streams, new calls are refused, so that accepted ones can still end. */
    minFreeBytes: number;
    /** 1, or the nodes of a cluster, each of which keeps the streams. */
    nodes: number;
    /** Encrypts between the apps and nats-server, with certificates of both sides. */
    tls: boolean;
  };
  topology: Partial<TopologyOptions>;
  /** Modules with the actions that the runners serve; absent for the runner's default. */
  actionModules?: string[];
  /** The adapter file of the runners; absent when there is none. */
  adapters?: string;
  /** The sources file of the ingestors; absent when there is none. */
  sources?: string;
  /** The file of the notifiers; absent when there are none, because there is no Backstage to notify. */
  notifications?: string;
  /** The access file of the front ends; absent where nobody but the stack's own token is known. */
  access?: string;
  /** The servers file of the front ends; absent for the one server at `/mcp`. */
  servers?: string;
  /** The folder of saga definitions of the orchestrators, or one file; absent when there are none. */
  sagas?: string;
  /** The policy file of the filters; absent for all detectors everywhere. */
  redactionPolicy?: string;
  /** The Cedar policies of everything that decides; absent for those that allow everything within a tenant. */
  policies?: string;
  /** The quotas file of the front ends; absent for the same limits for every tenant. */
  quotas?: string;
  /** More environment variables of an app. */
  env: Partial<Record<AppName, Record<string, string>>>;
}

export const DEFAULT_CONFIG: StackConfig = {
  port: 3333,
  ingestPort: 0,
  replicas: {
    'mcp-frontend': 1,
    'saga-orchestrator': 1,
    'action-runner': 1,
    notifier: 1,
    'operator-tools': 1,
    'event-ingestor': 1,
    'pii-filter': 1,
    'audit-writer': 1,
  },
  nats: { port: 0, syncInterval: 'always', minFreeBytes: 256 * 1024 ** 2, nodes: 1, tls: false },
  topology: {},
  env: {},
};

const MAX_REPLICAS = 64;

/** A reader of one value: returns it checked, or throws with what it must be. */
type Reader<T> = (value: unknown) => T;

/** Every key of the file, and what it may hold. `docs/configuration.md` explains them; a test holds the two against each other. */
const KEYS: Record<string, (value: unknown, into: StackConfig) => void> = {
  port: (value, into) => (into.port = port(value)),
  ingest_port: (value, into) => (into.ingestPort = port(value)),
  replicas: (value, into) => Object.assign(into.replicas, replicaCounts(value)),
  'nats.port': (value, into) => (into.nats.port = port(value)),
  'nats.sync_interval': (value, into) => (into.nats.syncInterval = syncInterval(value)),
  'nats.min_free_bytes': (value, into) => (into.nats.minFreeBytes = integer(1024 ** 2, 1024 ** 5)(value)),
  'nats.nodes': (value, into) => (into.nats.nodes = oneOf(1, 3, 5)(value)),
  'nats.tls': (value, into) => (into.nats.tls = flag(value)),
  'streams.partitions': (value, into) => (into.topology.partitions = integer(1, 1024)(value)),
  'streams.retention_hours': (value, into) => (into.topology.retentionMs = integer(24, 24 * 366)(value) * 3_600_000),
  'streams.replicas': (value, into) => (into.topology.replicas = integer(1, 5)(value)),
  'streams.max_bytes': (value, into) => (into.topology.maxBytes = integer(1024 ** 2, Number.MAX_SAFE_INTEGER)(value)),
  action_modules: (value, into) => (into.actionModules = listOf(text)(value)),
  adapters: (value, into) => (into.adapters = text(value)),
  access: (value, into) => (into.access = text(value)),
  servers: (value, into) => (into.servers = text(value)),
  sources: (value, into) => (into.sources = text(value)),
  notifications: (value, into) => (into.notifications = text(value)),
  sagas: (value, into) => (into.sagas = text(value)),
  redaction_policy: (value, into) => (into.redactionPolicy = text(value)),
  policies: (value, into) => (into.policies = text(value)),
  quotas: (value, into) => (into.quotas = text(value)),
  env: (value, into) => Object.assign(into.env, mapOf(appName, mapOf(variableName, text))(value)),
};
export const CONFIG_KEYS = Object.keys(KEYS);
/** Keys that hold others. */
const GROUPS = new Set(CONFIG_KEYS.filter((key) => key.includes('.')).map((key) => key.split('.', 1)[0]!));

/** @throws Failure naming the file, the key and what it must be. */
export async function readConfigFile(path: string): Promise<StackConfig> {
  const content = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Failure(`The configuration file cannot be read: ${error.message}`);
  });
  return parseConfig(content, path);
}

export function parseConfig(content: string, name: string): StackConfig {
  const document = parseDocument(content);
  const [wrong] = document.errors;
  if (wrong) throw new Failure(`${name}: ${wrong.message.split('\n', 1)[0]}`);
  const config = structuredClone(DEFAULT_CONFIG);
  const root: unknown = document.toJS() ?? {};
  if (!isMap(root)) throw new Failure(`${name}: must be a map of keys`);
  for (const [key, value] of Object.entries(root)) {
    const entries: [string, unknown][] =
      GROUPS.has(key) && isMap(value)
        ? Object.entries(value).map(([inner, held]) => [`${key}.${inner}`, held])
        : [[key, value]];
    for (const [path, held] of entries) {
      const read = KEYS[path];
      if (!read) throw new Failure(`${name}: there is no key ${path}. Known keys: ${CONFIG_KEYS.join(', ')}`);
      try {
        read(held, config);
      } catch (error) {
        throw new Failure(`${name}: ${path} ${messageOf(error)}`);
      }
    }
  }
  return config;
}

/** `APP=N,APP=N` of the command line. */
export function parseReplicas(argument: string): Partial<Record<AppName, number>> {
  const pairs = argument.split(',').map((pair) => pair.split('='));
  try {
    if (pairs.some((pair) => pair.length !== 2)) throw new Error('must be APP=N,APP=N');
    return replicaCounts(Object.fromEntries(pairs.map(([app, count]) => [app, Number(count)])));
  } catch (error) {
    throw new Failure(`--replicas ${messageOf(error)}`);
  }
}

export function parsePort(argument: string): number {
  try {
    return port(Number(argument));
  } catch (error) {
    throw new Failure(`--port ${messageOf(error)}`);
  }
}

export function topologyOptions(config: StackConfig): TopologyOptions {
  // A stream has up to three copies, whatever the number of nodes.
  return { ...DEFAULT_TOPOLOGY, replicas: Math.min(config.nats.nodes, 3), ...config.topology };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function integer(min: number, max: number): Reader<number> {
  return (value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new Error(`must be a whole number from ${min} to ${max}`);
  };
}

function oneOf(...allowed: number[]): Reader<number> {
  return (value) => {
    if (allowed.includes(value as number)) return value as number;
    throw new Error(`must be one of ${allowed.join(', ')}`);
  };
}
const port = integer(0, 65_535);
const replicaCount = integer(1, MAX_REPLICAS);

const text: Reader<string> = (value) => {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Error('must be text');
};

const syncInterval: Reader<string> = (value) => {
  if (typeof value === 'string' && /^(always|\d+(ms|s|m|h))$/.test(value)) return value;
  throw new Error('must be always, or an interval such as 2m');
};

const flag: Reader<boolean> = (value) => {
  if (typeof value === 'boolean') return value;
  throw new Error('must be true or false');
};

const appName: Reader<AppName> = (value) => {
  const app = APPS.find((name) => name === value);
  if (app) return app;
  throw new Error(`names an app that does not exist; the apps are ${APPS.join(', ')}`);
};

const variableName: Reader<string> = (value) => {
  if (typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) return value;
  throw new Error('must name environment variables');
};

function listOf<T>(item: Reader<T>): Reader<T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw new Error('must be a list');
    return value.map(item);
  };
}

function mapOf<K extends string, T>(key: Reader<K>, item: Reader<T>): Reader<Partial<Record<K, T>>> {
  return (value) => {
    if (!isMap(value)) throw new Error('must be a map');
    return Object.fromEntries(Object.entries(value).map(([name, held]) => [key(name), item(held)])) as Partial<
      Record<K, T>
    >;
  };
}

/** What makes a stack: without it no call is answered. The other apps may be left out, or run elsewhere. */
const NEEDED: readonly string[] = ['mcp-frontend', 'action-runner'];

/** Any number of each app, and one at least of those that are needed. */
function replicaCounts(value: unknown): Partial<Record<AppName, number>> {
  const counts = mapOf(appName, integer(0, MAX_REPLICAS))(value);
  for (const [app, count] of Object.entries(counts)) if (NEEDED.includes(app)) replicaCount(count);
  return counts;
}
