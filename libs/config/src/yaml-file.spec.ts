import { describe, expect, it } from '@jest/globals';
import { YamlFile, httpUrl, record, shapeOf } from './yaml-file.js';

class Mistake extends Error {}

const SHAPE = shapeOf<{ servers: { url: string; tries: number; mode?: string }[] }>(
  record({
    servers: {
      type: 'array',
      items: record({ url: httpUrl, tries: { type: 'integer', default: 3 }, mode: { enum: ['fast', 'safe'] } }, [
        'url',
      ]),
    },
  }),
);

const read = (text: string) => YamlFile.parse(text, '/etc/x.yaml', Mistake).check(SHAPE);
const mistakeIn = (text: string): string => {
  try {
    read(text);
  } catch (error) {
    expect(error).toBeInstanceOf(Mistake);
    return (error as Error).message;
  }
  throw new Error('it was accepted');
};

describe('a YAML file', () => {
  it('is the value that it holds, with its defaults filled in', () => {
    expect(read('servers:\n  - url: https://a.example')).toEqual({ servers: [{ url: 'https://a.example', tries: 3 }] });
  });

  it('may be checked part by part', () => {
    const file = YamlFile.parse('a: { b: [1, two] }', '/etc/x.yaml', Mistake);
    expect(file.check(shapeOf<number>({ type: 'integer' }), ['a', 'b', 0])).toBe(1);
    expect(() => file.check(shapeOf<number>({ type: 'integer' }), ['a', 'b', 1])).toThrow('a.b[1] must be integer');
  });

  it.each([
    ['servers:\n  - url: a: b', 2, ''],
    ['a: 1\na: 2', 2, ''],
    ['servers:\n  - tries: 1', 2, 'servers[0] must have url'],
    [
      'servers:\n  - url: https://a\n    tires: 1',
      2,
      'servers[0] has a key tires that is not known; known keys: url, tries, mode',
    ],
    ['servers:\n  - url: https://a\n    tries: hunter2', 3, 'servers[0].tries must be integer'],
    ['servers:\n\n  - url: hunter2', 3, 'servers[0].url must be an http or https URL'],
    ['servers:\n  - url: https://a\n    mode: hunter2', 3, 'servers[0].mode must be one of fast, safe'],
    ['- hunter2', 1, 'the file must be object'],
  ])(
    'that is wrong is refused with the line, the place and what belongs there, and never what is there: %j',
    (text, line, what) => {
      expect(mistakeIn(text)).toMatch(new RegExp(`^/etc/x\\.yaml: line ${line}: `));
      expect(mistakeIn(text)).toContain(what);
      expect(mistakeIn(text)).not.toContain('hunter2');
    },
  );

  it('has its line for what the reader finds wrong by itself', () => {
    const file = YamlFile.parse('a:\n  b: 1\n', '/etc/x.yaml', Mistake);
    expect(file.mistake(['a', 'b'], 'is too small').message).toBe('/etc/x.yaml: line 2: a.b is too small');
    expect(file.mistake(['a', 'c'], 'is missing').message).toBe('/etc/x.yaml: line 2: a.c is missing');
  });
});
