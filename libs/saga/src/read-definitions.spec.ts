import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import type { CatalogAction } from './catalog.js';
import { sagaDefinitionSchema } from './definition-schema.js';
import { readDefinitions, type ReadOptions } from './read-definitions.js';

const action = (id: string, properties: Record<string, unknown>, more: Partial<CatalogAction> = {}): CatalogAction => ({
  id,
  input_schema: { type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
  output_schema: { type: 'object', properties: { id: { type: 'string' } }, additionalProperties: false },
  attributes: { read_only: false, destructive: false, idempotent: true },
  deadline_ms: 30_000,
  ...more,
});
const text = { type: 'string' };
const CATALOG = new Map(
  [
    action('git.create', { name: text, stars: { type: 'integer' } }),
    action('git.delete', { id: text }, { attributes: { read_only: false, destructive: true, idempotent: false } }),
    action('catalog.register', { id: text }, { compensation: 'catalog.unregister' }),
    action('catalog.unregister', { args: {}, result: {} }),
  ].map((each) => [each.id, each]),
);

const HEAD = `id: services.create
version: 3
description: Creates a service.
input: { type: object, properties: { name: { type: string } } }
`;
const CREATE = `  - name: repository
    action: git.create
    args: { name: "\${{ input.name }}", stars: 1 }
`;

function read(yaml: string, options: ReadOptions = { catalog: CATALOG }) {
  return readDefinitions([{ path: 'sagas/a.yaml', text: yaml }], options);
}
const problems = (steps: string, rest = '') => read(`${HEAD}steps:\n${steps}${rest}`).problems;

describe('a definition', () => {
  it('is what a saga runs from: every default filled in', () => {
    const { definitions, problems, warnings } = read(`${HEAD}title: New service
steps:
${CREATE}    compensation: { action: git.delete, args: { id: "\${{ output.id }}" } }
  - parallel:
      - { name: register, action: catalog.register, args: { id: "\${{ steps.repository.output.id }}" } }
      - - { name: ask, approval: Shall it be public?, approvers: [sre], when: input.name != "x" }
output: { id: "\${{ steps.repository.output.id }}" }
`);
    expect([...problems, ...warnings]).toEqual([]);
    expect(definitions.get('services.create')).toEqual({
      definition_version: '1.0',
      id: 'services.create',
      version: 3,
      title: 'New service',
      description: 'Creates a service.',
      input_schema: { type: 'object', properties: { name: { type: 'string' } } },
      deadline_ms: 3_600_000,
      steps: [
        {
          kind: 'action',
          name: 'repository',
          action: 'git.create',
          args: { name: '${{ input.name }}', stars: 1 },
          deadline_ms: 30_000,
          compensation: {
            action: 'git.delete',
            args: { id: '${{ output.id }}' },
            deadline_ms: 30_000,
            retry: { max_attempts: 5, backoff_ms: 1_000, max_backoff_ms: 60_000 },
            in_doubt: 'undo',
          },
        },
        {
          kind: 'parallel',
          branches: [
            [
              {
                kind: 'action',
                name: 'register',
                action: 'catalog.register',
                args: { id: '${{ steps.repository.output.id }}' },
                deadline_ms: 30_000,
                compensation: {
                  action: 'catalog.unregister',
                  args: { args: '${{ args }}', result: '${{ output }}' },
                  deadline_ms: 30_000,
                  retry: { max_attempts: 5, backoff_ms: 1_000, max_backoff_ms: 60_000 },
                  in_doubt: 'undo',
                },
              },
            ],
            [
              {
                kind: 'approval',
                name: 'ask',
                when: 'input.name != "x"',
                prompt: 'Shall it be public?',
                approvers: ['sre'],
              },
            ],
          ],
        },
      ],
      output: { id: '${{ steps.repository.output.id }}' },
    });
  });

  it.each<[what: string, steps: string, problem: string]>([
    [
      'an action that nobody serves',
      '  - { name: a, action: git.creat }\n',
      'line 6: steps[0].action (step a) names git.creat, and no such action is registered; did you mean git.create?',
    ],
    [
      'an argument that the action does not take',
      '  - name: a\n    action: git.create\n    args:\n      name: x\n      stars: 1\n      star: 2\n',
      'line 11: steps[0].args.star (step a) is not taken; did you mean stars? (git.create)',
    ],
    [
      'an argument that is missing',
      '  - { name: a, action: git.create, args: { name: "${{ input.name }}" } }\n',
      'line 6: steps[0].args (step a) must have stars (git.create)',
    ],
    [
      'an argument of a wrong kind',
      '  - { name: a, action: git.create, args: { name: x, stars: many } }\n',
      'line 6: steps[0].args.stars (step a) must be integer (git.create)',
    ],
    [
      'text where a number belongs',
      '  - { name: a, action: git.create, args: { name: x, stars: "about ${{ 3 }}" } }\n',
      'line 6: steps[0].args.stars (step a) must be integer, and is string: a string with text around ${{ }} is always a text (git.create)',
    ],
    [
      'a step that is not before',
      '  - { name: a, action: git.delete, args: { id: "${{ steps.b.output.id }}" }, compensation: none }\n' +
        '  - { name: b, action: git.create, args: { name: x, stars: 1 } }\n',
      'line 6: steps[0].args.id (step a) names the step b, which is not before this one; no step is before it',
    ],
    [
      'a step of a branch beside',
      '  - parallel:\n      - { name: a, action: git.create, args: { name: x, stars: 1 } }\n' +
        '      - { name: b, action: git.delete, args: { id: "${{ steps.a.output.id }}" }, compensation: none }\n',
      'line 8: steps[0].parallel[1].args.id (step b) names the step a, which is not before this one; no step is before it',
    ],
    [
      'a member that a step does not return',
      `${CREATE}  - { name: b, action: git.delete, args: { id: "\${{ steps.repository.output.name }}" }, compensation: none }\n`,
      'line 9: steps[1].args.id (step b) names steps.repository.output.name, which is not known: known are id',
    ],
    [
      'an input that there is not',
      '  - { name: a, action: git.create, args: { name: "${{ input.nam }}", stars: 1 } }\n',
      'line 6: steps[0].args.name (step a) names input.nam, which is not known: known are name; did you mean name?',
    ],
    [
      'an expression that is none',
      '  - { name: a, when: input.name ==, action: git.create, args: { name: x, stars: 1 } }\n',
      'line 6: steps[0].when (step a) is not a CEL expression at character 14: Unexpected token: EOF',
    ],
    [
      'an expression that cannot be, by its kinds',
      '  - { name: a, action: git.create, args: { name: "${{ \'a\' + 1 }}", stars: 1 } }\n',
      'line 6: steps[0].args.name (step a) is not a CEL expression at character 5: no such overload: string + int',
    ],
    [
      'a condition that is no question',
      '  - { name: a, when: size(input.name), action: git.create, args: { name: x, stars: 1 } }\n',
      'line 6: steps[0].when (step a) must be true or false, and is int: compare it with something',
    ],
    [
      'two steps of one name',
      `${CREATE}${CREATE}`,
      'line 9: steps[1].name (step repository) is the name of another step too: give each its own',
    ],
    [
      'a name that expressions cannot have',
      '  - { name: in, action: git.create, args: { name: x, stars: 1 } }\n',
      'line 6: steps[0].name (step in) is a word that CEL keeps to itself: take another',
    ],
    [
      'a destructive step that nothing undoes',
      '  - { name: a, action: git.delete, args: { id: x } }\n',
      'line 6: steps[0] (step a) does git.delete, which is destructive, and nothing undoes it: write a compensation, or `compensation: none`',
    ],
    [
      'a key that is not known',
      '  - { name: a, action: git.create, arg: {} }\n',
      'line 6: steps[0] has a key arg that is not known; known keys: name, title, when, action, args, deadline_ms, retry, ordering_key, priority, compensation (step a)',
    ],
    [
      'a step that is of two kinds',
      '  - { name: a, action: git.create, approval: Well? }\n',
      'line 6: steps[0] must have one of action, saga, approval and parallel (step a)',
    ],
    [
      'a sub-saga that there is not',
      '  - { name: a, saga: services.creat }\n',
      'line 6: steps[0].saga (step a) names services.creat, and there is no such saga; did you mean services.create?',
    ],
    [
      'a saga within itself',
      '  - { name: a, saga: services.create }\n',
      'line 6: steps[0].saga (step a) leads back to itself (services.create → services.create): a saga cannot be a part of itself',
    ],
  ])('with %s is refused, with file, line, step and the way out', (_, steps, problem) => {
    expect(problems(steps)).toEqual([`sagas/a.yaml: ${problem}`]);
  });

  it('has all its mistakes told at once', () => {
    expect(
      problems('  - { name: a, action: nobody.knows }\n  - { name: b }\n', 'output: { x: "${{ steps.c }}" }\n'),
    ).toHaveLength(3);
  });

  it('with a destructive step that nothing undoes is told about, where policy says that this will do', () => {
    const yaml = `${HEAD}steps:\n  - { name: a, action: git.delete, args: { id: x } }\n`;
    const { definitions, problems, warnings } = read(yaml, { catalog: CATALOG, uncompensated: 'warn' });
    expect(problems).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('line 6: steps[0] (step a) does git.delete')]);
    expect(definitions.size).toBe(1);
  });

  it('with a sub-saga holds its steps; a mistake there is a mistake of both, and of nobody else', () => {
    const parent = (name: string, id: string) => ({
      path: `${name}.yaml`,
      text: `id: ${name}\nversion: 1\ndescription: d\nsteps:\n  - { name: sub, saga: ${id}, input: { name: x } }\n`,
    });
    const good = { path: 'good.yaml', text: `${HEAD}steps:\n${CREATE}` };
    const bad = {
      path: 'bad.yaml',
      text: `id: bad.one\nversion: 1\ndescription: d\ninput: { type: object }\nsteps:\n  - { name: a, action: no }\n`,
    };
    const files = [parent('one.good', 'services.create'), good, bad, parent('one.bad', 'bad.one')];
    const { definitions, problems } = readDefinitions(files, { catalog: CATALOG });
    expect([...definitions.keys()]).toEqual(['one.good', 'services.create']);
    expect(definitions.get('one.good')!.steps).toMatchObject([
      { kind: 'saga', name: 'sub', saga: 'services.create', version: 3, steps: [{ name: 'repository' }] },
    ]);
    expect(problems).toEqual([
      expect.stringContaining('bad.yaml: line 6: steps[0].action (step a) names no'),
      expect.stringContaining(
        'one.bad.yaml: line 5: steps[0].saga (step sub) names bad.one, whose definition has a mistake',
      ),
    ]);
  });
});

describe('the published schema', () => {
  const published = JSON.parse(
    readFileSync(new URL('../schema/saga-definition.schema.json', import.meta.url), 'utf8'),
  ) as object;
  const fits = new Ajv2020({ strict: false }).compile(published);

  it('is the one that definitions are read by', () => {
    // When this fails: node libs/saga/make-schema.mjs
    expect(published).toEqual(JSON.parse(JSON.stringify(sagaDefinitionSchema())));
  });

  it.each<[steps: string, valid: boolean]>([
    ['- { name: a, action: x.y }', true],
    ['- { name: a, action: x.y, compensation: none }', true],
    ['- { name: a, action: x.y, compensation: { action: x.z, in_doubt: halt, retry: { max_attempts: 3 } } }', true],
    ['- { name: a, approval: Well?, approvers: [sre], deadline_ms: 1000 }', true],
    ['- parallel: [{ name: a, action: x.y }, [{ name: b, action: x.y }, { name: c, approval: Well? }]]', true],
    ['- { name: a, action: x.y, compensation: nothing }', false],
    ['- { name: a, action: x.y, compensation: { args: {} } }', false],
    ['- { name: a, action: x.y, retry: { max_attempts: 0 } }', false],
    ['- { name: a, action: x.y, deadline_ms: 0 }', false],
    ['- { name: A, action: x.y }', false],
    ['- { name: a }', false],
    ['- { action: x.y }', false],
    ['- { name: a, action: x.y, saga: x }', false],
    ['- { name: a, approval: "" }', false],
    ['- parallel: []', false],
    ['- parallel: [[]]', false],
    ['- parallel: [{ name: a, action: x.y, more: 1 }]', false],
    ['- 1', false],
  ])('says of a step what the reader says: %s', (steps, valid) => {
    const yaml = `${HEAD}steps:\n  ${steps}\n`;
    expect(read(yaml, {}).problems.length === 0).toBe(valid);
    expect(fits(parse(yaml))).toBe(valid);
  });
});
