/**
 * What a saga definition's file may look like, as JSON Schema. `schema/saga-definition.schema.json` is the same for editors, written by
 * `make-schema.mjs`; a test holds the two together, and both against the reader.
 */
import { record } from '@callboard/config';
import { LIMITS, PRIORITIES } from '@callboard/envelope';
import { SAGA_LIMITS } from './limits.js';

export const STEP_NAME = `^[a-z][a-z0-9_]{0,${SAGA_LIMITS.stepNameChars - 1}}$`;
const SAGA_ID = '^[A-Za-z0-9_-]{1,64}(\\.[A-Za-z0-9_-]{1,64})?$';

const text = (description: string, maxLength = 4_000) => ({ type: 'string', minLength: 1, maxLength, description });
const expression = (description: string) => text(`${description} CEL.`, SAGA_LIMITS.expressionChars);
const milliseconds = (description: string, maximum: number) => ({ type: 'integer', minimum: 1, maximum, description });
const template = (description: string) => ({ description: `${description} Strings may hold \${{ CEL }}.` });
const args = { ...template('Arguments of the action.'), type: 'object' };
const commandDeadline = milliseconds("Of each attempt; default: the action's own.", LIMITS.maxDeadlineMs);
const name = {
  type: 'string',
  pattern: STEP_NAME,
  description: 'One among all steps of the saga; expressions call it steps.<name>.',
};
const title = text('For people.', 200);
const when = expression('The step is skipped when this is false.');
const action = {
  type: 'string',
  minLength: 1,
  maxLength: 2 * LIMITS.actionNameChars + 1,
  description: 'Id of an action.',
};

const retry = {
  ...record(
    {
      max_attempts: {
        type: 'integer',
        minimum: 1,
        maximum: SAGA_LIMITS.attempts,
        description: 'All attempts, the first included.',
      },
      backoff_ms: { ...milliseconds('Before the second attempt; doubles.', LIMITS.maxDeadlineMs), default: 1_000 },
      max_backoff_ms: { ...milliseconds('At most between two attempts.', LIMITS.maxDeadlineMs), default: 60_000 },
    },
    ['max_attempts'],
  ),
  description: 'Attempts beside those that the action itself is worth to its runner.',
};

export const COMPENSATION = {
  ...record(
    {
      action,
      args: {
        ...args,
        description: `${args.description} \`args\` and \`output\` are those of the step that is undone.`,
        default: {},
      },
      deadline_ms: commandDeadline,
      retry,
      in_doubt: {
        enum: ['undo', 'skip', 'halt'],
        default: 'undo',
        description: 'What to do when nobody knows whether the step happened.',
      },
    },
    ['action'],
  ),
  description: 'What undoes the step.',
};

export const ACTION_STEP = record(
  {
    name,
    title,
    when,
    action,
    args: { ...args, default: {} },
    deadline_ms: commandDeadline,
    retry,
    ordering_key: {
      ...template('Commands with one key run one after the other; default: one key a saga, or a parallel branch.'),
      type: 'string',
      minLength: 1,
    },
    priority: { enum: [...PRIORITIES], description: 'Before which commands of other keys.' },
    compensation: { description: 'What undoes the step, or `none` when there is nothing to undo.' },
  },
  ['name', 'action'],
);

export const SUB_SAGA = record(
  {
    name,
    title,
    when,
    saga: { type: 'string', pattern: SAGA_ID, description: 'Id of the saga that runs as this step.' },
    input: { ...args, description: template('Its input.').description, default: {} },
  },
  ['name', 'saga'],
);

export const APPROVAL = record(
  {
    name,
    title,
    when,
    approval: { ...template('What the person is asked.'), type: 'string', minLength: 1 },
    approvers: {
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: LIMITS.nameChars },
      maxItems: 32,
      default: [],
      description: 'User ids and groups, any of which may answer; default: whoever may see the saga.',
    },
    deadline_ms: milliseconds('Until the saga fails for want of an answer.', SAGA_LIMITS.deadlineMs),
  },
  ['name', 'approval'],
);

const stepList = (items: object, description: string) => ({
  type: 'array',
  items,
  minItems: 1,
  maxItems: SAGA_LIMITS.steps,
  description,
});

/** The parts are held against schemas of their own: so a mistake is one of a step, and not of every kind of step. */
export const PARALLEL = record(
  { parallel: stepList({}, 'Branches that run side by side: a step each, or a list of steps.') },
  ['parallel'],
);

const sagaWith = (step: object) =>
  record(
    {
      id: { type: 'string', pattern: SAGA_ID, description: 'Name of the MCP tool that starts it: tool.method.' },
      version: { type: 'integer', minimum: 1, description: 'Counts up whenever what the saga does changes.' },
      title,
      description: text('What the tool does, for an AI client.'),
      input: {
        type: 'object',
        properties: { type: { const: 'object' } },
        required: ['type'],
        default: { type: 'object', properties: {}, additionalProperties: false },
        description: 'JSON Schema of the input.',
      },
      output_schema: {
        type: 'object',
        properties: { type: { const: 'object' } },
        required: ['type'],
        description: 'JSON Schema of the output.',
      },
      deadline_ms: {
        ...milliseconds('How long it may take; then what is done is undone.', SAGA_LIMITS.deadlineMs),
        default: 3_600_000,
      },
      steps: stepList(step, 'One after the other.'),
      output: { ...template('What the tool returns.'), type: 'object' },
    },
    ['id', 'version', 'description', 'steps'],
  );

export const SAGA_FILE = sagaWith({});

/** The whole, for editors. */
export function sagaDefinitionSchema(): object {
  const step = { $ref: '#/$defs/step' };
  const compensation = { oneOf: [{ const: 'none' }, { $ref: '#/$defs/compensation' }] };
  const actionProperties = { ...(ACTION_STEP['properties'] as object), compensation };
  const branch = { oneOf: [step, stepList(step, 'One after the other.')] };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Callboard saga definition',
    ...sagaWith(step),
    $defs: {
      step: {
        type: 'object',
        oneOf: ['action', 'saga', 'approval', 'parallel'].map((kind) => ({ $ref: `#/$defs/${kind}` })),
      },
      action: { ...ACTION_STEP, properties: actionProperties },
      compensation: COMPENSATION,
      saga: SUB_SAGA,
      approval: APPROVAL,
      parallel: { ...PARALLEL, properties: { parallel: stepList(branch, 'Branches that run side by side.') } },
    },
  };
}
