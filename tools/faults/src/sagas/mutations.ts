/** Faults in the ways of sagas: `npm run faults -- sagas --mutation all --small`. */
import type { Mutation } from '../mutations.js';

export const SAGA_MUTATIONS: readonly Mutation[] = [
  {
    name: 'undo-forwards',
    what: 'the step that ended first is undone first',
    file: 'libs/saga/dist/state.js',
    find: '.sort((a, b) => state.steps[b].ended - state.steps[a].ended)',
    replace: '.sort((a, b) => state.steps[a].ended - state.steps[b].ended)',
  },
  {
    name: 'forgotten-step',
    what: 'a step that is done is forgotten when its saga is undone',
    file: 'libs/saga/dist/decide.js',
    find: 'const undo = undoOf(state, path, step, output);',
    replace: "const undo = path === 's1' ? undefined : undoOf(state, path, step, output);",
  },
];
