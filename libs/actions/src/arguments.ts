import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import type { ActionDescriptor } from './descriptor.js';

// ajv-formats is CommonJS with a default export; under ESM the plugin sits one level down.
const addFormats = addFormatsModule as unknown as typeof addFormatsModule.default;

/** Made by the first schema, for who has none pays a tenth of a second of its start for it. */
let ajv: Ajv2020 | undefined;

const compiled = new WeakMap<JsonObject, ValidateFunction>();

/**
 * Checks arguments against an action's input schema.
 * @throws CallboardError `invalid_arguments`, naming where and which rule, never the value.
 */
export function checkArguments(descriptor: ActionDescriptor, args: JsonObject): void {
  const validate = validatorOf(descriptor);
  if (validate(args)) return;
  const [first] = validate.errors ?? [];
  const where = first ? `arguments${declaredPath(first.instancePath, descriptor.input_schema)}` : 'arguments';
  throw new CallboardError('invalid_arguments', `${where} ${first?.message ?? 'are not valid'}`);
}

/** @throws Error when the schema cannot be used. */
export function compileSchema(schema: JsonObject): ValidateFunction {
  let validate = compiled.get(schema);
  if (!validate) {
    ajv ??= validators();
    try {
      validate = ajv.compile(schema);
    } finally {
      // Two actions may use one $id. An instance each would cost the 30 ms that the meta-schema takes.
      ajv.removeSchema(schema);
    }
    compiled.set(schema, validate);
  }
  return validate;
}

/** Lax, because authors bring schemas with keywords of their own. */
function validators(): Ajv2020 {
  const made = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, logger: false });
  addFormats(made);
  return made;
}

function validatorOf(descriptor: ActionDescriptor): ValidateFunction {
  try {
    return compileSchema(descriptor.input_schema);
  } catch (cause) {
    throw new CallboardError('internal', `The input schema of action ${descriptor.id} cannot be used`, { cause });
  }
}

/** A path into the arguments, with `*` for every name that the schema does not declare: such a name is the caller's data. */
function declaredPath(path: string, schema: JsonObject): string {
  const declared = declaredNames(schema, new Set());
  const known = (segment: string) =>
    /^\d{1,6}$/.test(segment) || declared.has(segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  return path
    .split('/')
    .map((segment, i) => (i === 0 || known(segment) ? segment : '*'))
    .join('/');
}

function declaredNames(schema: unknown, names: Set<string>): Set<string> {
  if (schema === null || typeof schema !== 'object') return names;
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === 'properties' && value !== null) for (const name of Object.keys(value as object)) names.add(name);
    declaredNames(value, names);
  }
  return names;
}
