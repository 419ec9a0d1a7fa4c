/** The tests that `docs/guarantees.md` names as its evidence. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { inRepository, readPage } from './pages.js';

describe('docs/guarantees.md', () => {
  it('names tests that are there, under the titles that they have', async () => {
    const cited = [...(await readPage('docs/guarantees.md')).matchAll(/^- `([\w./-]+\.spec\.ts)`: (.+)$/gm)];
    const gone: string[] = [];
    for (const [, file, title] of cited) {
      if (!existsSync(inRepository(file!)) || !(await readPage(file!)).includes(title!)) gone.push(`${file}: ${title}`);
    }
    expect(cited.length).toBeGreaterThan(0);
    expect(gone).toEqual([]);
  });
});
