/** Tools that ask their caller for something before they can finish. */
import {
  defineAction,
  inputRequired,
  type ActionContext,
  type ActionDefinition,
  type Handler,
  type InputKind,
} from '@callboard/actions';
import { z } from 'zod';

type Content = Record<string, unknown>;

/** The content of an accepted elicitation; undefined when it is missing, declined or of another shape. */
export function accepted(context: ActionContext, key: string): Content | undefined {
  const answer = asObject(context.inputResponses[key]);
  return answer?.action === 'accept' ? asObject(answer.content) : undefined;
}

/** The text of a sampled message. */
function sampled(context: ActionContext, key: string): string | undefined {
  const content = asObject(asObject(context.inputResponses[key])?.content);
  return typeof content?.text === 'string' ? content.text : undefined;
}

function roots(context: ActionContext, key: string): { uri: string }[] | undefined {
  const list = asObject(context.inputResponses[key])?.roots;
  return Array.isArray(list) ? (list as { uri: string }[]) : undefined;
}

function asObject(value: unknown): Content | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Content) : undefined;
}

export function elicit(message: string, properties: Content, required?: string[]) {
  const requestedSchema = { type: 'object', properties, ...(required && { required }) };
  return { method: 'elicitation/create', params: { message, requestedSchema } };
}

function sample(text: string, maxTokens: number) {
  return {
    method: 'sampling/createMessage',
    params: { messages: [{ role: 'user', content: { type: 'text', text } }], maxTokens },
  };
}

const listRoots = { method: 'roots/list', params: {} };
const string = { type: 'string' };

function asking(id: string, description: string, run: Handler<Record<string, never>>): ActionDefinition {
  return defineAction({ id, description, input: z.object({}), attributes: { read_only: true }, run });
}

/** A tool that shows whatever the user answered to one form. */
function form(id: string, description: string, properties: Content): ActionDefinition {
  return asking(id, description, (_, context) => {
    const answer = asObject(context.inputResponses.form);
    if (!answer) return inputRequired({ inputRequests: { form: elicit(description, properties) } });
    return `Elicitation completed: action=${String(answer.action)}, content=${JSON.stringify(answer.content ?? {})}`;
  });
}

const titled = (...choices: [string, string][]) => choices.map(([value, title]) => ({ const: value, title }));

export const inputRounds: ActionDefinition[] = [
  defineAction({
    id: 'test_sampling',
    description: "Sends a prompt to the caller's model",
    input: z.object({ prompt: z.string() }),
    attributes: { read_only: true },
    requiresInput: ['sampling'],
    run: ({ prompt }, context) => {
      const text = sampled(context, 'reply');
      if (text === undefined) return inputRequired({ inputRequests: { reply: sample(prompt, 100) } });
      return `LLM response: ${text}`;
    },
  }),

  defineAction({
    id: 'test_elicitation',
    description: 'Asks the user for a name and an address',
    input: z.object({ message: z.string() }),
    attributes: { read_only: true },
    requiresInput: ['elicitation'],
    run: ({ message }, context) => {
      const answer = asObject(context.inputResponses.user);
      if (answer) {
        return `User response: action=${String(answer.action)}, content=${JSON.stringify(answer.content ?? {})}`;
      }
      const properties = {
        username: { type: 'string', description: "User's response" },
        email: { type: 'string', description: "User's email address" },
      };
      return inputRequired({ inputRequests: { user: elicit(message, properties, ['username', 'email']) } });
    },
  }),

  form('test_elicitation_sep1034_defaults', 'Asks with a default for every primitive type', {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  }),

  form('test_elicitation_sep1330_enums', 'Asks with every shape of an enumeration', {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: titled(['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']),
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: {
      type: 'array',
      items: { anyOf: titled(['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']) },
    },
  }),

  asking('test_input_required_result_elicitation', 'Asks for a name', (_, context) => {
    const name = accepted(context, 'user_name')?.name;
    if (typeof name === 'string') return `Hello, ${name}!`;
    return inputRequired({
      inputRequests: { user_name: elicit('What is your name?', { name: string }, ['name']) },
    });
  }),

  asking('test_input_required_result_sampling', "Asks the caller's model", (_, context) => {
    const text = sampled(context, 'capital_question');
    if (text !== undefined) return text;
    return inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } });
  }),

  asking('test_input_required_result_list_roots', "Asks for the caller's roots", (_, context) => {
    const list = roots(context, 'client_roots');
    if (list) return `Roots: ${list.map(({ uri }) => uri).join(', ')}`;
    return inputRequired({ inputRequests: { client_roots: listRoots } });
  }),

  asking('test_input_required_result_request_state', 'Asks, and remembers that it did', (_, context) => {
    if (accepted(context, 'confirm') && context.requestState === 'asked') return 'state-ok';
    return inputRequired({
      inputRequests: { confirm: elicit('Please confirm', { ok: { type: 'boolean' } }, ['ok']) },
      requestState: 'asked',
    });
  }),

  asking('test_input_required_result_tampered_state', 'Asks with a state that nobody may change', (_, context) => {
    if (accepted(context, 'confirm') && context.requestState === 'asked') return 'The state came back as it was';
    return inputRequired({
      inputRequests: { confirm: elicit('Please confirm', { ok: { type: 'boolean' } }, ['ok']) },
      requestState: 'asked',
    });
  }),

  asking('test_input_required_result_multiple_inputs', 'Asks three things at once', (_, context) => {
    const name = accepted(context, 'user_name')?.name;
    const greeting = sampled(context, 'greeting');
    const list = roots(context, 'client_roots');
    if (context.requestState === 'asked' && typeof name === 'string' && greeting !== undefined && list) {
      return `${greeting}, ${name}: ${list.length} roots`;
    }
    return inputRequired({
      inputRequests: {
        user_name: elicit('What is your name?', { name: string }, ['name']),
        greeting: sample('Generate a greeting', 50),
        client_roots: listRoots,
      },
      requestState: 'asked',
    });
  }),

  asking('test_input_required_result_multi_round', 'Asks one thing after the other', (_, context) => {
    const state = asObject(context.requestState === undefined ? undefined : JSON.parse(context.requestState));
    const name = state?.name ?? accepted(context, 'step1')?.name;
    if (state === undefined || typeof name !== 'string') {
      return inputRequired({
        inputRequests: { step1: elicit('Step 1: What is your name?', { name: string }, ['name']) },
        requestState: JSON.stringify({ step: 1 }),
      });
    }
    const color = accepted(context, 'step2')?.color;
    if (typeof color === 'string') return `${name} likes ${color}`;
    return inputRequired({
      inputRequests: { step2: elicit('Step 2: What is your favorite color?', { color: string }, ['color']) },
      requestState: JSON.stringify({ step: 2, name }),
    });
  }),

  asking('test_input_required_result_capabilities', 'Asks only what the caller can answer', (_, context) => {
    const answers = Object.keys(context.inputResponses);
    if (answers.length > 0) return `Answered: ${answers.join(', ')}`;
    const questions: Record<InputKind, { method: string; params: Content }> = {
      elicitation: elicit('What is your name?', { name: string }, ['name']),
      sampling: sample('Generate a greeting', 50),
      roots: listRoots,
    };
    const kinds = [...context.inputCapabilities];
    if (kinds.length === 0) return 'There is nothing that the caller could be asked';
    return inputRequired({ inputRequests: Object.fromEntries(kinds.map((kind) => [kind, questions[kind]])) });
  }),
];
