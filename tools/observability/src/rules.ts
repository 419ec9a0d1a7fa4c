/** The files of Prometheus rules, and the tests of them for promtool. */
import { stringify } from 'yaml';
import { ALERTS, type Alert } from './alerts.js';
import { sloRules } from './slos.js';

const HEAD = '# Made by `npm run observability:generate` from tools/observability/src.\n';
const toYaml = (value: unknown) => HEAD + stringify(value, { lineWidth: 0 });

/** What uses up a budget is about promises; everything else is about a symptom of its own. They are tested apart, for that is quicker. */
const isAboutPromises = ({ name }: Alert) => name.startsWith('CallboardErrorBudget');
const PROMISES = ALERTS.filter(isAboutPromises);
const SYMPTOMS = ALERTS.filter((alert) => !isAboutPromises(alert));

const SLO_GROUP = { name: 'callboard-slos', rules: [...sloRules(), ...PROMISES.map(toRule)] };
const SYMPTOM_GROUP = { name: 'callboard-symptoms', rules: SYMPTOMS.map(toRule) };

/** The names of metrics in PromQL. */
export const METRIC = /\b(?:callboard|nats|process|nodejs)_[a-z0-9_]+\b/g;

/** Both in one text, as the chart wants them. */
export const allRules = () => toYaml({ groups: [SLO_GROUP, SYMPTOM_GROUP] });

/** Path within deploy/observability: text. */
export function ruleFiles(): Map<string, string> {
  return new Map([
    ['rules/slos.yaml', toYaml({ groups: [SLO_GROUP] })],
    ['rules/slos.test.yaml', toYaml(promtoolTests('slos.yaml', PROMISES))],
    ['rules/symptoms.yaml', toYaml({ groups: [SYMPTOM_GROUP] })],
    ['rules/symptoms.test.yaml', toYaml(promtoolTests('symptoms.yaml', SYMPTOMS))],
  ]);
}

/** Where the runbook has an alert. */
export function runbookOf({ name }: Alert): string {
  return `docs/runbook/alerts/${name}.md`;
}

function toRule(alert: Alert) {
  const { name, expr, severity, for: lasting } = alert;
  return { alert: name, expr, for: lasting, labels: { severity }, annotations: annotationsOf(alert) };
}

/** The alert as promtool expects it. */
export function expected(alert: Alert, labels: Record<string, string> = {}) {
  return { exp_labels: { severity: alert.severity, ...labels }, exp_annotations: annotationsOf(alert) };
}

function annotationsOf(alert: Alert) {
  return { summary: alert.summary, runbook_url: runbookOf(alert) };
}

function promtoolTests(file: string, alerts: readonly Alert[]) {
  return {
    rule_files: [file],
    evaluation_interval: '1m',
    tests: alerts.map((alert) => {
      const { series, firesAt, clearAt, labels } = alert.fault;
      return {
        name: alert.name,
        interval: '1m',
        input_series: Object.entries(series).map(([name, samples]) => ({ series: name, values: samples.join(' ') })),
        alert_rule_test: [
          { eval_time: `${firesAt}m`, alertname: alert.name, exp_alerts: [expected(alert, labels)] },
          { eval_time: `${clearAt}m`, alertname: alert.name, exp_alerts: [] },
        ],
      };
    }),
  };
}
