import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import type { ActionDescriptor } from './descriptor.js';

// ajv-formats is CommonJS with a default export; under ESM the plugin sits one level down.
const addFormats = addFormatsModule as unknown as typeof addFormatsModule.default;

const compiled = new WeakMap<JsonObject, ValidateFunction>();

/**
 * Checks arguments against an action's input schema.
 * @throws CallboardError `invalid_arguments`, naming where and which rule, never the value.
 */
export function checkArguments(descriptor: ActionDescriptor, args: JsonObject): void {
  let validate = compiled.get(descriptor.input_schema);
  if (!validate) {
    validate = compile(descriptor);
    compiled.set(descriptor.input_schema, validate);
  }
  if (validate(args)) return;
  const [first] = validate.errors ?? [];
  const where = first?.instancePath ? `arguments${first.instancePath}` : 'arguments';
  throw new CallboardError('invalid_arguments', `${where} ${first?.message ?? 'are not valid'}`);
}

function compile(descriptor: ActionDescriptor): ValidateFunction {
  // One instance a schema: two actions may use one $id. Lax, because authors bring schemas with keywords of their own.
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, logger: false });
  addFormats(ajv);
  try {
    return ajv.compile(descriptor.input_schema);
  } catch (cause) {
    throw new CallboardError('internal', `The input schema of action ${descriptor.id} cannot be used`, { cause });
  }
}
