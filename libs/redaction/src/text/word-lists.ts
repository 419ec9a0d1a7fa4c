/** The word lists of `data/`, read once, when the first text with a capitalised word is looked at. */
import { readFileSync } from 'node:fs';

function lazy(file: string): () => ReadonlySet<string> {
  let words: Set<string> | undefined;
  return () =>
    (words ??= new Set(
      readFileSync(new URL(`../../data/${file}`, import.meta.url), 'utf8')
        .split('\n')
        .filter((word) => word !== ''),
    ));
}

export const givenNames = lazy('given-names.txt');
export const familyNames = lazy('family-names.txt');
export const places = lazy('places.txt');
export const englishWords = lazy('english-words.txt');
