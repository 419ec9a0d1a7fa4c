/** Templates: JSON with `${{ expression }}` in its strings. */
import { compile, evaluate, ExpressionError, type Scope } from './expression.js';
import type { Template } from './definition.js';
import { SAGA_LIMITS } from './limits.js';

/** A part of a string: text as it is, or an expression with the number of characters before it. */
type Part = { text: string } | { expression: string; offset: number };

/** An expression of a template, and where in the template it stands. */
export interface PlacedExpression {
  expression: string;
  place: (string | number)[];
  /** Characters of the string before the expression. */
  offset: number;
}

/** The JSON that a template makes. @throws ExpressionError */
export function fill(template: Template, scope: Scope): unknown {
  const value = filled(template, scope);
  if (bytesOf(value) > SAGA_LIMITS.valueBytes) throw new ExpressionError('makes a value that is too large');
  return value;
}

function filled(template: Template, scope: Scope): unknown {
  if (typeof template === 'string') return fillText(template, scope);
  if (Array.isArray(template)) return template.map((element) => filled(element, scope));
  if (template === null || typeof template !== 'object') return template;
  return Object.fromEntries(Object.entries(template).map(([name, member]) => [name, filled(member, scope)]));
}

function fillText(text: string, scope: Scope): unknown {
  const parts = partsOf(text);
  const [only] = parts;
  if (parts.length === 1 && only && 'expression' in only) return evaluate(only.expression, scope);
  return parts.map((part) => ('text' in part ? part.text : asText(evaluate(part.expression, scope)))).join('');
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Every expression of a template. @throws ExpressionError when a `${{` has no end. */
export function expressionsOf(template: Template, place: (string | number)[] = []): PlacedExpression[] {
  if (typeof template === 'string') {
    return partsOf(template).flatMap((part) => ('text' in part ? [] : [{ ...part, place }]));
  }
  if (template === null || typeof template !== 'object') return [];
  return Object.entries(template).flatMap(([name, member]) =>
    expressionsOf(member, [...place, Array.isArray(template) ? Number(name) : name]),
  );
}

/** Is the whole string one expression, so that its value may be of any type? */
export function isExpression(text: string): boolean {
  const parts = partsOf(text);
  return parts.length === 1 && 'expression' in parts[0]!;
}

function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf('${{', at);
    if (open < 0) break;
    const close = closingOf(text, open + 3);
    if (close < 0) throw new ExpressionError('has a ${{ without }}', open);
    if (open > at) parts.push({ text: text.slice(at, open) });
    parts.push({ expression: text.slice(open + 3, close), offset: open + 3 });
    at = close + 2;
  }
  if (at < text.length || parts.length === 0) parts.push({ text: text.slice(at) });
  return parts;
}

/** The first `}}` with which what comes before is an expression: maps of CEL end in braces too. */
function closingOf(text: string, from: number): number {
  let first = -1;
  for (let close = text.indexOf('}}', from); close >= 0; close = text.indexOf('}}', close + 1)) {
    if (first < 0) first = close;
    try {
      compile(text.slice(from, close));
      return close;
    } catch {
      // Perhaps a later one.
    }
  }
  return first;
}

export function bytesOf(value: unknown): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}
