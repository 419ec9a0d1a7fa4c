import { dashboardFiles } from './dashboards.js';
import { allRules, ruleFiles } from './rules.js';

const CHART = 'deploy/helm/callboard/files/observability';

/** Path within the repository: text. The chart has copies, because helm reads nothing outside a chart. */
export function observabilityFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const [path, text] of [...ruleFiles(), ...dashboardFiles()]) files.set(`deploy/observability/${path}`, text);
  for (const [path, text] of dashboardFiles()) files.set(`${CHART}/${path}`, JSON.stringify(JSON.parse(text)));
  return files.set(`${CHART}/rules.yaml`, allRules());
}
