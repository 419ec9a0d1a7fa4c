/** The figures as text, one table a bench. */
import type { BenchResult, Comparison, Side } from './bench.js';
import type { Machine } from './machine.js';
import { DISTURBED } from './rounds.js';
import type { Spread } from './statistics.js';

export function renderMachine(machine: Machine): string {
  return `${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, ${machine.system}, Node ${machine.node}, nats-server ${machine.nats_server}`;
}

export function renderResult({ name, title, comparisons, wrong, notMeasured, details, probes }: BenchResult): string {
  const head = ['', 'per second', 'p50 ms', 'p99 ms', 'CPU us per operation'];
  const rows = comparisons.flatMap((comparison) => rowsOf(comparison));
  const lines = [
    '',
    `${name}: ${title}`,
    `  disk ${probes.before.fsync_per_s} then ${probes.after.fsync_per_s} fsync/s, CPU probe ${probes.before.hash_ms} then ${probes.after.hash_ms} ms`,
    '',
    ...(rows.length > 0 ? align([head, ...rows]) : []),
    ...details,
    ...notMeasured.map((text) => `NOT MEASURED: ${text}`),
    ...wrong.map((text) => `WRONG: ${text}`),
  ];
  return lines.join('\n');
}

function rowsOf({
  what,
  baseline,
  candidate,
  ratio,
  added_p50_ms,
  added_p99_ms,
  p99_ratio,
  others,
}: Comparison): string[][] {
  const added = (difference: Spread | undefined) =>
    difference ? `${difference.median < 0 ? '' : '+'}${decimals(difference.median)}` : '';
  const disturbed =
    others !== undefined && others > DISTURBED ? `others used up to ${Math.round(others * 100)} % of the machine` : '';
  return [
    [what],
    sideRow(baseline),
    sideRow(candidate),
    [
      `  = ${range(ratio, decimals)} times`,
      '',
      added(added_p50_ms),
      `${added(added_p99_ms)}${p99_ratio ? ` (${decimals(p99_ratio.median)} times)` : ''}`,
      disturbed,
    ],
  ];
}

function sideRow({ name, per_s, p50_ms, p99_ms, cpu_us }: Side): string[] {
  const cpu = Object.entries(cpu_us ?? {}).map(([process, { median }]) => `${process} ${Math.round(median)}`);
  return [
    `  ${name}`,
    range(per_s, (value) => Math.round(value).toLocaleString('en')),
    p50_ms ? decimals(p50_ms.median) : '',
    p99_ms ? decimals(p99_ms.median) : '',
    cpu.join(', '),
  ];
}

function range({ median, min, max }: Spread, format: (value: number) => string): string {
  return min === max ? format(median) : `${format(median)} (${format(min)} to ${format(max)})`;
}

function decimals(value: number): string {
  return value.toFixed(2);
}

/** Columns as wide as their widest cell. */
export function align(rows: string[][]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, row.length > 1 ? cell.length : 0)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd(),
  );
}
