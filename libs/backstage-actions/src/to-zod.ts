/**
 * A JSON Schema as a schema of zod 3, which is what Backstage's actions registry takes and shows as a JSON Schema again. What has no
 * counterpart here is let through: Callboard checks arguments against the schema itself.
 */
import type { ActionsRegistryService } from '@backstage/backend-plugin-api/alpha';

/** Backstage's own zod. */
export type Zod = Parameters<Parameters<ActionsRegistryService['register']>[0]['schema']['input']>[0];
type ZodType = ReturnType<Zod['any']> | ReturnType<Zod['string']>;
type Schema = Readonly<Record<string, unknown>>;

/** Schemas of a depth that nobody reads, or that refer to themselves, end here. */
const MAX_DEPTH = 16;

export function objectToZod(z: Zod, schema: Schema, depth = 0) {
  const required = new Set(Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : []);
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>);
  const shape = Object.fromEntries(
    properties.map(([name, property]) => {
      const type = toZod(z, property, depth + 1);
      return [name, required.has(name) ? type : type.optional()];
    }),
  );
  const object = z.object(shape);
  return schema['additionalProperties'] === false ? object.strict() : object.passthrough();
}

function toZod(z: Zod, schema: Schema, depth: number): ZodType {
  const type = plainToZod(z, schema, depth) as ZodType;
  return (typeof schema['description'] === 'string' ? type.describe(schema['description']) : type) as ZodType;
}

function plainToZod(z: Zod, schema: Schema, depth: number): unknown {
  if (depth > MAX_DEPTH || typeof schema !== 'object' || schema === null) return z.any();
  const { enum: values } = schema;
  if (Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === 'string')) {
    return z.enum(values as [string, ...string[]]);
  }
  switch (schema['type']) {
    case 'string':
      return limited(z.string(), [schema['minLength'], schema['maxLength']]);
    case 'integer':
      return limited(z.number().int(), [schema['minimum'], schema['maximum']]);
    case 'number':
      return limited(z.number(), [schema['minimum'], schema['maximum']]);
    case 'boolean':
      return z.boolean();
    case 'array':
      return limited(z.array(toZod(z, (schema['items'] ?? {}) as Schema, depth + 1)), [
        schema['minItems'],
        schema['maxItems'],
      ]);
    case 'object':
      return objectToZod(z, schema, depth);
    default:
      return z.any();
  }
}

interface Limited {
  min(least: number): Limited;
  max(most: number): Limited;
}

function limited(type: unknown, [least, most]: [unknown, unknown]): unknown {
  let result = type as Limited;
  if (typeof least === 'number') result = result.min(least);
  if (typeof most === 'number') result = result.max(most);
  return result;
}
