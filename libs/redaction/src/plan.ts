/**
 * What is known of an event before anything is replaced: for each value, what it is by its field, or what was found in it. Made in one
 * walk, so that a value found in the last field can be replaced in the first.
 */
import { isCard } from './detectors/card.js';
import { meaningOf, type FieldMeaning } from './fields/field-names.js';
import { numberFits, readsLikeAName, valueFits } from './fields/field-value.js';
import { isEntityRef, shapeOf, type Shape } from './fields/shapes.js';
import { Budget, RefusedError, type Limits } from './limits.js';
import { COLON, SPACE, traitsOf, type Traits } from './text/chars.js';
import { base64Runs, jsonWithin, SHORTEST_RUN, type EncodedRun } from './text/encoded.js';
import { isPlaceholder } from './text/placeholder.js';
import { isLink, isQuiet, scan, type ScanSettings } from './text/scan.js';
import { NO_VIEWS, viewsOf, type View } from './text/views.js';
import { ruleFor, switchedOff, type FieldRule, type Policy } from './policy/policy.js';
import type { EntityType, Json, Span } from './types.js';

export type Plan =
  | { kind: 'as_is'; value: Json }
  | { kind: 'drop' }
  | { kind: 'whole'; text: string; type: EntityType; detector: string; action: 'redact' | 'pseudonymise' }
  | TextPlan
  | { kind: 'json'; text: string; inner: Plan }
  | { kind: 'quiet'; text: string; identifier: boolean; pairs: number; place: Place }
  | { kind: 'array'; value: Json[]; items: Plan[] }
  | { kind: 'object'; value: { [key: string]: Json }; members: Member[] };

/** What was found in a text; the same wherever it stands in the same way. */
interface Reading {
  views: readonly View[];
  spans: readonly Span[];
  encoded: readonly { run: EncodedRun; inner: Plan }[];
}

export interface TextPlan extends Reading {
  kind: 'text';
  text: string;
  place: Place;
  /** An identifier, a reference or a link: single words of known names are not looked for in it. */
  identifier: boolean;
}

/** Where a text stands: what it is read by, and by which it is read again when it was changed. */
export interface Place {
  around: Around;
  field: string;
  parent: string;
  as: 'value' | 'key' | 'text';
}

export interface Member {
  key: string;
  keyPlan: Plan | undefined;
  value: Plan;
}

/** What the values of an object or a list have in common. */
export interface Around {
  path: readonly string[];
  things: boolean;
  secret: boolean;
  rule: FieldRule | undefined;
  encodings: number;
  depth: number;
}

/** Where a rule keeps a field: credentials that are known by their form are cut all the same. */
const OFF_WHERE_KEPT = ['email', 'iban', 'card', 'labelled'];
const NOTHING: [] = [];
const ROOT: Around = { path: [], things: false, secret: false, rule: undefined, encodings: 0, depth: 0 };

export interface PlanSettings {
  policy: Policy;
  limits: Limits;
  budget: Budget;
  /** Spans of a model, by the text that it read. */
  model: ReadonlyMap<string, readonly Span[]>;
}

export class Planner {
  readonly #off: ReadonlySet<string>;
  readonly #repeated = new Map<number, Map<string, Reading>>();
  readonly #settings: ScanSettings;
  readonly #strongSettings: ScanSettings;
  #keepSettings: ScanSettings | undefined;
  readonly #rules: boolean;
  readonly #decodes: boolean;
  readonly #named: boolean;

  constructor(private readonly settings: PlanSettings) {
    const { policy } = settings;
    this.#rules = policy.fields.length > 0;
    this.#off = switchedOff(policy);
    this.#decodes = !this.#off.has('encoded');
    this.#named = !this.#off.has('field_names');
    this.#settings = this.#scanning(this.#off, false);
    this.#strongSettings = this.#scanning(this.#off, true);
  }

  planOf(event: Json): Plan {
    return this.plan(event, ROOT, '', '');
  }

  /** A text that was changed reads differently: what is known of it now, by all that was known of the one that it was made of. */
  again(text: string, place: Place): Plan {
    if (place.as === 'value') return this.plan(text, place.around, place.field, place.parent);
    return isPlaceholder(text) ? { kind: 'as_is', value: text } : this.#text(text, traitsOf(text), false, false, place);
  }

  /** `field` is the name of the field, or of the field that holds the list; `parent` that of the field around it. */
  plan(value: Json, around: Around, field: string, parent: string): Plan {
    const { policy } = this.settings;
    const rule = this.#rules ? (ruleFor(policy, around.path) ?? around.rule) : around.rule;
    if (rule?.action === 'drop') return { kind: 'drop' };
    if (value !== null && typeof value === 'object') {
      const within = rule === around.rule ? around : { ...around, rule };
      if (!Array.isArray(value)) return this.#object(value, within, field);
      const inside = this.#inside(within);
      return {
        kind: 'array',
        value,
        items: value.map((item, i) => this.plan(item, this.#at(inside, i), field, parent)),
      };
    }
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
    if (typeof value === 'string') return this.#string(value, around, field, parent, rule?.action === 'keep');
    if (typeof value === 'number') return this.#number(value, around, field, rule?.action === 'keep');
    return { kind: 'as_is', value };
  }

  #object(value: { [key: string]: Json }, around: Around, parent: string): Plan {
    const shape: Shape | undefined = shapeOf(value);
    const inside = this.#inside(around);
    if (shape !== undefined) inside.things = shape.things;
    const named = value['name'] ?? value['key'];
    const members: Member[] = [];
    for (const key of Object.keys(value)) {
      // `{ name: 'API_TOKEN', value: … }`: the one says what the other is.
      const field = key === 'value' && typeof named === 'string' ? named : key;
      let place = this.#at(inside, key);
      if (shape?.secret === true && (key === 'data' || key === 'stringData')) place = { ...place, secret: true };
      const planned = this.plan(value[key]!, place, field, parent);
      const keyPlan = meaningOf(key).plain
        ? undefined
        : this.#text(key, traitsOf(key), false, false, { around, field: key, parent, as: 'key' });
      members.push({ key, keyPlan, value: planned });
    }
    return { kind: 'object', value, members };
  }

  #string(text: string, around: Around, field: string, parent: string, keep: boolean): Plan {
    if (text === '' || isPlaceholder(text)) return { kind: 'as_is', value: text };
    const traits = traitsOf(text);
    const place: Place = { around, field, parent, as: 'value' };
    if (keep) return this.#text(text, traits, true, true, place);
    if (around.secret) return this.#whole(text, 'SECRET', 'field_names', undefined);
    const meaning = meaningOf(field);
    const named = !this.#named ? undefined : this.#typeByField(text, around, meaning, parent);
    if (named !== undefined && this.#wanted(named)) return this.#whole(text, named, 'field_names', undefined);
    if (this.#decodes) {
      const inner = jsonWithin(text);
      if (inner !== undefined) return this.#json(text, inner, around, field, parent);
    }
    const identifier =
      (traits.has & SPACE) === 0 && (meaning.safe || ((traits.has & COLON) !== 0 && isEntityRef(text)));
    return this.#text(text, traits, identifier, false, place);
  }

  #typeByField(text: string, around: Around, meaning: FieldMeaning, parent: string): EntityType | undefined {
    if (meaning.type !== undefined) {
      const ofAThing = meaning.type === 'PERSON' && around.things && /^display-?name$/.test(meaning.normal);
      return !ofAThing && valueFits(meaning.type, text) ? meaning.type : undefined;
    }
    if (meaning.normal === 'name' && meaningOf(parent).personParent && !around.things)
      return valueFits('PERSON', text) ? 'PERSON' : undefined;
    return meaning.maybePerson && readsLikeAName(text) ? 'PERSON' : undefined;
  }

  #json(text: string, inner: Json, around: Around, field: string, parent: string): Plan {
    if (around.encodings >= this.settings.limits.encodings) throw new RefusedError('too_many_encodings');
    this.settings.budget.check(inner, around.depth + 1);
    const within = { ...around, encodings: around.encodings + 1, depth: around.depth + 1 };
    return { kind: 'json', text, inner: this.plan(inner, within, field, parent) };
  }

  #number(value: number, around: Around, field: string, keep: boolean): Plan {
    if (keep || !this.#named) return { kind: 'as_is', value };
    if (around.secret) return this.#whole(String(value), 'SECRET', 'field_names', undefined);
    const meaning = meaningOf(field);
    if (
      meaning.type !== undefined &&
      this.#wanted(meaning.type) &&
      numberFits(meaning.type, meaning.normal) &&
      valueFits(meaning.type, String(value))
    ) {
      return this.#whole(String(value), meaning.type, 'field_names', undefined);
    }
    const long = value > 1e12 && !meaning.safe && !this.#off.has('card') && this.#wanted('CREDIT_CARD');
    if (long && Number.isSafeInteger(value) && isCard(String(value)))
      return this.#whole(String(value), 'CREDIT_CARD', 'card', undefined);
    return { kind: 'as_is', value };
  }

  #text(text: string, traits: Traits, isIdentifier: boolean, keep: boolean, place: Place): Plan {
    const settings = this.#settingsFor(text, isIdentifier, keep);
    const identifier = isIdentifier || isLink(text, traits);
    const runs = !keep && traits.longestRun >= SHORTEST_RUN && this.#decodes ? base64Runs(text) : NOTHING;
    const quiet = settings.extra === undefined && isQuiet(traits, text, settings.strongOnly);
    if (quiet && runs.length === 0) return { kind: 'quiet', text, identifier, pairs: traits.pairs, place };
    const { encodings } = place.around;
    const kind = (isIdentifier ? 1 : 0) + (keep ? 2 : 0) + 4 * encodings;
    let memory = this.#repeated.get(kind);
    if (memory === undefined) this.#repeated.set(kind, (memory = new Map()));
    let reading = memory.get(text);
    if (reading === undefined) memory.set(text, (reading = this.#read(text, traits, settings, runs, encodings, quiet)));
    return { kind: 'text', text, ...reading, place, identifier };
  }

  #read(
    text: string,
    traits: Traits,
    settings: ScanSettings,
    runs: readonly EncodedRun[],
    encodings: number,
    quiet: boolean,
  ): Reading {
    const views = quiet ? NO_VIEWS : viewsOf(text, traits);
    const spans = quiet ? NOTHING : scan(text, settings, traits, views);
    return { views, spans, encoded: this.#encoded(runs, spans, encodings) };
  }

  #settingsFor(text: string, identifier: boolean, keep: boolean): ScanSettings {
    if (keep) return (this.#keepSettings ??= this.#scanning(new Set([...OFF_WHERE_KEPT, ...this.#off]), true));
    const settings = identifier ? this.#strongSettings : this.#settings;
    const extra = this.settings.model.get(text);
    return extra === undefined ? settings : { ...settings, extra };
  }

  #scanning(off: ReadonlySet<string>, strongOnly: boolean): ScanSettings {
    const { policy, limits } = this.settings;
    const most = limits.findings;
    return policy.types === undefined ? { off, strongOnly, most } : { off, strongOnly, most, types: policy.types };
  }

  #encoded(runs: readonly EncodedRun[], spans: readonly Span[], encodings: number): TextPlan['encoded'] {
    const encoded: { run: EncodedRun; inner: Plan }[] = [];
    let next = 0;
    for (const run of runs) {
      while (next < spans.length && spans[next]!.end <= run.start) next++;
      if (next < spans.length && spans[next]!.start < run.end) continue;
      encoded.push({ run, inner: this.#decoded(run.text, encodings) });
    }
    return encoded;
  }

  #decoded(text: string, encodings: number): Plan {
    if (encodings >= this.settings.limits.encodings) {
      // At the bound only what would have to be decoded further is a danger; plain text is read as text.
      if (base64Runs(text).length > 0 || jsonWithin(text) !== undefined) throw new RefusedError('too_many_encodings');
      const around = { ...ROOT, encodings: encodings + 1 };
      return this.#text(text, traitsOf(text), false, false, { around, field: '', parent: '', as: 'text' });
    }
    const rule: FieldRule = { path: [], action: 'scan', type: 'TEXT' };
    return this.plan(text, { ...ROOT, rule, path: ['\0decoded'], encodings: encodings + 1 }, '', '');
  }

  #whole(text: string, type: EntityType, detector: string, action: 'redact' | 'pseudonymise' | undefined): Plan {
    if (isPlaceholder(text)) return { kind: 'as_is', value: text };
    const set = this.settings.policy.detectors.get(detector);
    return { kind: 'whole', text, type, detector, action: action ?? (set === 'redact' ? 'redact' : 'pseudonymise') };
  }

  #wanted(type: EntityType): boolean {
    return this.settings.policy.types?.has(type) !== false;
  }

  #inside(around: Around): Around {
    const { path, things, secret, rule, encodings, depth } = around;
    return { path, things, secret, rule, encodings, depth: depth + 1 };
  }

  /** Paths are kept for rules only. */
  #at(inside: Around, segment: string | number): Around {
    return this.#rules ? { ...inside, path: [...inside.path, String(segment)] } : inside;
  }
}
