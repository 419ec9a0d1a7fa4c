import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, defineAction, type ActionContext, type ActionDefinition, type Handler } from '@callboard/actions';
import { z } from 'zod';
import { PNG, WAV } from './media.js';

const STEP_MS = 50;
/** Long enough for the front end to let go of the stream first. */
const RECONNECTION_MS = 1_000;

const pause = (context: ActionContext, ms: number) => sleep(ms, undefined, { signal: context.signal });

function tool(id: string, description: string, run: Handler<Record<string, never>>): ActionDefinition {
  return defineAction({ id, description, input: z.object({}), attributes: { read_only: true }, run });
}

export const tools: ActionDefinition[] = [
  tool('test_simple_text', 'Returns one text', () => 'This is a simple text response for testing.'),

  tool('test_image_content', 'Returns one image', () => ({
    content: [{ type: 'image', data: PNG, mimeType: 'image/png' }],
  })),

  tool('test_audio_content', 'Returns one sound', () => ({
    content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }],
  })),

  tool('test_embedded_resource', 'Returns one embedded resource', () => ({
    content: [
      {
        type: 'resource',
        resource: {
          uri: 'test://embedded-resource',
          mimeType: 'text/plain',
          text: 'This is an embedded resource content.',
        },
      },
    ],
  })),

  tool('test_multiple_content_types', 'Returns text, an image and an embedded resource', () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      { type: 'image', data: PNG, mimeType: 'image/png' },
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: JSON.stringify({ test: 'data', value: 123 }),
        },
      },
    ],
  })),

  tool('test_error_handling', 'Always fails', () => {
    throw new ActionError('This tool intentionally returns an error for testing');
  }),

  tool('test_tool_with_progress', 'Reports progress three times', async (_, context) => {
    context.progress(0, 100);
    await pause(context, STEP_MS);
    context.progress(50, 100);
    await pause(context, STEP_MS);
    context.progress(100, 100);
    return 'Done, with progress';
  }),

  tool('test_tool_with_logging', 'Logs three times', async (_, context) => {
    context.log('info', 'Tool execution started');
    await pause(context, STEP_MS);
    context.log('info', 'Tool processing data');
    await pause(context, STEP_MS);
    context.log('info', 'Tool execution completed');
    return 'Done, with logging';
  }),

  tool('test_logging_tool', 'Logs once, for callers that asked for log messages', (_, context) => {
    context.log('info', 'A message that only callers with a log level may see');
    return 'Done';
  }),

  tool('test_streaming_elicitation', 'Answers at once, without asking anything back', () => 'Done'),

  defineAction({
    id: 'test_missing_capability',
    description: 'Only for callers that can sample',
    input: z.object({}),
    attributes: { read_only: true },
    requiresInput: ['sampling'],
    run: () => 'The caller can sample',
  }),

  defineAction({
    id: 'test_reconnection',
    description: 'Takes long enough that its caller comes back for the result',
    input: z.object({}),
    attributes: { read_only: true },
    longRunning: true,
    run: async (_, context) => {
      await pause(context, RECONNECTION_MS);
      return 'Delivered after the reconnection';
    },
  }),

  defineAction({
    id: 'test_x_mcp_header',
    description: 'Has an argument that is mirrored in a header',
    input: {
      type: 'object',
      properties: { region: { type: 'string', description: 'Mirrored in Mcp-Param-Region', 'x-mcp-header': 'Region' } },
      required: ['region'],
    },
    attributes: { read_only: true },
    run: ({ region }) => `Region: ${String(region)}`,
  }),

  defineAction({
    id: 'json_schema_2020_12_tool',
    description: 'Has an input schema with the vocabulary of JSON Schema 2020-12',
    input: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: {
        address: {
          $anchor: 'addressDef',
          type: 'object',
          properties: { street: { type: 'string' }, city: { type: 'string' } },
        },
      },
      properties: {
        name: { type: 'string' },
        address: { $ref: '#/$defs/address' },
        contactMethod: { type: 'string', enum: ['phone', 'email'] },
        phone: { type: 'string' },
        email: { type: 'string' },
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
    attributes: { read_only: true },
    run: () => 'The arguments fit the schema',
  }),
];
