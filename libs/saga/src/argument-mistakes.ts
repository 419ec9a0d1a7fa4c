/**
 * Holds what is known of arguments before a saga runs against the action's input schema: names, what is missing, and values that are written
 * out. Where an expression stands, only what it surely makes can be wrong.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { JsonObject } from '@callboard/envelope';
import { suggestion } from './catalog.js';
import { compile } from './expression.js';
import { expressionsOf, isExpression } from './template.js';

export interface ArgumentMistake {
  place: (string | number)[];
  what: string;
}

/** Made by the first check: who only runs sagas needs none. */
let ajv: Ajv2020 | undefined;
/** JSON's kinds, by what CEL calls them. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  string: ['string'],
  bool: ['boolean'],
  int: ['integer', 'number'],
  uint: ['integer', 'number'],
  double: ['number'],
  null: ['null'],
};

export function argumentMistakes(template: unknown, schema: JsonObject): ArgumentMistake[] {
  return check(template, schema, schema, []);
}

function check(template: unknown, schema: unknown, root: JsonObject, place: (string | number)[]): ArgumentMistake[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const rules = schema as JsonObject;
  if (typeof template === 'string' && expressionsOf(template).length > 0) return checkKind(template, rules, place);
  if (expressionsOf(template).length === 0) return checkValue(template, rules, root, place);
  if (Array.isArray(template)) {
    return template.flatMap((element, i) => check(element, rules['items'], root, [...place, i]));
  }
  return checkMembers(template as JsonObject, rules, root, place);
}

function checkMembers(members: JsonObject, rules: JsonObject, root: JsonObject, place: (string | number)[]) {
  const properties = (rules['properties'] ?? {}) as JsonObject;
  const required = Array.isArray(rules['required']) ? (rules['required'] as string[]) : [];
  const mistakes: ArgumentMistake[] = required
    .filter((name) => !(name in members))
    .map((name) => ({ place, what: `must have ${name}` }));
  for (const [name, member] of Object.entries(members)) {
    if (name in properties) mistakes.push(...check(member, properties[name], root, [...place, name]));
    else if (rules['additionalProperties'] === false) {
      const known = Object.keys(properties);
      const help = suggestion(name, known) || `; known: ${known.join(', ')}`;
      mistakes.push({ place: [...place, name], what: `is not taken${help}` });
    }
  }
  return mistakes;
}

function checkKind(template: string, rules: JsonObject, place: (string | number)[]): ArgumentMistake[] {
  const { type } = rules;
  if (typeof type !== 'string' && !Array.isArray(type)) return [];
  const kinds = isExpression(template) ? KINDS[compile(template.slice(3, -2)).type] : ['string'];
  const wanted = [type].flat() as string[];
  if (!kinds || kinds.some((kind) => wanted.includes(kind))) return [];
  const hint =
    kinds[0] === 'string' && !isExpression(template) ? ': a string with text around ${{ }} is always a text' : '';
  return [{ place, what: `must be ${wanted.join(' or ')}, and is ${kinds[0]}${hint}` }];
}

function checkValue(
  value: unknown,
  rules: JsonObject,
  root: JsonObject,
  place: (string | number)[],
): ArgumentMistake[] {
  const definitions = { $defs: root['$defs'], definitions: root['definitions'] };
  const schema = rules === root ? rules : { ...definitions, ...rules };
  ajv ??= new Ajv2020({ strict: false, logger: false, validateFormats: false });
  try {
    if (ajv.validate(schema, value)) return [];
  } catch {
    // A schema that cannot be used says nothing; the runner says so when it is called.
    return [];
  } finally {
    ajv.removeSchema(schema);
  }
  const [error] = ajv.errors ?? [];
  const below = (error?.instancePath ?? '').split('/').slice(1);
  const at = below.map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  const { additionalProperty } = (error?.params ?? {}) as { additionalProperty?: string };
  if (additionalProperty !== undefined) {
    const known = Object.keys((rules['properties'] as JsonObject | undefined) ?? {});
    return [
      { place: [...place, ...at, additionalProperty], what: `is not taken${suggestion(additionalProperty, known)}` },
    ];
  }
  return [{ place: [...place, ...at], what: error?.message ?? 'is not as the action asks for' }];
}
