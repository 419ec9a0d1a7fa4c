import { boundedKey } from '@callboard/events';

/** The ordering key that the first pointer finds which leads to text or a number. */
export function keyAt(pointers: readonly string[], json: unknown): string | undefined {
  for (const pointer of pointers) {
    const found = valueAt(pointer, json);
    if (typeof found === 'number' || (typeof found === 'string' && found !== '')) return boundedKey(String(found));
  }
  return undefined;
}

/** RFC 6901. */
function valueAt(pointer: string, json: unknown): unknown {
  let value = json;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
