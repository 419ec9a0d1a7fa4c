/**
 * The port for a model-based detector: what rules cannot find (bare rare names, descriptions of persons) a model can. It is given texts and
 * answers spans; it never decides what happens to them. Its failure is a refusal: an event that should have been read by it is not passed.
 */
import type { EntityType } from './types.js';

export interface ModelSpan {
  /** UTF-16 offsets into the text, end excluded. */
  start: number;
  end: number;
  type: EntityType;
}

export interface ModelDetector {
  name: string;
  /** One list of spans for each text, in the order of the texts. Rejects when it cannot say. */
  detect(texts: readonly string[], signal: AbortSignal): Promise<readonly (readonly ModelSpan[])[]>;
}
