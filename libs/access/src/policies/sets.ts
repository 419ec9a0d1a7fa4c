/** The file of sets: groups of groups, and names for many actions. YAML, beside the policies that use it. */
import { YamlFile, record, shapeOf } from '@callboard/config';
import { PoliciesError } from './policies-error.js';

/** Name of the file in a folder of policies. */
export const SETS_FILE = 'sets.yaml';

interface Written {
  groups: Record<string, string[]>;
  toolsets: Record<string, string[]>;
}

const name = { type: 'string', minLength: 1, maxLength: 256 };
const names = { type: 'array', items: name, maxItems: 256 };
const GROUP = '^[^/]+/.+$';
const FILE = shapeOf<Written>(
  record({
    groups: {
      type: 'object',
      default: {},
      maxProperties: 4_096,
      propertyNames: { pattern: GROUP },
      additionalProperties: { ...names, items: { ...name, pattern: GROUP } },
    },
    toolsets: { type: 'object', default: {}, maxProperties: 1_024, additionalProperties: names },
  }),
);

export class Sets {
  static readonly NONE = new Sets({ groups: {}, toolsets: {} });
  readonly #groups: ReadonlyMap<string, readonly string[]>;
  readonly #toolsets: readonly (readonly [name: string, members: readonly RegExp[]])[];

  private constructor({ groups, toolsets }: Written) {
    this.#groups = new Map(Object.entries(groups));
    this.#toolsets = Object.entries(toolsets).map(([name, members]) => [name, members.map(pattern)] as const);
  }

  /** @throws PoliciesError with the place of what is wrong */
  static parse(text: string, path: string): Sets {
    return new Sets(YamlFile.parse(text, path, PoliciesError).check(FILE));
  }

  get toolsets(): readonly string[] {
    return this.#toolsets.map(([name]) => name);
  }

  /** The groups that a group is part of, itself not among them; a group that is part of itself is no harm. */
  groupsAbove(group: string): ReadonlySet<string> {
    const above = new Set<string>();
    const open = [group];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const parent of this.#groups.get(next) ?? []) {
        if (parent === group || above.has(parent)) continue;
        above.add(parent);
        open.push(parent);
      }
    }
    return above;
  }

  toolsetsOf(tool: string): string[] {
    return this.#toolsets.filter(([, members]) => members.some((member) => member.test(tool))).map(([name]) => name);
  }
}

/** A name in which `*` stands for any text. */
function pattern(written: string): RegExp {
  const literal = written.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`, 's');
}
