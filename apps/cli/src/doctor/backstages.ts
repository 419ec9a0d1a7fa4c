/** The Backstages of adapter files: can each be reached, and does it take our token? */
import { askBackstages } from '@callboard/adapters';
import { messageOf } from '../failure.js';
import { failed, ok, type Finding } from './finding.js';

const FIXES = {
  unreachable: 'is the backend there, and its url in the adapter file the one that the runners reach?',
  unauthorized:
    "the token of the adapter file must be one of the Backstage's externalAccess, with access to the plug-in: docs/backstage.md",
  other: 'is the plug-in installed, and does it have an actions registry?',
};

export async function checkBackstages(adapterFiles: string, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  try {
    const answers = await askBackstages(adapterFiles, env);
    return answers.map(({ name, url, plugin, problem }) => {
      const check = `Backstage ${name}`;
      if (!problem) return ok(check, `${url} lists the actions of ${plugin}`);
      return failed(
        check,
        `backstage_${problem.why}`,
        `${url}, plug-in ${plugin}: ${problem.message}`,
        FIXES[problem.why],
      );
    });
  } catch (error) {
    return [failed('adapters', 'file_unusable', messageOf(error), 'mend the file: a runner does not start with it')];
  }
}
