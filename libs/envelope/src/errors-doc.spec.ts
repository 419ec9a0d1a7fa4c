import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { ERROR_CODES, type ErrorKind } from './errors.js';

const PAGE = new URL('../../../docs/errors.md', import.meta.url);

interface Row extends ErrorKind {
  advice: string;
}

/** The rows of the page's first table, by code. */
async function documented(): Promise<Map<string, Row>> {
  const lines = (await readFile(PAGE, 'utf8')).split('\n');
  const begin = lines.findIndex((line) => /^\| code\s/.test(line));
  const rows = new Map<string, Row>();
  for (const line of lines.slice(begin + 2)) {
    if (!line.startsWith('|')) break;
    const [code = '', title = '', retryable, status, advice = ''] = line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim());
    const name = code.replaceAll('`', '');
    if (rows.has(name)) throw new Error(`docs/errors.md has two rows for ${name}`);
    rows.set(name, { title, retryable: retryable === 'yes', httpStatus: Number(status), advice });
  }
  return rows;
}

describe('docs/errors.md', () => {
  it('has a row for every error code, and no row for any other', async () => {
    expect([...(await documented()).keys()].sort()).toEqual(Object.keys(ERROR_CODES).sort());
  });

  it('says of every code what the code says: meaning, whether to retry, HTTP status', async () => {
    const said = [...(await documented())].map(([code, { title, retryable, httpStatus }]) => [
      code,
      { title, retryable, httpStatus },
    ]);
    expect(Object.fromEntries(said)).toEqual(ERROR_CODES);
  });

  it('tells the reader what to do about every code', async () => {
    const silent = [...(await documented())].filter(([, { advice }]) => advice === '').map(([code]) => code);
    expect(silent).toEqual([]);
  });
});
