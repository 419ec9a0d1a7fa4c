/**
 * What Callboard is to hold, as shares of good events, and the rules that say how fast the rest is used up. Windows and factors are those of
 * the Google SRE workbook for 30 days: a page when 2 % of a month's budget goes in an hour or 5 % in six, a ticket at 10 % in a day or in three.
 */
export interface Slo {
  name: string;
  /** What is promised, in words. */
  promise: string;
  /** Share of good events in 30 days. */
  objective: number;
  /** PromQL of the share of bad events within a window. */
  bad(window: string): string;
}

const share = (bad: string, all: string) => (window: string) =>
  `sum(rate(${bad}[${window}])) / sum(rate(${all}[${window}]))`;
/** Of a histogram: what took longer than one of its buckets. */
const slower = (histogram: string, seconds: number) => (window: string) =>
  `1 - sum(rate(${histogram}_bucket{le="${seconds}"}[${window}])) / sum(rate(${histogram}_count[${window}]))`;

/** Faults of ours, as errors have them. What a caller or an action did wrong is none. */
const FAULTS = 'internal|unavailable|overloaded';

export const SLOS: readonly Slo[] = [
  {
    name: 'calls',
    promise: '99.9 % of calls are not answered with a fault of Callboard',
    objective: 0.999,
    bad: share(`callboard_calls_total{code=~"${FAULTS}"}`, 'callboard_calls_total'),
  },
  {
    name: 'begin',
    promise: '99 % of commands begin within 5 s of their acceptance',
    objective: 0.99,
    bad: slower('callboard_command_wait_seconds', 5),
  },
  {
    name: 'ingest',
    promise: '99.9 % of events that senders bring are not refused by a fault of Callboard',
    objective: 0.999,
    bad: share(`callboard_ingest_events_total{outcome=~"${FAULTS}"}`, 'callboard_ingest_events_total'),
  },
  {
    name: 'events',
    promise: '99.9 % of events are passed or held within 30 s of being stored',
    objective: 0.999,
    bad: slower('callboard_filter_seconds', 30),
  },
  {
    name: 'sagas',
    promise: '99 % of sagas succeed, or are undone in order',
    objective: 0.99,
    bad: share('callboard_sagas_ended_total{ending="failed"}', 'callboard_sagas_ended_total'),
  },
];

export const WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
export type Window = (typeof WINDOWS)[number];

export const badShare = (window: Window) => `callboard:slo_bad:ratio_rate${window}`;
const OBJECTIVE = 'callboard:slo_objective:ratio';

export interface RecordingRule {
  record: string;
  expr: string;
  labels: { slo: string };
}

export function sloRules(): RecordingRule[] {
  return SLOS.flatMap(({ name: slo, objective, bad }) => [
    { record: OBJECTIVE, expr: `vector(${objective})`, labels: { slo } },
    ...WINDOWS.map((window) => ({ record: badShare(window), expr: bad(window), labels: { slo } })),
  ]);
}

/** PromQL that is there while the budget goes so many times faster than it lasts, in a long window and still in a short one. */
export function burns(factor: number, long: Window, short: Window): string {
  const over = (window: Window) => `${badShare(window)} > on (slo) ${factor} * (1 - ${OBJECTIVE})`;
  return `(${over(long)} and on (slo) ${over(short)})`;
}
