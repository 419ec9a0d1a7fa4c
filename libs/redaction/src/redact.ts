/**
 * The door: an event in, a redacted event and what was found out; or a reason why not. A pure function: the same event, policy and key give
 * the same answer.
 *
 * It never answers an event in part. Whatever goes wrong, the answer is a refusal with a stable code and without anything of the event,
 * so that a caller can fail closed.
 */
import { KnownValues } from './known-values.js';
import { Budget, DEFAULT_LIMITS, RefusedError, type Limits, type Refusal } from './limits.js';
import type { ModelDetector } from './model.js';
import { Planner, type Plan } from './plan.js';
import { BUILT_IN_POLICY, selectPolicy, type Policy, type PolicySet } from './policy/policy.js';
import { Pseudonyms, tenantKey } from './pseudonyms.js';
import { plainOf, Renderer, type Finding } from './render.js';
import { ENTITY_TYPES, type Json, type Span } from './types.js';

export interface RedactOptions {
  /** Random bytes, 16 at least; the key of each tenant is made of them. */
  key: Uint8Array;
  tenant: string;
  /**
   * What travels beside the event and may name somebody too: attributes of a CloudEvent, the ordering key. It is searched as text and gets the
   * same pseudonyms; rules of a policy for fields are about the event only.
   */
  attributes?: { [name: string]: Json };
  /** Where the event comes from and what it is about: they choose the policy. */
  source?: string;
  topic?: string;
  /** Left out: all detectors, for every source and topic. */
  policies?: PolicySet;
  limits?: Partial<Limits>;
}

export type Redaction =
  | { ok: true; value: Json; attributes: { [name: string]: Json }; findings: Finding[]; policy: string }
  | { ok: false; reason: Refusal };

export function redact(event: Json, options: RedactOptions): Redaction {
  return guarded(() => run(event, options, new Map()));
}

/** With a model-based detector: it reads the texts first, then everything is as without it. */
export async function redactWithModel(
  event: Json,
  options: RedactOptions,
  model: ModelDetector,
  signal: AbortSignal,
): Promise<Redaction> {
  let spans: Map<string, readonly Span[]>;
  try {
    const policy = policyOf(options);
    if (policy.detectors.get('model') === 'off') return redact(event, options);
    const { plan, beside } = plansFor(event, options, policy, new Map());
    const texts = [...new Set([...textsOf(plan), ...textsOf(beside)])];
    spans = texts.length === 0 ? new Map() : await ask(model, texts, signal);
  } catch (error) {
    return { ok: false, reason: error instanceof RefusedError ? error.reason : 'internal' };
  }
  return guarded(() => run(event, options, spans));
}

function guarded(work: () => Redaction): Redaction {
  try {
    return work();
  } catch (error) {
    // The error itself may quote the event: its code is all that leaves.
    return { ok: false, reason: error instanceof RefusedError ? error.reason : 'internal' };
  }
}

function run(event: Json, options: RedactOptions, model: ReadonlyMap<string, readonly Span[]>): Redaction {
  kept ??= work(OF_OURS, { key: new Uint8Array(16), tenant: '' }, NO_SPANS);
  return work(event, options, model).redaction;
}

/**
 * V8 gives optimised code up once nothing is left of a shape that it relies on, and a redaction leaves nothing behind: after a few garbage
 * collections the next thousand took eight times as long. So all that one redaction is made of is kept, of an event without anybody's data.
 */
let kept: object | undefined;
const OF_OURS: Json = { text: 'Jane Example, call 415 555 0100', list: ['Jane Example', 1] };
const NO_SPANS: ReadonlyMap<string, readonly Span[]> = new Map();

/** The answer, and what it was made of. */
function work(event: Json, options: RedactOptions, model: ReadonlyMap<string, readonly Span[]>) {
  const policy = policyOf(options);
  const limits = limitsOf(options);
  const plans = plansFor(event, options, policy, model);
  const { planner, plan, plannerBeside, beside } = plans;
  const known = new KnownValues();
  if (policy.detectors.get('known_values') !== 'off') {
    collect(plan, known);
    collect(beside, known);
  }
  const pseudonyms = new Pseudonyms(tenantKey(options.key, options.tenant), policy.pseudonymLength);
  const renderer = new Renderer(policy, limits, pseudonyms, known);
  const value = renderer.event(plan, planner) ?? null;
  const attributes = renderer.attributes(beside, plannerBeside) as { [name: string]: Json };
  const redaction: Redaction = { ok: true, value, attributes, findings: renderer.findings, policy: policy.name };
  return { redaction, plans, renderer };
}

function limitsOf({ limits }: RedactOptions): Limits {
  return limits === undefined ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, ...limits };
}

function policyOf({ policies, source = '', topic = '' }: RedactOptions): Policy {
  if (policies === undefined) return BUILT_IN_POLICY;
  const policy = selectPolicy(policies, source, topic);
  if (policy === undefined) throw new RefusedError('no_policy');
  return policy;
}

interface Plans {
  planner: Planner;
  plan: Plan;
  plannerBeside: Planner;
  beside: Plan;
}

/** Of the event, and of what travels beside it: one budget for both. */
function plansFor(
  event: Json,
  options: RedactOptions,
  policy: Policy,
  model: ReadonlyMap<string, readonly Span[]>,
): Plans {
  const limits = limitsOf(options);
  const budget = new Budget(limits);
  const attributes = options.attributes ?? {};
  budget.check(event);
  budget.check(attributes);
  const planner = new Planner({ policy, limits, budget, model });
  const plan = planner.planOf(event);
  if (options.attributes === undefined) {
    return { planner, plan, plannerBeside: planner, beside: { kind: 'object', value: attributes, members: [] } };
  }
  const anyField: Policy = { ...policy, fields: [], mode: 'detect' };
  const plannerBeside = new Planner({ policy: anyField, limits, budget, model });
  return { planner, plan, plannerBeside, beside: plannerBeside.planOf(attributes) };
}

/** Everything that was found, so that it can be found again elsewhere. */
function collect(plan: Plan, known: KnownValues): void {
  switch (plan.kind) {
    case 'whole':
      known.add(plan.type, plan.text);
      return;
    case 'text':
      for (const span of plan.spans) known.add(span.type, plainOf(plan.text.slice(span.start, span.end)));
      for (const { inner } of plan.encoded) collect(inner, known);
      return;
    case 'json':
      collect(plan.inner, known);
      return;
    case 'array':
      for (const item of plan.items) collect(item, known);
      return;
    case 'object':
      for (const { keyPlan, value } of plan.members) {
        if (keyPlan !== undefined) collect(keyPlan, known);
        collect(value, known);
      }
      return;
    default:
  }
}

/** The texts that detectors of prose read. */
function textsOf(plan: Plan): string[] {
  switch (plan.kind) {
    case 'text':
      return [...(plan.identifier ? [] : [plan.text]), ...plan.encoded.flatMap(({ inner }) => textsOf(inner))];
    case 'quiet':
      return plan.identifier ? [] : [plan.text];
    case 'json':
      return textsOf(plan.inner);
    case 'array':
      return plan.items.flatMap(textsOf);
    case 'object':
      return plan.members.flatMap(({ value }) => textsOf(value));
    default:
      return [];
  }
}

async function ask(model: ModelDetector, texts: string[], signal: AbortSignal): Promise<Map<string, readonly Span[]>> {
  try {
    const answers = await model.detect(texts, signal);
    if (answers.length !== texts.length) throw new RefusedError('model_failed');
    return new Map(
      texts.map((text, i) => [
        text,
        answers[i]!.map(({ start, end, type }) => {
          const fits =
            Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= text.length;
          if (!fits || !ENTITY_TYPES.includes(type)) throw new RefusedError('model_failed');
          return { start, end, type, detector: `model.${model.name}` };
        }),
      ]),
    );
  } catch {
    throw new RefusedError('model_failed');
  }
}
