/**
 * `cost`: what a command costs each part, to reckon with: processor time of every kind of process, its memory, and what the streams hold
 * of it, in messages, subjects and bytes. `demo.echo` through the whole stack.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { declareTopology, STREAM } from '@callboard/jetstream';
import { CALLS, startStack, type TestStack } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { Bench, BenchContext } from './bench.js';
import { Child } from './child.js';
import type { LoopReport } from './load/closed-loop.js';
import type { LoadOrder } from './load/http-load.js';
import { cpuMsOfTree, rssBytesOf } from './processes.js';
import { align } from './report.js';

const CALLERS = 32;
const ANSWER_MS = 120_000;
const SETTLE_MS = 2_000;
const DISK_BLOCK = 512;
const RATES = [1_000, 10_000, 100_000];
const HTTP_LOAD = new URL('./load/http-load.js', import.meta.url);

interface Stored {
  messages: number;
  subjects: number;
  bytes: number;
}

interface Reading {
  at: number;
  cpuMs: { [kind: string]: number };
  rssBytes: { [kind: string]: number };
  streams: { [name: string]: Stored };
  diskBytes: number;
}

export const cost: Bench = {
  name: 'cost',
  title: 'what a durable demo.echo costs each part: processor, memory, messages, subjects, bytes',
  async run(context) {
    const dataDir = await mkdtemp(join(context.directory, 'cost-'));
    const started: { stop(): Promise<void> }[] = [];
    try {
      const stack = await startStack({ dataDir: join(dataDir, 'stack'), apps: CALLS, readyWithinMs: 60_000 });
      started.push(stack);
      const connection = await stack.connect('provisioner');
      started.push({ stop: () => connection.close() });
      const jsm = await jetstreamManager(connection, { checkAPI: false });
      const load = await Child.start('the load generator', HTTP_LOAD);
      started.push(load);
      return await measure(stack, jsm, load, context);
    } finally {
      for (const process of started.reverse()) await process.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

async function measure(stack: TestStack, jsm: JetStreamManager, load: Child<unknown>, { quick }: BenchContext) {
  const { mcp_url: url, token, processes } = stack.ready;
  const order: LoadOrder = { url, token, tool: 'demo.echo', callers: CALLERS, processes: {}, warmUpMs: 0, windowMs: 0 };
  const run = (windowMs: number) => load.ask<LoopReport>({ ...order, windowMs }, 'measured', ANSWER_MS);
  // Compiled and warm before anything counts.
  const warm = await run(quick ? 500 : 5_000);
  await delay(SETTLE_MS);
  const idleFrom = await read(stack, jsm);
  await delay(quick ? 1_000 : 10_000);
  const before = await read(stack, jsm);
  const report = await run(quick ? 2_000 : 20_000);
  await delay(SETTLE_MS);
  const after = await read(stack, jsm);

  const stored = difference(before, after);
  const commands = stored[STREAM.commands]!.messages;
  const wrong = [...warm.wrong, ...report.wrong];
  if (commands < report.calls) wrong.push(`${report.calls} calls were answered and ${commands} commands are stored`);
  const outcomes = await outcomesAndCommands(jsm);
  if (outcomes.outcomes !== outcomes.commands) {
    wrong.push(`${outcomes.commands} commands are stored and ${outcomes.outcomes} outcomes`);
  }
  const kindsThatRun = Object.keys(processes).filter((kind) => processes[kind]!.length > 0);
  const details = [
    `${commands} commands, ${Math.round(report.perSecond)} a second with ${CALLERS} callers`,
    '',
    ...renderProcesses(idleFrom, before, after, commands, kindsThatRun),
    '',
    ...renderStored(stored, after.diskBytes - before.diskBytes, commands),
  ];
  return { comparisons: [], wrong, details };
}

async function read(stack: TestStack, jsm: JetStreamManager): Promise<Reading> {
  const cpuMs: Reading['cpuMs'] = {};
  const rssBytes: Reading['rssBytes'] = {};
  for (const [kind, pids] of Object.entries(stack.ready.processes)) {
    cpuMs[kind] = pids.reduce((sum, pid) => sum + cpuMsOfTree(pid), 0);
    rssBytes[kind] = pids.reduce((sum, pid) => sum + (rssBytesOf(pid) ?? NaN), 0);
  }
  const at = performance.now();
  const streams: Reading['streams'] = {};
  for (const { config } of declareTopology().streams) {
    const { state } = await jsm.streams.info(config.name);
    streams[config.name] = { messages: state.messages, subjects: state.num_subjects ?? 0, bytes: state.bytes };
  }
  return { at, cpuMs, rssBytes, streams, diskBytes: await diskBytesOf(stack.dataDir) };
}

/** What the files of the folder take on the disk. */
async function diskBytesOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    // Files of a stream come and go meanwhile.
    const file = entry.isFile() && (await stat(join(entry.parentPath, entry.name)).catch(() => undefined));
    if (file) bytes += file.blocks * DISK_BLOCK;
  }
  return bytes;
}

function difference(before: Reading, after: Reading): Reading['streams'] {
  return Object.fromEntries(
    Object.entries(after.streams).map(([name, { messages, subjects, bytes }]) => {
      const was = before.streams[name]!;
      return [name, { messages: messages - was.messages, subjects: subjects - was.subjects, bytes: bytes - was.bytes }];
    }),
  );
}

async function outcomesAndCommands(jsm: JetStreamManager): Promise<{ outcomes: number; commands: number }> {
  const { state } = await jsm.streams.info(STREAM.outcomes, { subjects_filter: 'out.>' });
  const { messages: commands } = (await jsm.streams.info(STREAM.commands)).state;
  return { outcomes: Object.keys(state.subjects ?? {}).length, commands };
}

function renderProcesses(idleFrom: Reading, before: Reading, after: Reading, commands: number, kinds: string[]) {
  const head = [
    '  process',
    'CPU s per 1,000',
    'idle, % of a core',
    'MiB',
    ...RATES.map((rate) => `cores at ${rate}/s`),
  ];
  const rows = kinds.map((kind) => {
    const perCommandMs = (after.cpuMs[kind]! - before.cpuMs[kind]!) / commands;
    const idle = (before.cpuMs[kind]! - idleFrom.cpuMs[kind]!) / (before.at - idleFrom.at);
    return [
      `  ${kind}`,
      perCommandMs.toFixed(3),
      (idle * 100).toFixed(1),
      (after.rssBytes[kind]! / 1024 ** 2).toFixed(0),
      ...RATES.map((rate) => ((perCommandMs * rate) / 1_000).toFixed(1)),
    ];
  });
  return align([head, ...rows]);
}

function renderStored(stored: Reading['streams'], diskBytes: number, commands: number) {
  const head = ['  stream', 'messages per command', 'subjects', 'bytes', 'GiB a day at 1,000/s'];
  const row = (name: string, values: [string, string], bytes: number) => [
    `  ${name}`,
    ...values,
    (bytes / commands).toFixed(0),
    (((bytes / commands) * 86_400_000) / 1024 ** 3).toFixed(0),
  ];
  const rows = Object.entries(stored)
    .filter(([, { messages, bytes }]) => messages > 0 || bytes > 0)
    .map(([name, { messages, subjects, bytes }]) =>
      row(name, [(messages / commands).toFixed(2), (subjects / commands).toFixed(2)], bytes),
    );
  return align([head, ...rows, row('all files, on the disk', ['', ''], diskBytes)]);
}
