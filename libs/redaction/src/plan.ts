/**
 * What is known of an event before anything is replaced: for each value, what it is by its field, or what was found in it. Made in one
 * walk, so that a value found in the last field can be replaced in the first.
 */
import { isCard } from './detectors/card.js';
import { meaningOf } from './fields/field-names.js';
import { numberFits, readsLikeAName, valueFits } from './fields/field-value.js';
import { isEntityRef, shapeOf, type Shape } from './fields/shapes.js';
import { Budget, RefusedError, type Limits } from './limits.js';
import { base64Runs, jsonWithin, type EncodedRun } from './text/encoded.js';
import { isPlaceholder } from './text/placeholder.js';
import { scan, type ScanSettings } from './text/scan.js';
import { viewsOf, type View } from './text/views.js';
import { ruleFor, type FieldRule, type Policy } from './policy/policy.js';
import type { EntityType, Json, Span } from './types.js';

export type Plan =
  | { kind: 'as_is'; value: Json }
  | { kind: 'drop' }
  | { kind: 'whole'; text: string; type: EntityType; detector: string; action: 'redact' | 'pseudonymise' }
  | TextPlan
  | { kind: 'json'; text: string; inner: Plan }
  | { kind: 'array'; items: Plan[] }
  | { kind: 'object'; members: Member[] };

export interface TextPlan {
  kind: 'text';
  text: string;
  views: readonly View[];
  spans: Span[];
  encoded: { run: EncodedRun; inner: Plan }[];
  settings: ScanSettings;
  /** An identifier, a reference or a link: single words of known names are not looked for in it. */
  identifier: boolean;
}

export interface Member {
  key: string;
  keyPlan: TextPlan | undefined;
  value: Plan;
}

/** What a value inherits from what is around it. */
interface Around {
  path: readonly string[];
  /** The name of the field, or of the field that holds the list. */
  field: string;
  parent: string;
  things: boolean;
  secret: boolean;
  rule: FieldRule | undefined;
  encodings: number;
  depth: number;
}

const KEEP_SETTINGS = { off: new Set(['email', 'iban', 'card', 'labelled']), strongOnly: true };
/** Keys that look like this hold nothing that a detector finds. */
const PLAIN_KEY = /^[A-Za-z_$][A-Za-z_$-]{0,39}$/;
const ROOT: Around = {
  path: [],
  field: '',
  parent: '',
  things: false,
  secret: false,
  rule: undefined,
  encodings: 0,
  depth: 0,
};

export interface PlanSettings {
  policy: Policy;
  limits: Limits;
  budget: Budget;
  /** Spans of a model, by the text that it read. */
  model: ReadonlyMap<string, readonly Span[]>;
}

export function planOf(value: Json, settings: PlanSettings): Plan {
  return new Planner(settings).plan(value, ROOT);
}

class Planner {
  readonly #off: ReadonlySet<string>;
  readonly #repeated = new Map<string, Map<string, TextPlan>>();
  readonly #paths: boolean;

  constructor(private readonly settings: PlanSettings) {
    this.#paths = settings.policy.fields.length > 0;
    this.#off = new Set([...settings.policy.detectors].filter(([, action]) => action === 'off').map(([name]) => name));
  }

  plan(value: Json, around: Around): Plan {
    const { policy } = this.settings;
    const rule = policy.fields.length === 0 ? undefined : (ruleFor(policy, around.path) ?? around.rule);
    if (rule?.action === 'drop') return { kind: 'drop' };
    const within = rule === around.rule ? around : { ...around, rule };
    if (Array.isArray(value))
      return {
        kind: 'array',
        items: value.map((item, i) => this.plan(item, this.#below(within, i, within.field, within.parent))),
      };
    if (value !== null && typeof value === 'object') return this.#object(value, within);
    if (policy.mode === 'allow_list' && rule === undefined) {
      if (policy.unlisted === 'refuse') throw new RefusedError('unlisted_field');
      if (policy.unlisted === 'drop') return { kind: 'drop' };
      return typeof value === 'string' || typeof value === 'number'
        ? this.#whole(String(value), 'TEXT', 'policy', 'redact')
        : { kind: 'as_is', value };
    }
    if (rule?.action === 'redact' || rule?.action === 'pseudonymise') {
      if (value === null || typeof value === 'boolean') return { kind: 'as_is', value };
      return this.#whole(String(value), rule.type, 'policy', rule.action);
    }
    if (typeof value === 'string') return this.#string(value, within, rule?.action === 'keep');
    if (typeof value === 'number') return this.#number(value, within, rule?.action === 'keep');
    return { kind: 'as_is', value };
  }

  #object(value: { [key: string]: Json }, around: Around): Plan {
    const shape: Shape | undefined = shapeOf(value);
    const within = shape === undefined ? around : { ...around, things: shape.things };
    const members: Member[] = [];
    for (const key of Object.keys(value)) {
      const inside = this.#below(within, key, key, around.field);
      if (shape?.secret === true && (key === 'data' || key === 'stringData')) inside.secret = true;
      const planned = this.plan(value[key]!, inside);
      const keyPlan = PLAIN_KEY.test(key) ? undefined : this.#text(key, true, false, around.encodings);
      members.push({ key, keyPlan, value: planned });
    }
    return { kind: 'object', members };
  }

  #string(text: string, around: Around, keep: boolean): Plan {
    if (text === '' || isPlaceholder(text)) return { kind: 'as_is', value: text };
    if (keep) return this.#text(text, true, true, around.encodings);
    if (around.secret) return this.#whole(text, 'SECRET', 'field_names', undefined);
    const meaning = meaningOf(around.field);
    const named = this.#off.has('field_names') ? undefined : this.#typeByField(text, around, meaning);
    if (named !== undefined) return this.#whole(text, named, 'field_names', undefined);
    if (!this.#off.has('encoded')) {
      const inner = jsonWithin(text);
      if (inner !== undefined) return this.#json(text, inner, around);
    }
    const identifier = (meaning.safe && !/\s/.test(text)) || isEntityRef(text);
    return this.#text(text, identifier, false, around.encodings);
  }

  #typeByField(text: string, around: Around, meaning: ReturnType<typeof meaningOf>): EntityType | undefined {
    if (meaning.type !== undefined) {
      const ofAThing = meaning.type === 'PERSON' && around.things && /^display-?name$/.test(meaning.normal);
      return !ofAThing && valueFits(meaning.type, text) ? meaning.type : undefined;
    }
    if (meaning.normal === 'name' && meaningOf(around.parent).personParent && !around.things)
      return valueFits('PERSON', text) ? 'PERSON' : undefined;
    return meaning.maybePerson && readsLikeAName(text) ? 'PERSON' : undefined;
  }

  #json(text: string, inner: Json, around: Around): Plan {
    if (around.encodings >= this.settings.limits.encodings) throw new RefusedError('too_many_encodings');
    this.settings.budget.check(inner, around.depth + 1);
    return {
      kind: 'json',
      text,
      inner: this.plan(inner, { ...around, encodings: around.encodings + 1, depth: around.depth + 1 }),
    };
  }

  #number(value: number, around: Around, keep: boolean): Plan {
    const meaning = meaningOf(around.field);
    if (keep || this.#off.has('field_names')) return { kind: 'as_is', value };
    if (around.secret) return this.#whole(String(value), 'SECRET', 'field_names', undefined);
    if (
      meaning.type !== undefined &&
      numberFits(meaning.type, meaning.normal) &&
      valueFits(meaning.type, String(value))
    ) {
      return this.#whole(String(value), meaning.type, 'field_names', undefined);
    }
    if (!meaning.safe && !this.#off.has('card') && Number.isSafeInteger(value) && isCard(String(value)))
      return this.#whole(String(value), 'CARD', 'card', undefined);
    return { kind: 'as_is', value };
  }

  #text(text: string, identifier: boolean, keep: boolean, encodings: number): TextPlan {
    const id = `${identifier ? 'i' : 't'}${keep ? 'k' : 's'}${encodings}`;
    const memory = this.#repeated.get(id) ?? new Map<string, TextPlan>();
    this.#repeated.set(id, memory);
    const known = memory.get(text);
    if (known !== undefined) return known;
    const { limits, model } = this.settings;
    const settings: ScanSettings = keep
      ? { ...KEEP_SETTINGS, off: new Set([...KEEP_SETTINGS.off, ...this.#off]) }
      : { off: this.#off, strongOnly: identifier, ...(model.has(text) ? { extra: model.get(text)! } : {}) };
    const views = viewsOf(text);
    const spans = scan(text, settings, views);
    const encoded: TextPlan['encoded'] = [];
    if (!keep && !this.#off.has('encoded') && text.length >= 12) {
      for (const run of base64Runs(text)) {
        if (spans.some((span) => span.start < run.end && run.start < span.end)) continue;
        const inner = this.#decoded(run.text, encodings, limits.encodings);
        if (inner !== undefined) encoded.push({ run, inner });
      }
    }
    const link = text.startsWith('http://') || text.startsWith('https://');
    const plan: TextPlan = { kind: 'text', text, views, spans, encoded, settings, identifier: identifier || link };
    if (text.length >= 24) memory.set(text, plan);
    return plan;
  }

  #decoded(text: string, encodings: number, most: number): Plan | undefined {
    if (encodings >= most) {
      // At the bound only what would have to be decoded further is a danger; plain text is read as text.
      if (base64Runs(text).length > 0 || jsonWithin(text) !== undefined) throw new RefusedError('too_many_encodings');
      return this.#text(text, false, false, encodings + 1);
    }
    return this.plan(text, {
      ...ROOT,
      rule: { path: [], action: 'scan', type: 'TEXT' },
      path: ['\0decoded'],
      encodings: encodings + 1,
    });
  }

  #whole(text: string, type: EntityType, detector: string, action: 'redact' | 'pseudonymise' | undefined): Plan {
    if (isPlaceholder(text)) return { kind: 'as_is', value: text };
    const set = this.settings.policy.detectors.get(detector);
    return { kind: 'whole', text, type, detector, action: action ?? (set === 'redact' ? 'redact' : 'pseudonymise') };
  }

  #below(around: Around, segment: string | number, field: string, parent: string): Around {
    // Paths are kept for rules only.
    const path = this.#paths ? [...around.path, String(segment)] : around.path;
    return {
      path,
      field,
      parent,
      things: around.things,
      secret: around.secret,
      rule: around.rule,
      encodings: around.encodings,
      depth: around.depth + 1,
    };
  }
}
