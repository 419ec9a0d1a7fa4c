/** `callboard actions list`: which actions the registry holds right now. */
import { Catalog, type ActionAttributes } from '@callboard/actions';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { Command } from 'commander';
import { printJson, printTable } from '../print.js';
import { StackCommand, asUser, findStack, type StackCommandOptions } from '../running-stack.js';

export function actionsCommand(): Command {
  const list = new StackCommand('list')
    .description('the actions that are registered now, and who serves them')
    .action(listActions);
  return new Command('actions').description('what can be invoked').addCommand(list);
}

async function listActions({ json, ...where }: StackCommandOptions): Promise<void> {
  const ready = await findStack(where);
  const actions = await asUser(ready, 'sre', async (nc) => {
    let failed: unknown;
    const catalog = new Catalog(await KeyValueStore.open(nc, BUCKET.actions), (error) => (failed = error));
    await catalog.start();
    catalog.stop();
    if (failed) throw failed;
    return [...catalog.view.actions.values()];
  });
  if (json) return printJson(actions);
  printTable(
    ['ACTION', 'SERVICE', 'INSTANCES', 'SURFACE', 'ATTRIBUTES', 'DEADLINE', 'DESCRIPTION'],
    actions.map((action) => [
      action.id,
      action.service,
      String(action.instances),
      action.surface.kind,
      attributesOf(action.attributes),
      `${action.deadline_ms / 1000} s`,
      action.description.split('\n', 1)[0]!,
    ]),
  );
}

function attributesOf(attributes: ActionAttributes): string {
  const named = Object.entries(attributes).filter(([, holds]) => holds);
  return named.map(([name]) => name.replace('_', '-')).join(',') || '-';
}
