/**
 * Reads policies from YAML. Every mistake is named with its place and the way out, all of them at once. Messages quote names that the
 * policy may have, never events.
 */
import { LineCounter, parseDocument, isMap, isSeq, type Document } from 'yaml';
import { DETECTOR_NAMES } from '../detectors/index.js';
import { ENTITY_TYPES, type EntityType } from '../types.js';
import {
  DETECTOR_ACTIONS,
  FIELD_ACTIONS,
  UNLISTED,
  type DetectorAction,
  type FieldAction,
  type FieldRule,
  type Policy,
  type PolicySet,
} from './policy.js';

/** The parts of redaction besides the text detectors that a policy can set. */
export const OTHER_DETECTORS = ['field_names', 'known_values', 'encoded', 'model'] as const;
export const ALL_DETECTORS: readonly string[] = [...DETECTOR_NAMES, ...OTHER_DETECTORS];
const POLICY_KEYS = ['name', 'source', 'topic', 'mode', 'unlisted', 'fields', 'detectors', 'pseudonym_length'];
const MOST_POLICIES = 1000;

export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

export function parsePolicies(yaml: string): PolicySet {
  const lines = new LineCounter();
  const document = parseDocument(yaml, { lineCounter: lines });
  const reader = new Reader(document, lines);
  for (const error of document.errors)
    reader.problems.push(
      `line ${error.linePos?.[0].line ?? 1}: not YAML: ${error.code.toLowerCase().replaceAll('_', ' ')}`,
    );
  const policies = reader.problems.length === 0 ? reader.read() : [];
  if (reader.problems.length > 0) throw new PolicyError(reader.problems);
  return policies;
}

type Place = (string | number)[];

class Reader {
  readonly problems: string[] = [];

  constructor(
    private readonly document: Document,
    private readonly lines: LineCounter,
  ) {}

  read(): Policy[] {
    const root: unknown = this.plain();
    if (!isRecord(root)) return this.#none([], 'a policy file is a map with "version: 1" and a list "policies"');
    this.#knownKeys(root, ['version', 'policies'], []);
    if (root['version'] !== 1) this.#problem(['version'], 'must be 1: write "version: 1"');
    const policies = root['policies'];
    if (!Array.isArray(policies) || policies.length === 0)
      return this.#none(['policies'], 'must be a list of one policy at least');
    if (policies.length > MOST_POLICIES)
      return this.#none(['policies'], `must not have more than ${MOST_POLICIES} entries`);
    const names = new Set<string>();
    return policies.map((entry, i) => {
      const policy = this.#policy(entry, ['policies', i]);
      if (names.has(policy.name))
        this.#problem(['policies', i, 'name'], 'is the name of another policy too: give each its own');
      names.add(policy.name);
      return policy;
    });
  }

  plain(): unknown {
    try {
      return this.document.toJS({ maxAliasCount: 100 });
    } catch {
      this.#problem([], 'uses too many aliases');
      return undefined;
    }
  }

  #policy(entry: unknown, at: Place): Policy {
    const raw = isRecord(entry) ? entry : this.#none<Record<string, unknown>>(at, 'must be a map', {});
    this.#knownKeys(raw, POLICY_KEYS, at);
    const name = raw['name'];
    if (typeof name !== 'string' || name === '')
      this.#problem([...at, 'name'], 'must be a text: it is how findings and messages name the policy');
    const mode = this.#oneOf(raw['mode'] ?? 'detect', ['detect', 'allow_list'] as const, [...at, 'mode']);
    if (raw['unlisted'] !== undefined && mode !== 'allow_list') {
      this.#problem(
        [...at, 'unlisted'],
        'says what happens to fields that an allow-list does not name: set "mode: allow_list", or remove it',
      );
    }
    const fields = this.#fields(raw['fields'], [...at, 'fields']);
    if (mode === 'allow_list' && fields.length === 0)
      this.#problem([...at, 'fields'], 'must name one field at least under "mode: allow_list": nothing would pass');
    return {
      name: String(name),
      sources: this.#patterns(raw['source'], [...at, 'source']),
      topics: this.#patterns(raw['topic'], [...at, 'topic']),
      mode,
      unlisted: this.#oneOf(raw['unlisted'] ?? 'refuse', UNLISTED, [...at, 'unlisted']),
      fields,
      detectors: this.#detectors(raw['detectors'], [...at, 'detectors']),
      pseudonymLength: this.#length(raw['pseudonym_length'], [...at, 'pseudonym_length']),
    };
  }

  #patterns(value: unknown, at: Place): RegExp[] {
    const entries = value === undefined ? ['*'] : Array.isArray(value) ? (value as unknown[]) : [value];
    return entries.map((entry, i) => {
      if (typeof entry === 'string' && entry !== '') return wildcard(entry);
      this.#problem(
        Array.isArray(value) ? [...at, i] : at,
        'must be a text, "*" within it for any characters, or a list of such',
      );
      return /^/;
    });
  }

  #fields(value: unknown, at: Place): FieldRule[] {
    if (value === undefined) return [];
    if (!Array.isArray(value))
      return this.#none(at, 'must be a list of rules, each with "path" or "name", and "action"');
    return value.flatMap((entry, i) => {
      const place = [...at, i];
      const raw = isRecord(entry)
        ? entry
        : this.#none(place, 'must be a map with "path" or "name", and "action"', {} as Record<string, unknown>);
      this.#knownKeys(raw, ['path', 'name', 'action', 'type'], place);
      const action = this.#oneOf(raw['action'], FIELD_ACTIONS, [...place, 'action']) as FieldAction;
      const type =
        raw['type'] === undefined ? 'TEXT' : (this.#oneOf(raw['type'], ENTITY_TYPES, [...place, 'type']) as EntityType);
      if ((raw['path'] === undefined) === (raw['name'] === undefined)) {
        return this.#none(
          place,
          'must have either "path" (a.b.*.c, ** for any depth) or "name" (the name of a field at any depth)',
        );
      }
      const key = raw['path'] === undefined ? 'name' : 'path';
      const texts = Array.isArray(raw[key]) ? (raw[key] as unknown[]) : [raw[key]];
      return texts.flatMap((text, k) => {
        const textPlace = Array.isArray(raw[key]) ? [...place, key, k] : [...place, key];
        if (typeof text !== 'string' || text === '') return this.#none(textPlace, 'must be a text, or a list of texts');
        const path =
          key === 'name'
            ? ['**', text]
            : text
                .replace(/^\$\.?/, '')
                .replaceAll('[]', '.*')
                .split('.');
        if (path.includes(''))
          return this.#none(textPlace, 'has an empty segment: write a.b.c, * for any one segment, ** for any number');
        return [{ path, action, type }];
      });
    });
  }

  #detectors(value: unknown, at: Place): Map<string, DetectorAction> {
    const detectors = new Map<string, DetectorAction>();
    if (value === undefined) return detectors;
    if (!isRecord(value))
      return this.#none(at, 'must be a map from detector to off, redact or pseudonymise', detectors);
    for (const [name, setting] of Object.entries(value)) {
      const place = [...at, name];
      if (!ALL_DETECTORS.includes(name)) this.#problem(place, `is no detector; there are ${ALL_DETECTORS.join(', ')}`);
      // YAML 1.1 habits: `off` may have been written as false.
      detectors.set(name, this.#oneOf(setting === false ? 'off' : setting, DETECTOR_ACTIONS, place));
    }
    return detectors;
  }

  #length(value: unknown, at: Place): number {
    if (value === undefined) return 4;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 4 && value <= 64 && value % 4 === 0)
      return value;
    return this.#none(at, 'must be a multiple of four from 4 to 64: hexadecimal digits of a pseudonym', 4);
  }

  #oneOf<T extends string>(value: unknown, allowed: readonly T[], at: Place): T {
    if (typeof value === 'string' && (allowed as readonly string[]).includes(value)) return value as T;
    return this.#none(at, `must be one of ${allowed.join(', ')}`, allowed[0]!);
  }

  #knownKeys(raw: Record<string, unknown>, known: readonly string[], at: Place): void {
    for (const key of Object.keys(raw))
      if (!known.includes(key)) this.#problem([...at, key], `is not known here; there are ${known.join(', ')}`);
  }

  #none<T = never[]>(at: Place, message: string, instead: T = [] as T): T {
    this.#problem(at, message);
    return instead;
  }

  #problem(at: Place, message: string): void {
    const place = at
      .map((segment, i) => (typeof segment === 'number' ? `[${segment}]` : i === 0 ? segment : `.${segment}`))
      .join('');
    this.problems.push(`line ${this.#line(at)}: ${place === '' ? 'the file' : place} ${message}`);
  }

  /** The line of a place, or of the nearest thing around it that exists. */
  #line(at: Place): number {
    for (let length = at.length; length >= 0; length--) {
      const node: unknown = length === 0 ? this.document.contents : this.document.getIn(at.slice(0, length), true);
      const parent: unknown =
        length === 0
          ? undefined
          : length === 1
            ? this.document.contents
            : this.document.getIn(at.slice(0, length - 1), true);
      const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === String(at[length - 1])) : undefined;
      const range =
        (pair?.key as { range?: [number, number, number] } | undefined)?.range ??
        (node as { range?: [number, number, number] } | undefined)?.range;
      if (range !== undefined && range !== null && (pair !== undefined || node !== undefined || isSeq(parent)))
        return this.lines.linePos(range[0]).line;
    }
    return 1;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `*` is any run of characters. */
function wildcard(pattern: string): RegExp {
  // Adjacent stars are one, so that no two of them can share the work of a match between them.
  const parts = pattern.split(/\*+/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^]*')}$`);
}
