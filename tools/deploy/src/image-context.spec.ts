import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { closureOf, type Locked } from './image-context.js';
import { IMAGES, inRepository } from './repository.js';

describe('what an image holds', () => {
  it('is the app, those of our libs that it uses, and the packages that they find, nearest first', () => {
    const locked: Locked = {
      'apps/one': { dependencies: { ours: '*', a: '1' } },
      'node_modules/ours': { link: true, resolved: 'libs/ours' },
      'libs/ours': { dependencies: { a: '2' }, peerDependencies: { c: '1' } },
      'libs/ours/node_modules/a': { dependencies: { b: '1' } },
      'node_modules/a': {},
      'node_modules/b': { optionalDependencies: { native: '1', absent: '1' } },
      'node_modules/native': { optional: true },
      'node_modules/c': { peerDependencies: { d: '1' }, peerDependenciesMeta: { d: { optional: true } } },
      'node_modules/d': {},
      'node_modules/unused': {},
    };
    expect(closureOf('one', locked)).toEqual([
      'apps/one',
      'libs/ours',
      'libs/ours/node_modules/a',
      'node_modules/a',
      'node_modules/b',
      'node_modules/c',
      'node_modules/native',
      'node_modules/ours',
    ]);
  });

  it('cannot be told where the lock file lacks something that is needed', () => {
    const locked: Locked = { 'apps/one': { dependencies: { gone: '1' } } };
    expect(() => closureOf('one', locked)).toThrow('apps/one needs gone, which the lock file does not have');
  });

  it('is nothing that tests or builds', async () => {
    const { packages } = JSON.parse(await readFile(inRepository('package-lock.json'), 'utf8')) as { packages: Locked };
    for (const app of IMAGES) {
      const closure = closureOf(app, packages);
      for (const tool of ['jest', 'typescript', 'eslint', 'nx', '@callboard/testing']) {
        expect(closure).not.toContain(`node_modules/${tool}`);
      }
    }
  });
});
