/** The tests that the documentation names as its evidence. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { inRepository, readPage, repositoryFiles } from './pages.js';

const CITATION = /^- `([\w./-]+\.spec\.ts)`: (.+?)(?: \(no Backstage\))?$/gm;

describe('documentation', () => {
  it('names tests that are there, under the titles that they have', async () => {
    const cited: { page: string; file: string; title: string }[] = [];
    for (const page of repositoryFiles().filter((path) => path.endsWith('.md'))) {
      for (const [, file, title] of (await readPage(page)).matchAll(CITATION)) {
        cited.push({ page, file: file!, title: title! });
      }
    }
    const gone: typeof cited = [];
    for (const citation of cited) {
      const { file, title } = citation;
      if (!existsSync(inRepository(file)) || !(await readPage(file)).includes(title)) gone.push(citation);
    }
    const pages = new Set(cited.map(({ page }) => page));
    expect([...pages]).toEqual(expect.arrayContaining(['docs/guarantees.md', 'docs/integration-points.md']));
    expect(gone).toEqual([]);
  });
});
