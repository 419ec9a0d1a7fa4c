/** What is asked of the metrics, by everything that is installed. */
import { ALERTS } from './alerts.js';
import { BOARDS } from './dashboards.js';
import { METRIC } from './rules.js';
import { SLOS } from './slos.js';

/** Every expression of a panel. */
export const BOARD_EXPRESSIONS = BOARDS.flatMap(({ rows }) =>
  rows.flatMap(([, panels]) => panels.flatMap(({ curves }) => curves.map(([expr]) => expr))),
);
/** Every metric that an alert, a promise or a panel asks for. */
export const ASKED_FOR: readonly string[] = [
  ...new Set(
    [...BOARD_EXPRESSIONS, ...ALERTS.map(({ expr }) => expr), ...SLOS.map(({ bad }) => bad('5m'))].flatMap(
      (expr) => expr.match(METRIC) ?? [],
    ),
  ),
];
