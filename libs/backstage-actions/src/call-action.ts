/** `callboard:call`: a step of a software template that runs an action of Callboard and waits for its outcome. */
import type { TemplateAction } from '@backstage/plugin-scaffolder-node';
import type { CallboardConfig } from './config.js';
import { callDurably, CallFailed, textOf } from './durable-call.js';
import { StepRuns } from './step-runs.js';
import { userToken } from './user-token.js';

interface Input {
  tool: string;
  args?: Record<string, unknown>;
  orderingKey?: string;
  deadlineMs?: number;
  priority?: string;
  asUser?: boolean;
}

const EXAMPLE = `steps:
  - id: ticket
    action: callboard:call
    input:
      tool: tickets.open
      args:
        title: New service \${{ parameters.name }}
      orderingKey: \${{ parameters.name }}`;

export function callAction(callboard: CallboardConfig): TemplateAction {
  return {
    id: 'callboard:call',
    description:
      'Runs an action of Callboard as a durable command and waits for its outcome. However often the step is run, it is one command, until it has failed and somebody retries.',
    examples: [{ description: 'Open a ticket', example: EXAMPLE }],
    supportsDryRun: true,
    schema: {
      input: {
        type: 'object',
        properties: {
          tool: { type: 'string', title: 'Tool', description: 'As Callboard lists it: tickets.open' },
          args: { type: 'object', title: 'Arguments' },
          orderingKey: {
            type: 'string',
            title: 'Ordering key',
            description: 'Commands of one key run one after the other. Default: what the action says',
          },
          deadlineMs: { type: 'integer', minimum: 1, title: 'Deadline', description: 'Milliseconds from acceptance' },
          priority: { type: 'string', enum: ['high', 'normal', 'low'], title: 'Priority' },
          asUser: {
            type: 'boolean',
            title: 'As the user',
            description: 'Call with the token of whoever began the task, and not with that of the app-config',
          },
        },
        required: ['tool'],
        additionalProperties: false,
      },
      output: {
        type: 'object',
        properties: {
          result: { title: 'Structured result of the action, where it has one' },
          text: { type: 'string', title: 'Result of the action as text' },
          correlationId: { type: 'string', title: 'Name of the command in Callboard' },
        },
      },
    },
    handler: async (context) => {
      const { tool, args = {}, asUser, ...fields } = context.input as unknown as Input;
      const tell = (line: string) => context.logger.info(line);
      if (context.isDryRun) return tell(`A dry run does not call ${tool}`);
      const token = asUser ? userToken(await context.getInitiatorCredentials()) : callboard.token;
      const runs = await StepRuns.of(context);
      tell(`Calling ${tool}`);
      try {
        const { result, correlationId } = await callDurably(
          callboard,
          { tool, args, token, idempotencyKey: runs.key, ...fields },
          { tell, ...(context.signal && { signal: context.signal }) },
        );
        tell(`${tool} succeeded`);
        if (result.structuredContent !== undefined) context.output('result', result.structuredContent);
        context.output('text', textOf(result));
        context.output('correlationId', correlationId);
      } catch (error) {
        if (error instanceof CallFailed && error.ended) await runs.failed();
        throw error;
      }
    },
  };
}
