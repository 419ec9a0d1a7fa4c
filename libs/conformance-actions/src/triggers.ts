/** Tools that change what is served while it is served, so that clients are told. */
import { defineAction, definePrompt, type ActionDefinition, type ActionSet } from '@callboard/actions';
import { z } from 'zod';

const comesAndGoesTool = defineAction({
  id: 'test_dynamic_tool',
  description: 'Comes and goes with test_trigger_tool_change',
  input: z.object({}),
  attributes: { read_only: true },
  run: () => 'Here for now',
});

const comesAndGoesPrompt = definePrompt({
  name: 'test_dynamic_prompt',
  description: 'Comes and goes with test_trigger_prompt_change',
  run: () => ({ messages: [{ role: 'user', content: { type: 'text', text: 'Here for now' } }] }),
});

export function triggers(set: ActionSet): ActionDefinition[] {
  return [
    toggling(set, 'test_trigger_tool_change', comesAndGoesTool),
    toggling(set, 'test_trigger_prompt_change', comesAndGoesPrompt),
  ];
}

function toggling(set: ActionSet, id: string, subject: ActionDefinition): ActionDefinition {
  const subjectId = subject.descriptor.id;
  return defineAction({
    id,
    description: `Adds ${subjectId}, or removes it when it is there`,
    input: z.object({}),
    attributes: { destructive: false },
    run: () => {
      if (set.remove(subjectId)) return `Removed ${subjectId}`;
      set.add(subject);
      return `Added ${subjectId}`;
    },
  });
}
