/**
 * Most MCP servers in the field write their schemas in draft-07, and most of those use nothing of it that 2020-12 has not. Where the
 * two differ, this says it in the words of 2020-12, the one dialect that MCP's clients and Callboard agree on.
 */
import type { JsonObject } from '@callboard/envelope';

const OLD_DIALECT = /^https?:\/\/json-schema\.org\/draft-0[467]\/schema#?$/;

/** Returns a schema of 2020-12; one that says it is of 2020-12 already, or says nothing, is taken at its word. */
export function toDraft2020(schema: JsonObject): JsonObject {
  const dialect = schema['$schema'];
  if (typeof dialect !== 'string' || !OLD_DIALECT.test(dialect)) return schema;
  const { $schema: _, ...rest } = translate(schema) as JsonObject;
  return rest;
}

/** Members that hold names of the author's own, each with a schema. */
const MAPS = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']);
/** Members that hold data, not schemas. */
const DATA = new Set(['const', 'enum', 'default', 'examples']);

function translate(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(translate);
  if (schema === null || typeof schema !== 'object') return schema;
  const result: JsonObject = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (DATA.has(keyword)) result[keyword] = value;
    else if (MAPS.has(keyword)) result[keyword] = mapValues(value as JsonObject, translate);
    else if (keyword === 'items' && Array.isArray(value)) result['prefixItems'] = value.map(translate);
    else if (keyword === 'additionalItems') continue;
    else if (keyword === 'dependencies') Object.assign(result, splitDependencies(value as JsonObject));
    else result[keyword] = translate(value);
  }
  const { items, additionalItems } = schema as JsonObject;
  if (Array.isArray(items) && additionalItems !== undefined) result['items'] = translate(additionalItems);
  return result;
}

function splitDependencies(dependencies: JsonObject): JsonObject {
  const entries = Object.entries(dependencies);
  const required = entries.filter(([, value]) => Array.isArray(value));
  const schemas = entries.filter(([, value]) => !Array.isArray(value));
  return {
    ...(required.length > 0 && { dependentRequired: Object.fromEntries(required) }),
    ...(schemas.length > 0 && { dependentSchemas: mapValues(Object.fromEntries(schemas), translate) }),
  };
}

function mapValues(map: JsonObject, change: (value: unknown) => unknown): JsonObject {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));
}
