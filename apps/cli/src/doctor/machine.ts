/** Can a stack run on this machine: Node, nats-server, the data dir and its disk. */
import { existsSync } from 'node:fs';
import { access, constants, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { declareTopology, type TopologyOptions } from '@callboard/jetstream';
import { resolveNatsServer } from '@callboard/nats-server';
import { messageOf } from '../failure.js';
import { isFree } from '../supervisor.js';
import { failed, ok, warning, type Finding } from './finding.js';

const OLDEST_NODE = [20, 19] as const;
const SYNC_MS = 300;
/** Below this, an accepted call waits longer for the disk than for everything else. */
const SLOW_SYNCS_PER_S = 200;
const GIB = 1024 ** 3;

export function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fit = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  if (fit) return ok('Node', process.version);
  const needed = `${OLDEST_NODE.join('.')} or newer`;
  return failed('Node', 'node_too_old', `${process.version}; ${needed} is needed`, `install Node ${needed}`);
}

export async function checkNatsServer(): Promise<Finding> {
  const check = 'nats-server';
  try {
    const { path, version, from } = await resolveNatsServer({ fetchers: {} });
    return ok(check, `${version} (${from}): ${path}`);
  } catch (error) {
    if (process.env['CALLBOARD_NATS_SERVER']) {
      return failed(check, 'nats_server_unfit', messageOf(error), 'name another, or unset CALLBOARD_NATS_SERVER');
    }
    return warning(
      check,
      'no_nats_server',
      'none yet',
      'the first start fetches one, and needs the network for it; or put one on PATH',
    );
  }
}

/** @param minFreeBytes below it, the front ends refuse calls */
export async function checkDataDir(
  path: string,
  minFreeBytes: number,
  topology: Partial<TopologyOptions>,
): Promise<Finding[]> {
  // Before the first start there is none; then what counts is where it will be.
  let folder = path;
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    await access(folder, constants.W_OK);
  } catch {
    const finding = `${folder} cannot be written to`;
    return [
      failed('data dir', 'data_dir_denied', finding, 'name another with --data-dir, or give its owner the right'),
    ];
  }
  return [await checkSpace(path, folder, minFreeBytes, topology), await checkSyncs(folder)];
}

async function checkSpace(
  path: string,
  folder: string,
  minFreeBytes: number,
  topology: Partial<TopologyOptions>,
): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const wantedBytes = declareTopology(topology).streams.reduce((sum, { config }) => sum + (config.max_bytes ?? 0), 0);
  const space = `${path}: ${gib(freeBytes)} free, and the streams may grow to ${gib(wantedBytes)}`;
  if (freeBytes < minFreeBytes) {
    return failed(
      'data dir',
      'disk_full',
      `${path}: ${gib(freeBytes)} free, and calls are refused below ${gib(minFreeBytes)}`,
      'make room on that disk: calls are taken again by themselves',
    );
  }
  if (freeBytes > wantedBytes) return ok('data dir', space);
  return warning('data dir', 'disk_small', space, 'a larger disk, or a smaller streams.max_bytes');
}

async function checkSyncs(folder: string): Promise<Finding> {
  const syncs = await syncsPerSecond(folder);
  const finding = `${Math.round(syncs)} syncs a second: at most so many single calls are accepted in that time`;
  if (syncs >= SLOW_SYNCS_PER_S) return ok('disk', finding);
  return warning('disk', 'disk_slow', finding, 'a disk that syncs faster; see docs/performance.md');
}

async function syncsPerSecond(folder: string): Promise<number> {
  const path = join(folder, `.callboard-doctor-${process.pid}`);
  const file = await open(path, 'wx');
  try {
    const block = Buffer.alloc(512);
    const startedAt = performance.now();
    let syncs = 0;
    while (performance.now() - startedAt < SYNC_MS) {
      await file.write(block);
      await file.datasync();
      syncs += 1;
    }
    return syncs / ((performance.now() - startedAt) / 1000);
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

export async function checkPort(port: number): Promise<Finding> {
  if (await isFree(port)) return ok('stack', `none runs here; port ${port} is free`);
  return warning(
    'stack',
    'port_taken',
    `none runs here, and port ${port} is taken`,
    'start with --port N, or with --port 0 for any free one',
  );
}

const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`;
