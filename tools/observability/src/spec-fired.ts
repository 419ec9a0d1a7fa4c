/** For specs: what the rules, as they are installed, made of the figures of a time lapse. */
import { stringify } from 'yaml';
import { ALERTS } from './alerts.js';
import { promtool } from './promtool.js';
import { METRIC, ruleFiles } from './rules.js';
import type { TimeLapse } from './spec-time-lapse.js';

/** The minutes between which a fault was there, and the alert that must have fired in between, with these labels among others. */
export interface PlantedFault {
  alert: string;
  planted: number;
  mended: number;
  labels: Record<string, string>;
}

/** Plants, stays until all these alerts must have fired, and mends. */
export async function plantFault(
  lapse: TimeLapse,
  alerts: Readonly<Record<string, Record<string, string>>>,
  plant: () => Promise<unknown>,
  mend: () => Promise<unknown>,
  minutes: number,
): Promise<PlantedFault[]> {
  await lapse.minutes(2);
  const planted = lapse.minute;
  await plant();
  await lapse.minutes(minutes);
  const mended = lapse.minute;
  await mend();
  return Object.entries(alerts).map(([alert, labels]) => ({ alert, planted, mended, labels }));
}

/** Has promtool judge whether each alert fired while its fault was there, and neither before nor when all was at rest. `what` names those that did not. */
export function firedAndCleared(lapse: TimeLapse, faults: readonly PlantedFault[]): ReturnType<typeof promtool> {
  const asked = new Set(ALERTS.flatMap(({ expr }) => expr.match(METRIC) ?? []).concat('callboard_calls_total'));
  const firing = ({ alert, labels }: PlantedFault) => {
    const matchers = Object.entries({ alertname: alert, alertstate: 'firing', ...labels });
    return `ALERTS{${matchers.map(([name, value]) => `${name}="${value}"`).join(',')}}`;
  };
  const at = (minute: number, expr: string, yes: boolean) => ({
    expr: `group(${expr})`,
    eval_time: `${minute}m`,
    exp_samples: yes ? [{ labels: '{}', value: 1 }] : [],
  });
  const test = {
    rule_files: ['slos.yaml', 'symptoms.yaml'],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: lapse.series(asked),
        promql_expr_test: faults.flatMap((fault) => [
          at(fault.planted, firing(fault), false),
          at(fault.mended, `count_over_time(${firing(fault)}[${fault.mended - fault.planted}m])`, true),
          at(lapse.atRest, firing(fault), false),
        ]),
      },
    ],
  };
  const files = ruleFiles();
  return promtool(['test', 'rules', 'tests.yaml'], {
    'slos.yaml': files.get('rules/slos.yaml')!,
    'symptoms.yaml': files.get('rules/symptoms.yaml')!,
    'tests.yaml': stringify(test),
  });
}
