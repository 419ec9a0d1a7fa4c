import type { JsonObject } from '@callboard/envelope';

/**
 * What the world knows of an action: everything but its code. This is what a service announces in the registry, what an MCP
 * front end turns into a tool, and what a runner obeys.
 */
export interface ActionDescriptor {
  /** MCP name, `tool.method`; the first dot divides. */
  id: string;
  title?: string;
  description: string;
  /** JSON Schema (2020-12) of the arguments; an object schema, handed to clients exactly as written. */
  input_schema: JsonObject;
  /** JSON Schema of `structuredContent`, where the action has one. */
  output_schema?: JsonObject;
  attributes: ActionAttributes;
  /** Deadline of a command that does not bring its own, in milliseconds from acceptance. */
  deadline_ms: number;
  retry: RetryPolicy;
  ordering: Ordering;
  /** What undoes this action, for sagas: an action id that takes `{args, result}`. */
  compensation?: string;
  /** Where commands go when no runner has the code of the action. */
  binding?: Binding;
  /** How an MCP client meets it. */
  surface: Surface;
  /** Kinds of input the caller must be able to give; without them the call is refused before it is accepted. */
  requires_input?: InputKind[];
  /** Is a call of it a task, for clients that know tasks? `optional`: when it takes long; `required`: always, and only for them. Default `optional`. */
  task?: TaskSupport;
  /** What happens to the other commands of its key when one became a dead letter. Default `continue`. */
  on_dead_letter?: OnDeadLetter;
  /** The kind of system whose own action this is, where it is somebody else's: a client of that kind leaves it out, and calls its own. */
  origin?: Origin;
  /** Its runner asks for the token of an issuer with which the caller came, and does nothing for a caller who came with none. */
  caller_token?: boolean;
  /** The front end lets go of a waiting 2025-era stream soon after acceptance; the client comes back for the result. */
  long_running?: boolean;
}

/** MCP's tool annotations, all of them decided by the author. */
export interface ActionAttributes {
  read_only: boolean;
  destructive: boolean;
  idempotent: boolean;
  open_world: boolean;
}

export interface RetryPolicy {
  /** All attempts, the first included. */
  max_attempts: number;
  /** Wait before the second attempt; doubles from attempt to attempt, with jitter. */
  backoff_ms: number;
  max_backoff_ms: number;
}

/**
 * Which commands run one after the other when the caller names no ordering key: those of one `principal`, those that agree in an
 * `argument` (a top-level one), or `none`.
 */
export type Ordering = 'principal' | 'none' | { argument: string };

export type Origin = 'backstage';

export type TaskSupport = 'optional' | 'required' | 'never';

/** `halt`: none begins until an operator has redriven or discarded the dead letter. */
export type OnDeadLetter = 'continue' | 'halt';

/** `nats`: commands are sent to the subject, to whichever process takes them. `saga`: each command begins a saga, and no runner sees it. */
export type Binding = { kind: 'nats'; subject: string } | { kind: 'saga' };

export type InputKind = 'elicitation' | 'sampling' | 'roots';

export type Surface =
  | { kind: 'tool' }
  | { kind: 'resource'; uri: string; name: string; mime_type?: string }
  | { kind: 'resource_template'; uri_template: string; name: string; mime_type?: string }
  | { kind: 'prompt'; name: string; arguments: PromptArgument[] };

export interface PromptArgument {
  name: string;
  description?: string;
  required?: boolean;
  /** Offered by `completion/complete`, filtered by what was typed. */
  suggestions?: string[];
}
