/**
 * CEL, the language of conditions and of what stands in templates. Every expression ends: there are no loops but those over a list, and how
 * deep those nest, how large the lists are and how large a result is, is bounded. `matches` is refused, since a regular expression on a text
 * from outside can take for ever here, and `cel.bind`, with which a short expression doubles a list twenty times.
 *
 * A whole number of JSON is CEL's `int`, any other one its `double`; both may be mixed in a sum. What an expression says of a value is never in
 * an error: only which expression, and what kind of mistake.
 */
import { Environment, type ASTNode } from '@marcbachmann/cel-js';
import { SAGA_LIMITS } from './limits.js';

/** What an expression may name. */
export type Scope = Readonly<Record<string, unknown>>;

export class ExpressionError extends Error {
  override readonly name = 'ExpressionError';
  constructor(
    message: string,
    /** Characters from the beginning of the expression. */
    readonly position?: number,
  ) {
    super(message);
  }
}

/** Most turns of nested loops together. */
const MOST_TURNS = 100_000;
const MOST_NESTED_LOOPS = 2;
const LOOPS = new Set([
  'all',
  'exists',
  'exists_one',
  'map',
  'filter',
  'transformList',
  'transformMap',
  'transformMapEntry',
]);
const NOT_OFFERED: Readonly<Record<string, string>> = {
  matches: 'use startsWith, endsWith or contains',
  bind: 'write what it stands for',
};
/** Compiled expressions that are kept. */
const MOST_KEPT = 1_000;

const environment = withMixedNumbers(
  new Environment({
    unlistedVariablesAreDyn: true,
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits: { maxAstNodes: 500, maxDepth: 50, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 16 },
  }),
);

export interface Compiled {
  run: (scope: Record<string, unknown>) => unknown;
  ast: ASTNode;
  loops: number;
  /** A kind of value that cannot go where it is put, as far as the expression alone shows it. */
  mistake?: ExpressionError;
  /** CEL's name for the kind of its value; `dyn` when that cannot be known. */
  type: string;
}

const kept = new Map<string, Compiled>();

/** @throws ExpressionError when it is not CEL, or asks for more than is allowed. */
export function compile(source: string): Compiled {
  const known = kept.get(source);
  if (known) return known;
  if (source.length > SAGA_LIMITS.expressionChars) {
    throw new ExpressionError(`is longer than ${SAGA_LIMITS.expressionChars} characters`);
  }
  const parsed = asExpressionError(() => environment.parse(source));
  const loops = deepestLoops(parsed.ast);
  if (loops > MOST_NESTED_LOOPS) throw new ExpressionError(`nests more than ${MOST_NESTED_LOOPS} loops`);
  const { valid, type = 'dyn', error } = parsed.check();
  const compiled: Compiled = {
    run: parsed,
    ast: parsed.ast,
    loops,
    type,
    ...(!valid && { mistake: new ExpressionError(error?.summary ?? 'mixes kinds of values', error?.range?.start) }),
  };
  if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value!);
  kept.set(source, compiled);
  return compiled;
}

/**
 * The value of an expression, as JSON.
 * @throws ExpressionError
 */
export function evaluate(source: string, scope: Scope): unknown {
  const { run, loops } = compile(source);
  const counted = { elements: 0 };
  const values = toCel(scope, counted) as Record<string, unknown>;
  if (loops > 0 && counted.elements ** loops > MOST_TURNS) throw new ExpressionError('goes through too long a list');
  const value = asExpressionError(() => run(values));
  return toJson(value, { bytes: 0 });
}

/** @throws ExpressionError, also when it is neither true nor false. */
export function evaluateCondition(source: string, scope: Scope): boolean {
  const value = evaluate(source, scope);
  if (typeof value !== 'boolean') throw new ExpressionError('is neither true nor false');
  return value;
}

function asExpressionError<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const { summary, range } = error as { summary?: unknown; range?: { start: number } };
    const what = typeof summary === 'string' ? summary : 'cannot be evaluated';
    throw new ExpressionError(what, range?.start);
  }
}

/** The nodes right below one. */
export function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf);
  return args !== null && typeof args === 'object' && 'op' in args ? [args as ASTNode] : [];
}

function deepestLoops(node: ASTNode): number {
  const name = node.op === 'rcall' ? node.args[0] : node.op === 'call' ? node.args[0] : undefined;
  const instead = NOT_OFFERED[String(name)];
  if (instead) throw new ExpressionError(`uses ${String(name)}, which is not offered: ${instead}`, node.start);
  const below = Math.max(0, ...childrenOf(node.args).map(deepestLoops));
  return node.op === 'rcall' && LOOPS.has(node.args[0]) ? below + 1 : below;
}

/** JSON's whole numbers become CEL's; counts what is in lists and maps. */
function toCel(value: unknown, counted: { elements: number }): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (value === undefined) return null;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    counted.elements += value.length;
    return value.map((element) => toCel(element, counted));
  }
  const entries = Object.entries(value);
  counted.elements += entries.length;
  return new Map(entries.map(([name, member]) => [name, toCel(member, counted)]));
}

function toJson(value: unknown, written: { bytes: number }): unknown {
  written.bytes += typeof value === 'string' ? value.length + 2 : 8;
  if (written.bytes > SAGA_LIMITS.valueBytes) throw new ExpressionError('makes a value that is too large');
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'bigint') {
    if (!Number.isSafeInteger(Number(value))) throw new ExpressionError('makes a number that JSON cannot hold');
    return Number(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new ExpressionError('makes a number that JSON cannot hold');
    return value;
  }
  if (Array.isArray(value)) return value.map((element) => toJson(element, written));
  const entries = value instanceof Map ? [...value.entries()] : plainEntries(value);
  if (!entries) throw new ExpressionError('makes a value that JSON has not');
  return Object.fromEntries(
    entries.map(([name, member]) => {
      if (typeof name !== 'string') throw new ExpressionError('makes a map whose keys are no text');
      written.bytes += name.length + 3;
      return [name, toJson(member, written)];
    }),
  );
}

function plainEntries(value: unknown): [unknown, unknown][] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : undefined;
}

function withMixedNumbers(plain: Environment): Environment {
  const operators: Record<string, (a: number, b: number) => number> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
  };
  for (const [name, operate] of Object.entries(operators)) {
    plain.registerOperator(`double ${name} int: double`, (a: number, b: bigint) => operate(a, Number(b)));
    plain.registerOperator(`int ${name} double: double`, (a: bigint, b: number) => operate(Number(a), b));
  }
  return plain;
}
