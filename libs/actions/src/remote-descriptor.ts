/**
 * The descriptor of an action as a process in another language announces it: checked, because it comes from outside, and with the
 * defaults of `defineAction` for what its author left out.
 */
import type { JsonObject } from '@callboard/envelope';
import { compileSchema } from './arguments.js';
import { defineAction } from './define-action.js';
import type { ActionDescriptor, Binding } from './descriptor.js';

/** Where commands of an action may be sent: `svc.` and at least one more token; `.cancel` at the end is for cancellations. */
const SUBJECT = /^svc(\.[A-Za-z0-9_-]+)+$/;

const boolean = { type: 'boolean' };
const count = (minimum: number) => ({ type: 'integer', minimum });
const SCHEMA: JsonObject = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    title: { type: 'string' },
    description: { type: 'string', minLength: 1 },
    input_schema: { type: 'object' },
    output_schema: { type: 'object' },
    attributes: {
      type: 'object',
      properties: { read_only: boolean, destructive: boolean, idempotent: boolean, open_world: boolean },
    },
    deadline_ms: count(1),
    retry: {
      type: 'object',
      properties: { max_attempts: count(1), backoff_ms: count(0), max_backoff_ms: count(0) },
    },
    ordering: {
      if: { type: 'string' },
      then: { enum: ['principal', 'none'] },
      else: { type: 'object', properties: { argument: { type: 'string' } }, required: ['argument'] },
    },
    task: { enum: ['optional', 'required', 'never'] },
    long_running: boolean,
    binding: {
      type: 'object',
      properties: { kind: { const: 'nats' }, subject: { type: 'string' } },
      required: ['kind', 'subject'],
    },
  },
  required: ['id', 'description', 'input_schema', 'binding'],
};

/** Attempts of an action that says nothing about them: its adapter knows which of them are safe. */
const REMOTE_ATTEMPTS = 5;

interface Announced extends Omit<ActionDescriptor, 'attributes' | 'retry' | 'ordering' | 'deadline_ms'> {
  attributes?: Partial<ActionDescriptor['attributes']>;
  retry?: Partial<ActionDescriptor['retry']>;
  ordering?: ActionDescriptor['ordering'];
  deadline_ms?: number;
  binding: Extract<Binding, { kind: 'nats' }>;
}

/** @throws TypeError saying what is wrong, and of which action where that can be told */
export function readRemoteDescriptor(value: unknown): ActionDescriptor {
  const validate = compileSchema(SCHEMA);
  if (!validate(value)) {
    const id = (value as { id?: unknown } | null)?.id;
    const name = typeof id === 'string' ? `action "${id.slice(0, 64)}"` : 'an action';
    const [error] = validate.errors ?? [];
    throw new TypeError(`${name}: ${error?.instancePath ?? ''} ${error?.message ?? 'is no descriptor'}`);
  }
  const { id, description, input_schema, output_schema, attributes, deadline_ms, retry, ordering, binding, ...rest } =
    value as unknown as Announced;
  if (!SUBJECT.test(binding.subject) || binding.subject.endsWith('.cancel')) {
    throw new TypeError(`action "${id}": binding.subject must be svc. and names, divided by dots, the last not cancel`);
  }
  const { descriptor } = defineAction({
    id,
    description,
    input: input_schema,
    ...(output_schema && { output: output_schema }),
    ...(attributes && { attributes }),
    ...(deadline_ms !== undefined && { deadlineMs: deadline_ms }),
    retry: { max_attempts: REMOTE_ATTEMPTS, ...retry },
    ...(ordering && { ordering }),
    run: () => '',
  });
  const { title, task, long_running } = rest;
  return {
    ...descriptor,
    ...(title !== undefined && { title }),
    ...(task !== undefined && { task }),
    ...(long_running !== undefined && { long_running }),
    binding: { kind: 'nats', subject: binding.subject },
  };
}
