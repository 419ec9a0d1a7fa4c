/** What a policy says, after it has been read and checked. */
import type { EntityType } from '../types.js';

export const FIELD_ACTIONS = ['keep', 'scan', 'redact', 'pseudonymise', 'drop'] as const;
/**
 * `keep`: passes as it is, but for credentials that are known by their form. `scan`: as a field without a rule; of use under an allow-list.
 * `redact`: `[EMAIL]`. `pseudonymise`: `[EMAIL:7f3a]`. `drop`: the field is left out, an item of a list becomes null.
 */
export type FieldAction = (typeof FIELD_ACTIONS)[number];

export const DETECTOR_ACTIONS = ['off', 'redact', 'pseudonymise'] as const;
export type DetectorAction = (typeof DETECTOR_ACTIONS)[number];

export const UNLISTED = ['refuse', 'drop', 'redact'] as const;

export interface FieldRule {
  /** Segments of a path, `*` for any one, `**` for any number. */
  path: readonly string[];
  action: FieldAction;
  type: EntityType;
}

export interface Policy {
  name: string;
  sources: readonly RegExp[];
  topics: readonly RegExp[];
  mode: 'detect' | 'allow_list';
  /** Under an allow-list: what happens to a field that no rule names. */
  unlisted: (typeof UNLISTED)[number];
  fields: readonly FieldRule[];
  detectors: ReadonlyMap<string, DetectorAction>;
  /** What is looked for; absent for everything. Rules for fields hold besides. */
  types?: ReadonlySet<EntityType>;
  pseudonymLength: number;
}

/** Policies in order; the first that fits an event is the one. */
export type PolicySet = readonly Policy[];

/** For everything: all detectors, pseudonyms of four digits. */
export const BUILT_IN_POLICY: Policy = {
  name: 'built-in',
  sources: [/^/],
  topics: [/^/],
  mode: 'detect',
  unlisted: 'refuse',
  fields: [],
  detectors: new Map(),
  pseudonymLength: 4,
};

/** For what goes to people, who may read about each other: credentials are cut, and nothing else is. */
export const SECRETS_ONLY_POLICY: Policy = { ...BUILT_IN_POLICY, name: 'secrets-only', types: new Set(['SECRET']) };

export function selectPolicy(policies: PolicySet, source: string, topic: string): Policy | undefined {
  return policies.find(
    (policy) =>
      policy.sources.some((pattern) => pattern.test(source)) && policy.topics.some((pattern) => pattern.test(topic)),
  );
}

/** The rule for a path: the first that fits. */
export function ruleFor(policy: Policy, path: readonly string[]): FieldRule | undefined {
  return policy.fields.find((rule) => pathMatches(rule.path, path));
}

/** Row by row over the pattern: at most pattern times path steps. */
function reach(pattern: readonly string[], path: readonly string[]): boolean[] {
  let row = [true, ...path.map(() => false)];
  for (const segment of pattern) {
    const next = row.map(() => false);
    for (let i = 0; i <= path.length; i++) {
      if (segment === '**') next[i] = row[i]! || (i > 0 && next[i - 1]!);
      else if (i > 0 && row[i - 1]! && (segment === '*' || segment === path[i - 1])) next[i] = true;
    }
    row = next;
  }
  return row;
}

export function pathMatches(pattern: readonly string[], path: readonly string[]): boolean {
  return reach(pattern, path)[path.length]!;
}

const NONE: ReadonlySet<string> = new Set();

/** Detectors that a policy does not want. */
export function switchedOff({ detectors }: Policy): ReadonlySet<string> {
  if (detectors.size === 0) return NONE;
  return new Set([...detectors].filter(([, action]) => action === 'off').map(([name]) => name));
}
