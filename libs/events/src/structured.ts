import type { EventAttributes } from './attributes.js';

const JSON_TYPE = /^[^/;]+\/(?:[^;]+\+)?json *(?:;|$)/i;
const TEXT_TYPE = /^text\//i;

/**
 * An event in the JSON format of CloudEvents 1.0: data of a JSON type as JSON, text as text, everything else, and what is not of the type that
 * it says, in base64.
 */
export function toStructured(
  { extensions, ...attributes }: EventAttributes,
  data: Uint8Array,
): Record<string, unknown> {
  return { specversion: '1.0', ...attributes, ...extensions, ...dataMember(attributes.datacontenttype, data) };
}

function dataMember(contentType = 'application/json', data: Uint8Array): { data?: unknown; data_base64?: string } {
  if (data.byteLength === 0) return {};
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (JSON_TYPE.test(contentType)) {
    try {
      return { data: JSON.parse(bytes.toString('utf8')) as unknown };
    } catch {
      // Not what it says that it is.
    }
  }
  if (TEXT_TYPE.test(contentType)) return { data: bytes.toString('utf8') };
  return { data_base64: bytes.toString('base64') };
}
