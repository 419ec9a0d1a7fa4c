/**
 * `redaction`: what the redaction of one event costs a core, beside reading and writing the same event as JSON, and beside a library that
 * knows five kinds of values by one expression each. In this process, on events that are made here; a rate is per second of processor time,
 * so that what others do on the machine matters less.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { redact, type Json } from '@callboard/redaction';
import type { Bench, BenchContext, Comparison, Measurement } from './bench.js';
import { installPeers } from './peer-servers.js';
import { compareAll } from './rounds.js';
import { percentile } from './statistics.js';
import { webhookEvents } from './webhook-events.js';

const EVENTS = 300;
const ROUNDS = 3;
const WINDOW_MS = 3_000;
const QUICK_WINDOW_MS = 300;
const OPTIONS = { key: Buffer.alloc(32, 7), tenant: 'bench' };
const PEER = '@redactpii/node';
const PEERS = new URL('../peers/', import.meta.url);

export const redaction: Bench = {
  name: 'redaction',
  title: 'webhook events of some ten KiB redacted, per second of one core',
  async run(context) {
    const events = webhookEvents(EVENTS);
    const wrong: string[] = [];
    const sideOf = (name: string, work: (event: Json) => unknown) => ({
      name,
      measure: () => measure(events, work, context),
    });
    const baselines = [sideOf('JSON.parse and stringify', (event) => JSON.parse(JSON.stringify(event)) as unknown)];
    const notMeasured: string[] = [];
    const peer = await peerRedactor(context);
    if (peer === undefined) notMeasured.push(`${PEER}: it is not installed in tools/bench/peers`);
    else baselines.push(sideOf(PEER, peer));
    const candidate = sideOf('redact', (event) => {
      const result = redact(event, OPTIONS);
      if (!result.ok) wrong.push(`an event was refused: ${result.reason}`);
    });
    checkLeaks(events, wrong);
    const size =
      Math.round(events.reduce((sum: number, event) => sum + JSON.stringify(event).length, 0) / EVENTS / 102.4) / 10;
    const sides = { what: `events of ${size} KiB`, baselines, candidate };
    const comparisons: Comparison[] = await compareAll(sides, context.quick ? 1 : ROUNDS, context);
    return { comparisons, wrong: [...new Set(wrong)], notMeasured };
  },
};

async function measure(events: Json[], work: (event: Json) => unknown, { quick }: BenchContext): Promise<Measurement> {
  // Compiled and warm before anything counts.
  for (const event of events) work(event);
  const until = performance.now() + (quick ? QUICK_WINDOW_MS : WINDOW_MS);
  const took: number[] = [];
  for (let i = 0; performance.now() < until; i = (i + 1) % events.length) {
    const before = process.cpuUsage();
    work(events[i]!);
    const { user, system } = process.cpuUsage(before);
    took.push((user + system) / 1000);
  }
  const totalMs = took.reduce((sum, ms) => sum + ms, 0);
  return { perSecond: (took.length / totalMs) * 1000, p50Ms: percentile(took, 0.5), p99Ms: percentile(took, 0.99) };
}

/** A bench of a filter that let something through would measure nothing. */
function checkLeaks(events: Json[], wrong: string[]): void {
  for (const event of events) {
    const result = redact(event, OPTIONS);
    const left = result.ok ? (JSON.stringify(result.value).match(/[\w.]+@mail\.example/g) ?? []) : [];
    if (left.length > 0) wrong.push(`${left.length} e-mail addresses were left in an event`);
  }
}

async function peerRedactor(context: BenchContext): Promise<((event: Json) => unknown) | undefined> {
  await installPeers(context.say);
  if (!existsSync(new URL(`node_modules/${PEER}/package.json`, PEERS))) return undefined;
  const module = createRequire(PEERS).resolve(PEER);
  const { Redactor } = (await import(pathToFileURL(module).href)) as {
    Redactor: new () => { redactObject(event: Json): unknown };
  };
  const redactor = new Redactor();
  return (event) => redactor.redactObject(event);
}
