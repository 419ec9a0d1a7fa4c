/**
 * Everything that the official MCP conformance suite asks of a server under test, as ordinary actions. They run in the action
 * runner, through the broker, like any other action: a passing suite is a statement about that road and not about a second server.
 *
 * Switched on with `CALLBOARD_ACTION_MODULES`; see `tools/conformance`.
 */
import { ActionSet } from '@callboard/actions';
import { inputRounds } from './input-rounds.js';
import { prompts } from './prompts.js';
import { resources } from './resources.js';
import { tasks } from './tasks.js';
import { tools } from './tools.js';
import { triggers } from './triggers.js';

export function actions(): ActionSet {
  const set = new ActionSet([...tools, ...inputRounds, ...tasks, ...resources, ...prompts]);
  for (const trigger of triggers(set)) set.add(trigger);
  return set;
}
