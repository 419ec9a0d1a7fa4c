export { ATTRIBUTE } from './attributes.js';
export { processing, receiving, sending, type NamedSpan } from './messaging.js';
export {
  asPartOf,
  carry,
  contextNow,
  contextOf,
  endSpan,
  link,
  linkActive,
  startSpan,
  traced,
  within,
  type Span,
  type SpanSettings,
} from './spans.js';
export { traceContextOf, type TraceContext } from './trace-context.js';
