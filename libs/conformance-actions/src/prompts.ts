import { definePrompt, inputRequired, type ActionDefinition } from '@callboard/actions';
import { accepted, elicit } from './input-rounds.js';
import { PNG } from './media.js';

const user = (content: Record<string, unknown>) => ({ role: 'user', content });
const text = (words: string) => user({ type: 'text', text: words });

export const prompts: ActionDefinition[] = [
  definePrompt({
    name: 'test_simple_prompt',
    description: 'One message, no arguments',
    run: () => ({ messages: [text('This is a simple prompt for testing.')] }),
  }),

  definePrompt({
    name: 'test_prompt_with_arguments',
    description: 'One message made of two arguments',
    arguments: [
      { name: 'arg1', description: 'First argument', required: true, suggestions: ['paris', 'park', 'party'] },
      { name: 'arg2', description: 'Second argument', required: true },
    ],
    run: ({ arg1, arg2 }) => ({ messages: [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)] }),
  }),

  definePrompt({
    name: 'test_prompt_with_embedded_resource',
    description: 'A resource and a question about it',
    arguments: [{ name: 'resourceUri', description: 'URI of the resource', required: true }],
    run: ({ resourceUri }) => ({
      messages: [
        user({
          type: 'resource',
          resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
        }),
        text('Please process the embedded resource above.'),
      ],
    }),
  }),

  definePrompt({
    name: 'test_prompt_with_image',
    description: 'An image and a question about it',
    run: () => ({
      messages: [user({ type: 'image', data: PNG, mimeType: 'image/png' }), text('Please analyze the image above.')],
    }),
  }),

  definePrompt({
    name: 'test_input_required_result_prompt',
    description: 'Asks for its context first',
    run: (_, context) => {
      const answer = accepted(context, 'user_context')?.context;
      if (typeof answer === 'string') return { messages: [text(`Use this context: ${answer}`)] };
      const properties = { context: { type: 'string' } };
      return inputRequired({
        inputRequests: { user_context: elicit('What context should the prompt use?', properties, ['context']) },
      });
    },
  }),
];
