/** Where the documentation points: pages, headings and files that are really there. */
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { inRepository, readPage, repositoryFiles, withoutCode } from './pages.js';

const pages = repositoryFiles().filter((path) => path.endsWith('.md'));

/** The anchor that a renderer gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .replace(/^#+ /, '')
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

function anchorsOf(page: string): string[] {
  return withoutCode(page)
    .split('\n')
    .filter((line) => /^#+ /.test(line))
    .map(anchorOf);
}

async function isDeadLink(from: string, target: string): Promise<boolean> {
  const [path = '', anchor] = target.split('#', 2);
  const file = path === '' ? from : normalize(join(dirname(from), path));
  if (!existsSync(inRepository(file))) return true;
  return anchor !== undefined && !anchorsOf(await readPage(file)).includes(anchor);
}

describe('documentation', () => {
  it('has no dead link to a page, a heading or a file of this repository', async () => {
    const dead: string[] = [];
    for (const page of pages) {
      const targets = [...withoutCode(await readPage(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
      for (const target of targets.filter((candidate) => !/^[a-z]+:/.test(candidate))) {
        if (await isDeadLink(page, target)) dead.push(`${page}: ${target}`);
      }
    }
    expect(pages).toContain('README.md');
    expect(dead).toEqual([]);
  });

  it('names no source file that is not there', async () => {
    const gone: string[] = [];
    for (const page of pages) {
      const named = [
        ...(await readPage(page)).matchAll(/`((?:apps|libs|docs|deploy|tools(?!\/(?:call|list)`))\/[\w./-]+)`/g),
      ];
      for (const [, path] of named) if (!existsSync(inRepository(path!))) gone.push(`${page}: ${path}`);
    }
    expect(gone).toEqual([]);
  });
});
