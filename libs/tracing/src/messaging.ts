/** Spans of messages, by the semantic conventions of messaging. */
import type { Attributes } from '@opentelemetry/api';
import { ATTRIBUTE } from './attributes.js';
import type { SpanSettings } from './spans.js';

export interface NamedSpan extends SpanSettings {
  name: string;
}

/** A message is stored in a stream. */
export const sending = (destination: string, about: Attributes) => messaging('send', 'producer', destination, about);

/** What a stream has is waited for. */
export const receiving = (destination: string, about: Attributes) => messaging('receive', 'client', destination, about);

/** A message of a stream, or of a subject, is worked on. */
export const processing = (destination: string, about: Attributes) =>
  messaging('process', 'consumer', destination, about);

function messaging(operation: string, kind: SpanSettings['kind'], destination: string, about: Attributes): NamedSpan {
  const attributes = {
    [ATTRIBUTE.system]: 'nats',
    [ATTRIBUTE.operation]: operation,
    [ATTRIBUTE.operationType]: operation,
    [ATTRIBUTE.destination]: destination,
    ...about,
  };
  return { name: `${operation} ${destination}`, kind, attributes };
}
