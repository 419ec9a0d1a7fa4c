/**
 * Filters over events: the dialects `exact`, `prefix`, `suffix`, `all`, `any` and `not` of the CloudEvents Subscriptions API. A list of
 * filters is fulfilled when all of them are; the empty list by every event.
 *
 * A filter sees the attributes of an event (id, source, type, subject, time, datacontenttype, dataschema, extensions) and two names of ours,
 * `topic` and `key`, which hide an extension of the same name. It never sees the data. An attribute that an event has not is equal to
 * nothing, so `not` of it holds. Values are compared as they are, byte for byte: case counts, and a time is text.
 *
 * What is evaluated for every event must be cheap whatever a client sends: depth, number of conditions and length of values are bounded
 * when a filter is read, and there are no regular expressions. The dialect `sql` is not offered.
 */
import type { EventAttributes } from './attributes.js';

export type EventFilter =
  | { exact: Conditions }
  | { prefix: Conditions }
  | { suffix: Conditions }
  | { all: readonly EventFilter[] }
  | { any: readonly EventFilter[] }
  | { not: EventFilter };

/** Attribute names with what each is compared with; all of them must hold. */
export type Conditions = Readonly<Record<string, string>>;

/** What a filter is evaluated on. */
export interface Filterable {
  attributes: EventAttributes;
  topic: string;
  key: string;
}

export const FILTER_LIMITS = {
  /** Nesting of `all`, `any` and `not`; a single condition has depth 1. */
  depth: 8,
  /** Conditions and combinations of one list of filters, counted together. */
  terms: 64,
  /** Characters of a value. */
  valueChars: 512,
} as const;

/** A filter that cannot be read: where the mistake is, and what was expected there. Holds nothing of what was sent. */
export class InvalidFilter extends Error {
  override readonly name = 'InvalidFilter';
  constructor(
    readonly place: string,
    readonly expected: string,
  ) {
    super(`${place} ${expected}`);
  }
}

const ATTRIBUTE_NAME = /^[a-z0-9]{1,64}$/;
const DIALECTS = ['exact', 'prefix', 'suffix', 'all', 'any', 'not'] as const;
type Dialect = (typeof DIALECTS)[number];

/**
 * Reads a list of filters that came from outside.
 * @param place what the list is called where it came from
 * @throws InvalidFilter
 */
export function parseFilters(value: unknown, place = 'filters'): EventFilter[] {
  if (!Array.isArray(value)) throw new InvalidFilter(place, 'must be a list of filters');
  const parser = new Parser();
  return value.map((filter, at) => parser.filter(filter, `${place}[${at}]`, 1));
}

/** Does the event fulfil every filter of the list? */
export function fulfils(event: Filterable, filters: readonly EventFilter[]): boolean {
  return filters.every((filter) => fulfilsOne(event, filter));
}

function fulfilsOne(event: Filterable, filter: EventFilter): boolean {
  if ('all' in filter) return filter.all.every((each) => fulfilsOne(event, each));
  if ('any' in filter) return filter.any.some((each) => fulfilsOne(event, each));
  if ('not' in filter) return !fulfilsOne(event, filter.not);
  if ('exact' in filter) return holds(event, filter.exact, (actual, value) => actual === value);
  if ('prefix' in filter) return holds(event, filter.prefix, (actual, value) => actual.startsWith(value));
  return holds(event, filter.suffix, (actual, value) => actual.endsWith(value));
}

function holds(event: Filterable, conditions: Conditions, test: (actual: string, value: string) => boolean): boolean {
  for (const name in conditions) {
    const actual = attribute(event, name);
    if (actual === undefined || !test(actual, conditions[name]!)) return false;
  }
  return true;
}

function attribute({ attributes, topic, key }: Filterable, name: string): string | undefined {
  switch (name) {
    case 'topic':
      return topic;
    case 'key':
      return key;
    case 'id':
    case 'source':
    case 'type':
    case 'subject':
    case 'time':
    case 'datacontenttype':
    case 'dataschema':
      return attributes[name];
    default: {
      const { extensions } = attributes;
      return Object.hasOwn(extensions, name) ? extensions[name] : undefined;
    }
  }
}

class Parser {
  #terms = 0;

  filter(value: unknown, place: string, depth: number): EventFilter {
    if (depth > FILTER_LIMITS.depth) {
      throw new InvalidFilter(place, `is nested too deep: at most ${FILTER_LIMITS.depth} levels`);
    }
    if (!isMap(value)) throw new InvalidFilter(place, `must be an object with one of ${DIALECTS.join(', ')}`);
    const [dialect, ...more] = Object.keys(value);
    if (dialect === 'sql') {
      throw new InvalidFilter(place, `uses the dialect sql, which is not offered: use ${DIALECTS.join(', ')}`);
    }
    if (!isDialect(dialect) || more.length > 0) {
      throw new InvalidFilter(place, `must have exactly one member, of ${DIALECTS.join(', ')}`);
    }
    const inner = value[dialect];
    switch (dialect) {
      case 'all':
        return { all: this.#list(inner, `${place}.all`, depth) };
      case 'any':
        return { any: this.#list(inner, `${place}.any`, depth) };
      case 'not':
        this.#count(place);
        return { not: this.filter(inner, `${place}.not`, depth + 1) };
      case 'exact':
        return { exact: this.#conditions(inner, `${place}.exact`) };
      case 'prefix':
        return { prefix: this.#conditions(inner, `${place}.prefix`) };
      case 'suffix':
        return { suffix: this.#conditions(inner, `${place}.suffix`) };
    }
  }

  #list(value: unknown, place: string, depth: number): EventFilter[] {
    this.#count(place);
    if (!Array.isArray(value) || value.length === 0) {
      throw new InvalidFilter(place, 'must be a list of at least one filter');
    }
    return value.map((filter, at) => this.filter(filter, `${place}[${at}]`, depth + 1));
  }

  #conditions(value: unknown, place: string): Conditions {
    if (!isMap(value) || Object.keys(value).length === 0) {
      throw new InvalidFilter(place, 'must be an object of attribute names, each with the text to compare with');
    }
    const conditions: Record<string, string> = {};
    for (const [name, text] of Object.entries(value)) {
      if (!ATTRIBUTE_NAME.test(name)) {
        throw new InvalidFilter(place, 'names an attribute that cannot be: 1 to 64 lower-case letters and digits');
      }
      this.#count(place);
      if (typeof text !== 'string' || text === '' || text.length > FILTER_LIMITS.valueChars) {
        throw new InvalidFilter(`${place}.${name}`, `must be text of 1 to ${FILTER_LIMITS.valueChars} characters`);
      }
      conditions[name] = text;
    }
    return conditions;
  }

  #count(place: string): void {
    this.#terms += 1;
    if (this.#terms > FILTER_LIMITS.terms) {
      throw new InvalidFilter(place, `is one too many: at most ${FILTER_LIMITS.terms} conditions and combinations`);
    }
  }
}

function isDialect(name: string | undefined): name is Dialect {
  return DIALECTS.includes(name as Dialect);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
