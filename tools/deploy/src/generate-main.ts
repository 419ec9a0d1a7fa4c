/** `npm run deploy:generate`: writes the files of the chart that are made from the code, and with helm what each scenario renders. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chartFiles } from './chart-files.js';
import { findHelm } from './helm.js';
import { CHART } from './repository.js';
import { SCENARIOS, folderOf, render } from './scenarios.js';

for (const [path, text] of await chartFiles()) await writeFile(join(CHART, path), text);
const tried: string[] = [];
const helm = await findHelm({ tried, compile: true });
if (!helm) throw new Error(`there is no helm, so the scenarios are not rendered: ${tried.join('; ')}`);
for (const scenario of SCENARIOS)
  await writeFile(join(folderOf(scenario), 'rendered.yaml'), await render(helm, scenario));
