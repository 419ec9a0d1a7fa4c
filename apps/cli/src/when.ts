import { InvalidArgumentError } from 'commander';

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNITS;

/** `90s`, `10m`, `2h`, `1d` as milliseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * UNITS[unit as Unit];
}

/** A time as ISO 8601 with its zone: milliseconds since 1970. */
export function parseTime(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time))
    throw new InvalidArgumentError('It must be a time with its zone, such as 2026-07-28T05:00:00Z.');
  return time;
}

/** The same, or how long ago. */
export function parseWhen(text: string): number {
  const ago = parseDuration(text);
  return ago === undefined ? parseTime(text) : Date.now() - ago;
}

/** How long ago, in the largest unit that says something: `3m`, `26h`, `4d`. */
export function ageOf(at: string, now = Date.now()): string {
  const ms = Math.max(0, now - Date.parse(at));
  const unit: Unit = ms < 2 * UNITS.m ? 's' : ms < 2 * UNITS.h ? 'm' : ms < 2 * UNITS.d ? 'h' : 'd';
  return `${Math.floor(ms / UNITS[unit])}${unit}`;
}

/** A whole number from 1 on. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d{1,9}$/.test(text) || count < 1) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return count;
}
