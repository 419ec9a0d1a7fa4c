import type { JsonObject } from '@callboard/envelope';

/** Is it a JSON object, and neither an array nor null? */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
