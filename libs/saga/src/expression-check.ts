/**
 * Holds an expression against what there is when it is evaluated: the saga's input, the steps that have ended by then, and what they
 * return, as far as schemas tell.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import type { JsonObject } from '@callboard/envelope';
import { suggestion } from './catalog.js';
import { childrenOf, compile, ExpressionError } from './expression.js';
import { expressionsOf } from './template.js';

/** What expressions may name at a place. */
export interface Known {
  /** Schema of the input. */
  input: JsonObject;
  /** Steps that have ended by then, with the schema of what they return. */
  steps: Map<string, { output?: JsonObject }>;
  /** In a compensation: schemas of the arguments and the output of the step that it undoes. */
  own?: { args: JsonObject; output?: JsonObject };
}

type Place = readonly (string | number)[];

const STEP_MEMBERS = ['output', 'status'];
const SAGA_MEMBERS = ['id', 'tenant', 'user'];

export class ExpressionCheck {
  constructor(
    private readonly known: Known,
    private readonly report: (place: Place, what: string) => void,
  ) {}

  condition(source: string, place: Place): void {
    const type = this.#expression(source, place, 0);
    if (type !== undefined && type !== 'bool' && type !== 'dyn') {
      this.report(place, `must be true or false, and is ${type}: compare it with something`);
    }
  }

  template(template: unknown, place: Place): void {
    try {
      for (const { expression, place: at, offset } of expressionsOf(template)) {
        this.#expression(expression, [...place, ...at], offset);
      }
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.report(place, `${error.message}: write \${{ expression }}`);
    }
  }

  /** The kind of its value, or nothing when it is wrong. */
  #expression(source: string, place: Place, offset: number): string | undefined {
    try {
      const { ast, mistake, type } = compile(source);
      if (mistake) throw mistake;
      this.#names(ast, new Set(), place);
      return type;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const at = error.position === undefined ? '' : ` at character ${offset + error.position + 1}`;
      this.report(place, `is not a CEL expression${at}: ${error.message}`);
      return undefined;
    }
  }

  #names(node: ASTNode, own: ReadonlySet<string>, place: Place): void {
    const path = pathOf(node);
    if (path) {
      if (!own.has(path[0]!)) this.#path(path, place);
      return;
    }
    if (node.op === 'rcall') {
      const [name, subject, args] = node.args;
      this.#names(subject, own, place);
      const variable = LOOP_MACROS.has(name) && args.length > 1 && args[0]!.op === 'id' ? args[0]!.args : undefined;
      const inner = variable === undefined ? own : new Set([...own, variable]);
      for (const arg of variable === undefined ? args : args.slice(1)) this.#names(arg, inner, place);
      return;
    }
    for (const child of childrenOf(node.args)) this.#names(child, own, place);
  }

  #path([root, name, member, field]: readonly string[], place: Place): void {
    const { input, own } = this.known;
    const roots = ['input', 'steps', 'saga', ...(own ? ['args', 'output'] : [])];
    if (!roots.includes(root!)) {
      return this.report(
        place,
        `names ${root!}, which is not known: known are ${roots.join(', ')}${suggestion(root!, roots)}`,
      );
    }
    if (name === undefined) return;
    if (root === 'input') this.#member(input, name, 'input', place);
    if (root === 'args') this.#member(own!.args, name, 'args', place);
    if (root === 'output') this.#member(own!.output, name, 'output', place);
    if (root === 'saga' && !SAGA_MEMBERS.includes(name)) {
      this.report(place, `names saga.${name}, which is not known: known are ${SAGA_MEMBERS.join(', ')}`);
    }
    if (root === 'steps') this.#step(name, member, field, place);
  }

  #step(name: string, member: string | undefined, field: string | undefined, place: Place): void {
    const step = this.known.steps.get(name);
    if (!step) {
      const before = [...this.known.steps.keys()];
      const which =
        before.length > 0 ? `before it are ${before.join(', ')}${suggestion(name, before)}` : 'no step is before it';
      return this.report(place, `names the step ${name}, which is not before this one; ${which}`);
    }
    if (member === undefined) return;
    if (!STEP_MEMBERS.includes(member)) {
      return this.report(
        place,
        `names steps.${name}.${member}; a step has output and status: steps.${name}.output.${member}?`,
      );
    }
    if (member === 'output' && field !== undefined) this.#member(step.output, field, `steps.${name}.output`, place);
  }

  /** What a schema does not list is a mistake unless the schema says that there may be more. */
  #member(schema: JsonObject | undefined, name: string, of: string, place: Place): void {
    const { properties, additionalProperties } = schema ?? {};
    if (typeof properties !== 'object' || properties === null || name in properties) return;
    if (of === 'input' ? additionalProperties === true : additionalProperties !== false) return;
    const known = Object.keys(properties);
    this.report(
      place,
      `names ${of}.${name}, which is not known: known are ${known.join(', ')}${suggestion(name, known)}`,
    );
  }
}

const LOOP_MACROS = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** `a.b["c"]` as names; nothing when it does not begin with a name. */
function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === 'id') return [node.args];
  if (node.op === '.' || node.op === '.?') {
    const before = pathOf(node.args[0]);
    return before && [...before, node.args[1]];
  }
  if (node.op === '[]' && node.args[1].op === 'value' && typeof node.args[1].args === 'string') {
    const before = pathOf(node.args[0]);
    return before && [...before, node.args[1].args];
  }
  return undefined;
}
