/**
 * Makes the redacted event of a plan. Invariants: what comes out, redacted again, stays as it is; the shape of the event stays (numbers that
 * were values become strings, dropped fields are gone); a finding holds where and what, never the value.
 */
import type { KnownValues } from './known-values.js';
import { RefusedError, type Limits } from './limits.js';
import type { Place, Plan, Planner, TextPlan } from './plan.js';
import type { Policy } from './policy/policy.js';
import type { Pseudonyms } from './pseudonyms.js';
import { outsidePlaceholders } from './text/placeholder.js';
import { merge } from './text/scan.js';
import { toOriginal, viewsOf, type View } from './text/views.js';
import type { EntityType, Json, Span } from './types.js';

/** Where something was found, and what: never the value. */
export interface Finding {
  /** JSON pointer into the redacted event; `#json` and `#base64` lead into what was encoded, `#attributes` to what travels beside it. */
  path: string;
  /** Found in the key that the path ends with, not in its value. */
  key?: true;
  type: EntityType;
  detector: string;
  action: 'redact' | 'pseudonymise';
  /** UTF-16 code units that were replaced. */
  length: number;
}

const MOST_ROUNDS = 4;
const NO_KEYS = new Set<string | number>(['#json', '#base64', '#attributes']);

export class Renderer {
  readonly findings: Finding[] = [];
  readonly #path: (string | number)[] = [];
  #planner!: Planner;
  /** Readings again within readings again. */
  #rounds = 0;

  constructor(
    private readonly policy: Policy,
    private readonly limits: Limits,
    private readonly pseudonyms: Pseudonyms,
    private readonly known: KnownValues,
  ) {}

  /** The event; undefined where it was dropped. */
  event(plan: Plan, planner: Planner): Json | undefined {
    this.#planner = planner;
    return this.value(plan);
  }

  /** What travels beside the event: its findings stand below `#attributes`. */
  attributes(plan: Plan, planner: Planner): Json | undefined {
    this.#planner = planner;
    return this.#below('#attributes', plan);
  }

  private value(plan: Plan): Json | undefined {
    switch (plan.kind) {
      case 'as_is':
        return typeof plan.value === 'number' ? this.#number(plan.value) : plan.value;
      case 'drop':
        return undefined;
      case 'whole':
        this.#note(plan.type, plan.detector, plan.action, plan.text.length);
        return this.#placeholder(plan.type, plan.text, plan.action);
      case 'quiet':
        return this.known.size === 0 ? plan.text : this.#quiet(plan);
      case 'text':
        return this.#text(plan);
      case 'json': {
        const before = this.findings.length;
        const inner = this.#below('#json', plan.inner);
        return this.findings.length === before && inner !== undefined ? plan.text : JSON.stringify(inner ?? null);
      }
      case 'array':
        return this.#array(plan);
      case 'object':
        return this.#object(plan);
    }
  }

  #below(segment: string | number, plan: Plan): Json | undefined {
    this.#path.push(segment);
    const value = this.value(plan);
    this.#path.pop();
    return value;
  }

  /** A list or an object in which nothing changed is given back itself. */
  #array(plan: Extract<Plan, { kind: 'array' }>): Json {
    const made = plan.items.map((item, i) => this.#below(i, item) ?? null);
    return made.every((value, i) => value === plan.value[i]) ? plan.value : made;
  }

  #object(plan: Extract<Plan, { kind: 'object' }>): Json {
    let made: { [key: string]: Json } | undefined;
    const { members, value: original } = plan;
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!;
      const before = this.findings.length;
      let key = member.keyPlan === undefined ? member.key : (this.value(member.keyPlan) as string);
      const renamed = key !== member.key;
      if (made !== undefined || renamed) for (let n = 2, wanted = key; has(made, key); n++) key = `${wanted}#${n}`;
      if (renamed) {
        for (const finding of this.findings.slice(before))
          Object.assign(finding, { path: this.#pointer(key), key: true });
      }
      const value = this.#below(key, member.value);
      if (made === undefined && !renamed && value === original[member.key]) continue;
      if (made === undefined) {
        made = {};
        for (let k = 0; k < i; k++) put(made, members[k]!.key, original[members[k]!.key]!);
        for (let n = 2, wanted = key; has(made, key); n++) key = `${wanted}#${n}`;
      }
      if (value !== undefined) put(made, key, value);
    }
    return made ?? original;
  }

  /** A number is cut only as a whole, where it is a known value. */
  #number(value: number): Json {
    if (this.known.size === 0 || Math.abs(value) < 1e5) return value;
    const text = String(value);
    const [span] = this.#known(text, [], true);
    if (span === undefined || span.end - span.start < text.length) return value;
    const action = this.#action(span.detector);
    this.#note(span.type, span.detector, action, text.length);
    return this.#placeholder(span.type, span.value ?? text, action);
  }

  /** A text without findings of its own may hold what is known from elsewhere. */
  #quiet({ text, identifier, pairs, place }: Extract<Plan, { kind: 'quiet' }>): Json {
    if (!this.known.mayBeIn(pairs)) return text;
    return this.#cut(text, place, mergeFound(this.known.find(text, identifier), text), []);
  }

  #text(plan: TextPlan): Json {
    if (plan.spans.length === 0 && plan.encoded.length === 0 && this.known.size === 0) return plan.text;
    const known = this.#known(plan.text, plan.views, plan.identifier);
    if (plan.spans.length === 0 && plan.encoded.length === 0 && known.length === 0) return plan.text;
    return this.#cut(plan.text, plan.place, mergeFound([...plan.spans, ...known], plan.text), plan.encoded);
  }

  #cut(text: string, place: Place, found: Found[], encoded: TextPlan['encoded']): Json {
    const replacements: Replacement[] = found.map((span) => ({ span }));
    let next = 0;
    for (const { run, inner } of encoded) {
      while (next < found.length && found[next]!.end <= run.start) next++;
      if (next < found.length && found[next]!.start < run.end) continue;
      const before = this.findings.length;
      const value = this.#below('#base64', inner);
      if (this.findings.length === before) continue;
      replacements.push({
        span: { start: run.start, end: run.end, type: 'TEXT', detector: 'encoded' },
        made: run.encode(typeof value === 'string' ? value : JSON.stringify(value ?? null)),
      });
    }
    return replacements.length === 0 ? text : this.#settle(this.#replace(text, replacements), place);
  }

  /** Text that was cut reads differently, and more may be found in it: again, until nothing is. */
  #settle(text: string, place: Place): Json {
    if (this.#rounds === MOST_ROUNDS) {
      this.#note('TEXT', 'unsettled', 'redact', text.length);
      return '[TEXT]';
    }
    this.#rounds++;
    try {
      return this.value(this.#planner.again(text, place)) ?? null;
    } finally {
      this.#rounds--;
    }
  }

  #known(text: string, views: readonly View[], identifier: boolean): Found[] {
    if (this.known.size === 0) return [];
    const found: Found[] = this.known.find(text, identifier);
    for (const view of views)
      for (const span of this.known.find(view.text, identifier)) found.push({ ...span, ...toOriginal(view, span) });
    return found;
  }

  #replace(text: string, replacements: Replacement[]): string {
    let made = '';
    let at = 0;
    for (const { span, made: encoded } of [...replacements].sort((a, b) => a.span.start - b.span.start)) {
      made += text.slice(at, span.start);
      at = span.end;
      if (encoded !== undefined) {
        made += encoded;
        continue;
      }
      const action = this.#action(span.detector);
      this.#note(span.type, span.detector, action, span.end - span.start);
      made += this.#placeholder(span.type, span.value ?? plainOf(text.slice(span.start, span.end)), action);
    }
    return made + text.slice(at);
  }

  #action(detector: string): 'redact' | 'pseudonymise' {
    return this.policy.detectors.get(detector.split('.', 1)[0]!) === 'redact' ? 'redact' : 'pseudonymise';
  }

  #placeholder(type: EntityType, value: string, action: 'redact' | 'pseudonymise'): string {
    return action === 'redact' ? `[${type}]` : this.pseudonyms.of(type, value);
  }

  /** Keys stand behind a slash; these do not. */
  #pointer(...last: string[]): string {
    return [...this.#path, ...last]
      .map((segment) => (NO_KEYS.has(segment) ? segment : `/${escaped(String(segment))}`))
      .join('');
  }

  #note(type: EntityType, detector: string, action: 'redact' | 'pseudonymise', length: number): void {
    if (this.findings.length >= this.limits.findings) throw new RefusedError('too_many_findings');
    this.findings.push({ path: this.#pointer(), type, detector, action, length });
  }
}

function has(object: object | undefined, key: string): boolean {
  return object !== undefined && Object.hasOwn(object, key);
}

function put(object: { [key: string]: Json }, key: string, value: Json): void {
  // By assignment this one key would be lost.
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
  else object[key] = value;
}

type Found = Span & { value?: string };
interface Replacement {
  span: Found;
  made?: string;
}

/** One list without overlap. A span keeps the value it stands for only while nothing was merged into it. */
function mergeFound(found: Found[], text: string): Found[] {
  if (found.length === 0) return found;
  const merged = outsidePlaceholders(merge(found), text);
  const values = new Map<number, Found>();
  for (const span of found) if (span.value !== undefined) values.set(span.start, span);
  return merged.map((span) => {
    const known = values.get(span.start);
    if (known === undefined || known.end !== span.end || known.type !== span.type) return span;
    const { start, end, type, detector } = span;
    return { start, end, type, detector, value: known.value! };
  });
}

/** The value as it reads when nothing is encoded: encoded or not, it has one pseudonym. */
export function plainOf(text: string): string {
  return viewsOf(text).at(-1)?.text ?? text;
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
