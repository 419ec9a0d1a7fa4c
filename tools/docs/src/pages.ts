/** Reading the documentation as data: which pages there are, their tables, their code, and the files of the repository. */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

const ROOT = new URL('../../../', import.meta.url);

/** Place of a file, by its path in the repository. */
export function inRepository(path: string): URL {
  return new URL(path, ROOT);
}

/** Made, fetched or kept beside the sources. */
const NOT_SOURCES = new Set(['node_modules', 'dist', 'coverage']);

/** Paths of the files of the repository, without what is built or installed. */
export function repositoryFiles(folder = ''): string[] {
  return readdirSync(inRepository(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}${entry.name}`;
    if (!entry.isDirectory()) return [path];
    return entry.name.startsWith('.') || NOT_SOURCES.has(entry.name) ? [] : repositoryFiles(`${path}/`);
  });
}

/** TypeScript of the product itself: neither specs nor what only specs use. */
export function productSources(): string[] {
  return repositoryFiles().filter(
    (path) =>
      /^(apps|libs)\/.*\.ts$/.test(path) &&
      !/(\.spec\.ts|\/spec-[^/]*)$/.test(path) &&
      !path.startsWith('libs/testing/'),
  );
}

export function readPage(path: string): Promise<string> {
  return readFile(inRepository(path), 'utf8');
}

/** What stands under a heading, down to the next heading of the same or a higher level. */
export function section(page: string, heading: string): string {
  const lines = page.split('\n');
  const begin = lines.indexOf(heading);
  if (begin < 0) throw new Error(`there is no heading "${heading}"`);
  const level = /^#+/.exec(heading)![0].length;
  const end = lines.findIndex((line, i) => i > begin && new RegExp(`^#{1,${level}} `).test(line));
  return lines.slice(begin + 1, end < 0 ? undefined : end).join('\n');
}

/** The rows of the first table of a text, cell by cell, without the head. */
export function firstTable(text: string): string[][] {
  const lines = text.split('\n');
  const begin = lines.findIndex((line) => line.startsWith('|'));
  if (begin < 0) return [];
  const table = lines.slice(begin);
  const end = table.findIndex((line) => !line.startsWith('|'));
  return table.slice(2, end < 0 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** The fenced blocks of a language. */
export function codeBlocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code]) => code!);
}

/** The text without its fenced blocks. */
export function withoutCode(page: string): string {
  return page.replace(/^```.*?^```$/gms, '');
}
