/** What a plug-in's actions registry lists, read as something from outside: what is not as it must be is left out, with the reason. */
import type { ActionAttributes } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';

/** An action as Backstage describes it. */
export interface ListedAction {
  /** `plugin:name`. */
  id: string;
  plugin: string;
  name: string;
  title?: string;
  description: string;
  input: JsonObject;
  /** Only where it is the schema of an object, as MCP wants it. */
  output?: JsonObject;
  attributes: Partial<ActionAttributes>;
  wantsSecrets: boolean;
}

export interface LeftOut {
  id: string;
  why: string;
}

const LONGEST_TOLD_ID = 128;

/** @returns undefined when the answer is no list at all */
export function readList(plugin: string, answer: unknown): { actions: ListedAction[]; leftOut: LeftOut[] } | undefined {
  const entries = isObject(answer) ? answer['actions'] : undefined;
  if (!Array.isArray(entries)) return undefined;
  const actions: ListedAction[] = [];
  const leftOut: LeftOut[] = [];
  for (const entry of entries as unknown[]) {
    const read = readEntry(plugin, entry);
    if ('why' in read) leftOut.push(read);
    else actions.push(read);
  }
  return { actions, leftOut };
}

function readEntry(plugin: string, entry: unknown): ListedAction | LeftOut {
  if (!isObject(entry) || typeof entry['id'] !== 'string') return { id: '?', why: 'it has no id' };
  const { id, name, title, description, attributes } = entry;
  const leftOut = (why: string) => ({ id: id.slice(0, LONGEST_TOLD_ID), why });
  if (typeof name !== 'string' || id !== `${plugin}:${name}`)
    return leftOut('its id is not that of its plug-in and its name');
  const schema = isObject(entry['schema']) ? entry['schema'] : {};
  const { input, output } = schema;
  if (!isObject(input)) return leftOut('it has no input schema');
  return {
    id,
    plugin,
    name,
    ...(typeof title === 'string' && { title }),
    description: typeof description === 'string' && description.trim() !== '' ? description.trim() : name,
    input,
    ...(isObject(output) && output['type'] === 'object' && { output }),
    attributes: attributesOf(isObject(attributes) ? attributes : {}),
    wantsSecrets: schema['secrets'] !== undefined,
  };
}

/** Where Backstage says nothing, our careful defaults hold. It calls its actions closed to the world, as its own MCP endpoint does. */
function attributesOf({ readOnly, destructive, idempotent }: JsonObject): Partial<ActionAttributes> {
  // To MCP and to us a read may be repeated; Backstage's authors seldom say so as well.
  if (readOnly === true) return { read_only: true, destructive: false, idempotent: true, open_world: false };
  return {
    ...(typeof destructive === 'boolean' && { destructive }),
    ...(typeof idempotent === 'boolean' && { idempotent }),
    open_world: false,
  };
}

function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
