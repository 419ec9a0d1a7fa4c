import { describe, expect, it } from '@jest/globals';
import { compile, evaluate, evaluateCondition, ExpressionError } from './expression.js';
import { fill } from './template.js';

const scope = { input: { count: 2, price: 1.5, name: 'web', list: [1, 2, 3] }, steps: { a: { output: { id: 'x' } } } };

describe('an expression', () => {
  it.each<[string, unknown]>([
    ['input.count + 1', 3],
    ['input.price * 2', 3],
    ['2 * input.price', 3],
    ['input.list.map(each, each * 2)', [2, 4, 6]],
    ['{"id": steps.a.output.id, "n": input.count}', { id: 'x', n: 2 }],
    ['has(input.other) ? 1 : 0', 0],
    ['"%{input.name}"', '%{input.name}'],
  ])('%s has the value %j', (source, value) => {
    expect(evaluate(source, scope)).toEqual(value);
  });

  it.each<[string, string]>([
    ['input.name.matches("(a+)+$")', 'uses matches, which is not offered'],
    ['cel.bind(x, input.list + input.list, x + x)', 'uses bind, which is not offered'],
    ['[1].map(a, [1].map(b, [1].map(c, c)))', 'nests more than 2 loops'],
    [`"${'x'.repeat(2_000)}"`, 'is longer than 2000 characters'],
  ])('that asks for too much is refused before it is evaluated: %s', (source, message) => {
    expect(() => compile(source)).toThrow(message);
  });

  it('goes through long lists, and through no list of lists that is too long', () => {
    const list = Array.from({ length: 1_000 }, (_, i) => i);
    expect(evaluate('size(input.filter(each, each > 9))', { input: list })).toBe(990);
    expect(() => evaluate('input.all(a, input.exists(b, a == b))', { input: list })).toThrow(
      'goes through too long a list',
    );
  });

  it('makes no value that is too large for a fact', () => {
    const input = { list: Array.from({ length: 1_000 }, () => 1), text: 'x'.repeat(1_000) };
    expect(() => evaluate('input.list.map(each, input.text)', { input })).toThrow('makes a value that is too large');
  });

  it('that meets a value of another kind fails without saying what the value is', () => {
    const meets = () => evaluate('input.secret + 1', { input: { secret: 'hunter2' } });
    expect(meets).toThrow(ExpressionError);
    expect(meets).not.toThrow(/hunter2/);
    expect(() => evaluateCondition('input.name', scope)).toThrow('is neither true nor false');
  });
});

describe('a template', () => {
  it('keeps the kind of a value that stands alone, and makes text of one among others', () => {
    const template = {
      n: '${{ input.count }}',
      text: 'n=${{ input.count }}, ${{ input.list }}',
      plain: ['as it is', 7, null],
    };
    expect(fill(template, scope)).toEqual({ n: 2, text: 'n=2, [1,2,3]', plain: ['as it is', 7, null] });
  });

  it('may hold maps, whose braces end no expression', () => {
    expect(fill('${{ {"a": {"b": 1}} }}', scope)).toEqual({ a: { b: 1 } });
  });

  it('does not read again what a value holds', () => {
    expect(fill('${{ input.name }}', { input: { name: '${{ steps.a.output.id }}' } })).toBe('${{ steps.a.output.id }}');
  });
});
