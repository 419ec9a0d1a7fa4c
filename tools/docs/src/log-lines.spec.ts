/** The log lines in `docs/operations.md` against the sources, in both directions: whoever searches for a line finds what to do. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { firstTable, inRepository, productSources, readPage, section } from './pages.js';

/** `log.warn('…')`, `log.error({ … }, '…')`, and the helper `warn(log, '…')`. */
const LOGGED = /(?:\blog\.(?:warn|error)\(\s*(?:\{[^}]*\},\s*)?|\bwarn\(log, )'([^']+)'/g;

describe('docs/operations.md', () => {
  it('explains every warning and error that an app logs, and no line that none of them logs', async () => {
    const sources = productSources();
    const texts = await Promise.all(sources.map((path) => readFile(inRepository(path), 'utf8')));
    const logged = texts.flatMap((text) => [...text.matchAll(LOGGED)].map(([, message]) => message!));
    const rows = firstTable(section(await readPage('docs/operations.md'), '## Log lines'));
    const explained = rows.map(([line]) => line!.replaceAll('`', ''));
    expect(logged.length).toBeGreaterThan(0);
    expect(explained.sort()).toEqual([...new Set(logged)].sort());
  });
});
