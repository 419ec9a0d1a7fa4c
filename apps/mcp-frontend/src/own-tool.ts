import type { RegisteredAction } from '@callboard/actions';

type Described = Pick<
  RegisteredAction,
  'id' | 'title' | 'description' | 'input_schema' | 'output_schema' | 'attributes' | 'deadline_ms'
>;

/** A tool that the front end serves itself: listed like an action, and never a command. */
export function ownTool(described: Described): RegisteredAction {
  return {
    ...described,
    retry: { max_attempts: 1, backoff_ms: 0, max_backoff_ms: 0 },
    ordering: 'none',
    task: 'never',
    surface: { kind: 'tool' },
    service: 'callboard',
    instances: 1,
  };
}
