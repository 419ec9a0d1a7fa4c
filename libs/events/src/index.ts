export {
  EVENT_LIMITS,
  FILTER_EXTENSIONS,
  InvalidEvent,
  SOURCE_NAME,
  TOPIC,
  percentDecode,
  percentEncode,
  readAttributes,
  readEventHeaders,
  readStoredEventHeaders,
  toEventHeaders,
  type EventAttributes,
} from './attributes.js';
export { backstageEvent, type BackstageEvent, type BackstageOrigin } from './backstage-event.js';
export {
  FILTER_LIMITS,
  InvalidFilter,
  fulfils,
  parseFilters,
  type Conditions,
  type EventFilter,
  type Filterable,
} from './filters.js';
export { GAP_TYPE, gapEvent, type Gap, type GapReason } from './gap.js';
export {
  boundedKey,
  deliveryIdOf,
  eventAddress,
  eventName,
  orderingKeyOf,
  type SourcedEvent,
} from './sourced-event.js';
export { toStructured } from './structured.js';
