/** `callboard doctor`: can a stack run here, and is the one that runs healthy? Changes nothing and fetches nothing. */
import { existsSync } from 'node:fs';
import { access, constants, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Halts,
  STREAM,
  checkTopology,
  declareTopology,
  partitionConsumerName,
  type Topology,
} from '@callboard/jetstream';
import { resolveNatsServer } from '@callboard/nats-server';
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import { Command } from 'commander';
import { pathsOf } from '../data-dir.js';
import { Failure, messageOf } from '../failure.js';
import { printJson } from '../print.js';
import { readReadyFile, type ReadyFile } from '../ready-file.js';
import { asUser, dataDirOption, jsonOption, type StackCommandOptions } from '../running-stack.js';
import { DEFAULT_CONFIG } from '../stack-config.js';
import { isFree } from '../supervisor.js';
import { ageOf } from '../when.js';

type Status = 'ok' | 'warning' | 'failed';

interface Finding {
  check: string;
  status: Status;
  finding: string;
}

const OLDEST_NODE = [20, 19] as const;
const SYNC_MS = 300;
/** Below this, an accepted call waits longer for the disk than for everything else. */
const SLOW_SYNCS_PER_S = 200;
const GIB = 1024 ** 3;
const HANDOVER_MS = 5_000;
const HANDOVER_POLL_MS = 250;
const FILTER_LAG_MS = 60_000;

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('say whether a stack can run here, and whether the one that runs is healthy')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(doctor);
}

async function doctor({ dataDir, json }: StackCommandOptions): Promise<void> {
  const paths = pathsOf(dataDir);
  const ready = await readReadyFile(paths.ready);
  const findings = [
    checkNode(),
    await checkNatsServer(),
    ...(await checkDataDir(paths.path)),
    ...(ready ? await checkStack(ready) : [await checkPort()]),
  ];
  if (json) printJson({ findings });
  else for (const { check, status, finding } of findings) console.log(`${status.padEnd(8)} ${check}: ${finding}`);
  const failed = findings.filter(({ status }) => status === 'failed').map(({ check }) => check);
  if (failed.length > 0) throw new Failure(`not healthy: ${failed.join(', ')}. The lines above say what to do.`);
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fit = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const need = fit ? '' : `; ${OLDEST_NODE.join('.')} or newer is needed`;
  return { check: 'Node', status: fit ? 'ok' : 'failed', finding: process.version + need };
}

async function checkNatsServer(): Promise<Finding> {
  const check = 'nats-server';
  try {
    const { path, version, from } = await resolveNatsServer({ fetchers: {} });
    return { check, status: 'ok', finding: `${version} (${from}): ${path}` };
  } catch (error) {
    if (process.env['CALLBOARD_NATS_SERVER']) return { check, status: 'failed', finding: messageOf(error) };
    return { check, status: 'warning', finding: 'none yet: the first start fetches one, and needs the network for it' };
  }
}

async function checkDataDir(path: string): Promise<Finding[]> {
  // Before the first start there is none; then what counts is where it will be.
  let folder = path;
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    await access(folder, constants.W_OK);
  } catch {
    return [
      { check: 'data dir', status: 'failed', finding: `${folder} cannot be written to: name another with --data-dir` },
    ];
  }
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const wantedBytes = reservedBytes(declareTopology());
  const space = `${(freeBytes / GIB).toFixed(1)} GiB free, and the streams may grow to ${(wantedBytes / GIB).toFixed(1)} GiB`;
  const syncs = await syncsPerSecond(folder);
  return [
    { check: 'data dir', status: freeBytes > wantedBytes ? 'ok' : 'warning', finding: `${path}: ${space}` },
    {
      check: 'disk',
      status: syncs >= SLOW_SYNCS_PER_S ? 'ok' : 'warning',
      finding: `${Math.round(syncs)} syncs a second: at most so many single calls are accepted in that time`,
    },
  ];
}

function reservedBytes(topology: Topology): number {
  return topology.streams.reduce((sum, { config }) => sum + (config.max_bytes ?? 0), 0);
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

async function checkPort(): Promise<Finding> {
  const { port } = DEFAULT_CONFIG;
  if (await isFree(port)) return { check: 'stack', status: 'ok', finding: `none runs here; port ${port} is free` };
  return {
    check: 'stack',
    status: 'warning',
    finding: `none runs here, and port ${port} is taken: start with --port N, or with --port 0 for any free one`,
  };
}

async function checkStack(ready: ReadyFile): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [app, urls] of Object.entries(ready.metrics)) {
    const answers = await Promise.all(urls.map((url) => answersReady(url.replace(/metrics$/, 'readyz'))));
    const silent = answers.filter((answers) => !answers).length;
    findings.push({
      check: app,
      status: silent === 0 ? 'ok' : 'failed',
      finding:
        silent === 0
          ? `${urls.length} ready`
          : `${silent} of ${urls.length} do not answer: see their logs in the data dir, or start the stack again`,
    });
  }
  try {
    findings.push(...(await checkStreams(ready)));
  } catch (error) {
    findings.push({ check: 'streams', status: 'failed', finding: messageOf(error) });
  }
  return findings;
}

async function checkStreams(ready: ReadyFile): Promise<Finding[]> {
  const topology = declareTopology(ready.topology);
  const differences = await asUser(ready, 'provisioner', (nc) => checkTopology(nc, topology));
  const names = topology.streams.map(({ config }) => config.name);
  const { partitions } = topology.options;
  const { streams, halted, waiting, idle } = await asUser(ready, 'sre', async (nc) => {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    // What a stream tells of itself alone may name its subjects, and those of raw events are not for people.
    const streams: StreamInfo[] = [];
    for await (const info of jsm.streams.list()) streams.push(info);
    const halts = await Halts.open(nc);
    halts.close();
    return { streams, halted: halts.size, ...(await lookAtPartitions(jsm, partitions)) };
  });
  const full = streams.filter(({ config, state }) => config.max_bytes > 0 && state.bytes > 0.8 * config.max_bytes);
  const messages = (name: string) => streams.find(({ config }) => config.name === name)?.state.messages ?? 0;
  const deadLetters = messages(STREAM.deadLetters);
  return [
    differences.length === 0
      ? { check: 'streams', status: 'ok', finding: `${names.length} as declared` }
      : { check: 'streams', status: 'failed', finding: `${differences.length} differences: callboard streams check` },
    ...full.map(({ config, state }): Finding => {
      const percent = Math.round((100 * state.bytes) / config.max_bytes);
      return {
        check: config.name,
        status: 'warning',
        finding: `${percent} % full: when it is full, calls are refused`,
      };
    }),
    idle.length === 0
      ? { check: 'partitions', status: 'ok', finding: `${partitions}, each with an owner` }
      : {
          check: 'partitions',
          status: 'failed',
          finding: `no runner owns ${idle.join(', ')}: see the logs of the runners`,
        },
    { check: 'commands', status: 'ok', finding: `${waiting} not read yet` },
    ...(halted > 0
      ? [
          {
            check: 'halted keys',
            status: 'warning' as const,
            finding: `${halted}: callboard dlq list marks their letters`,
          },
        ]
      : []),
    checkFilter(streams.find(({ config }) => config.name === STREAM.eventsRaw)),
    {
      check: 'held events',
      status: messages(STREAM.eventsHeld) > 0 ? 'warning' : 'ok',
      finding:
        messages(STREAM.eventsHeld) > 0
          ? `${messages(STREAM.eventsHeld)}: callboard dlq list has a letter for each`
          : '0',
    },
    { check: 'dead letters', status: deadLetters > 0 ? 'warning' : 'ok', finding: String(deadLetters) },
  ];
}

/** A filter that works has dealt with an event within seconds. */
function checkFilter(raw: StreamInfo | undefined): Finding {
  const check = 'privacy filter';
  const { messages, first_ts } = raw?.state ?? { messages: 0, first_ts: '' };
  const oldestMs = messages === 0 ? 0 : Date.now() - Date.parse(first_ts);
  const finding = `${messages} events not dealt with yet${messages > 0 ? `, the oldest for ${ageOf(first_ts)}` : ''}`;
  if (oldestMs < FILTER_LAG_MS) return { check, status: 'ok', finding };
  return { check, status: 'warning', finding: `${finding}: see the logs of the filters, or start more of them` };
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

async function answersReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
