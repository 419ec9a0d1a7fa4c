import { pathToFileURL } from 'node:url';
import { ActionSet } from '@callboard/actions';

/**
 * Imports the modules that hold this runner's actions and puts them into one set. A specifier is a package name, or a path that
 * starts with `.` or `/`, from the current folder.
 *
 * @throws Error naming the module when it cannot be imported or exports no actions, or when a secret of one could never be read.
 */
export async function loadActions(
  specifiers: string,
  env: NodeJS.ProcessEnv,
  onTaken: (id: string) => void,
): Promise<ActionSet> {
  const all = new ActionSet();
  for (const specifier of specifiers.split(',').map((part) => part.trim())) {
    const location = /^[./]/.test(specifier) ? pathToFileURL(specifier).href : specifier;
    let module: { actions?: ActionSet | ((env: NodeJS.ProcessEnv) => ActionSet | Promise<ActionSet>) };
    try {
      module = (await import(location)) as typeof module;
    } catch (cause) {
      throw new Error(`CALLBOARD_ACTION_MODULES: module "${specifier}" cannot be imported`, { cause });
    }
    const set = typeof module.actions === 'function' ? await module.actions(env) : module.actions;
    if (!(set instanceof ActionSet)) {
      throw new Error(
        `CALLBOARD_ACTION_MODULES: module "${specifier}" must export "actions", an ActionSet or a function that returns one`,
      );
    }
    refuseUnreadable(specifier, set, env);
    all.include(set, onTaken);
  }
  return all;
}

function refuseUnreadable(specifier: string, set: ActionSet, env: NodeJS.ProcessEnv): void {
  if (env['CALLBOARD_VAULT_URL']) return;
  for (const { descriptor, secrets = {} } of set) {
    const name = Object.keys(secrets).find((each) => secrets[each]!.startsWith('vault:'));
    if (name === undefined) continue;
    const what = `secrets.${name} of action "${descriptor.id}" needs CALLBOARD_VAULT_URL, which is not set`;
    throw new Error(`CALLBOARD_ACTION_MODULES: module "${specifier}": ${what}`);
  }
}
