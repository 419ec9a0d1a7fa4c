import type { InputKind } from './descriptor.js';

const KIND_OF = new Map<string, InputKind>([
  ['elicitation/create', 'elicitation'],
  ['sampling/createMessage', 'sampling'],
  ['roots/list', 'roots'],
]);

/** The kind of input that a question of this MCP method asks for; `undefined` for a method that asks for none. */
export function inputKindOf(method: string): InputKind | undefined {
  return KIND_OF.get(method);
}
