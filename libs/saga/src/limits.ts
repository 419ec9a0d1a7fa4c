/** Sizes that hold for every saga. A fact is one message of a stream, and a saga is read as a whole by whoever takes it over. */
export const SAGA_LIMITS = {
  /** Steps of one saga, those of its sub-sagas and those that joined counted in. */
  steps: 64,
  /** Nesting of sub-sagas and parallel groups. */
  depth: 8,
  /** Bytes of a definition as JSON, its sub-sagas counted in. */
  definitionBytes: 128 * 1024,
  /** Bytes of a saga's input, of one step's arguments, and of its output, as JSON. */
  valueBytes: 128 * 1024,
  /** Bytes of all outputs that one saga keeps, as JSON. */
  outputBytes: 512 * 1024,
  /** Characters of one expression. */
  expressionChars: 2_000,
  /** Characters of a step's name. */
  stepNameChars: 48,
  /** Characters of a reason, a comment or a prompt that a person wrote; the rest is cut off. */
  textChars: 1_000,
  /** Attempts at one step or at undoing it, before an operator is asked. */
  attempts: 100,
  /** 30 days: the longest that a saga may take, a person's approval counted in. */
  deadlineMs: 30 * 24 * 3600 * 1000,
} as const;
