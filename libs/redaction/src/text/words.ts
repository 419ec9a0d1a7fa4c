/** A text as words, for what is recognised by its neighbours: names, addresses, words of context. */
import { isWordChar } from './chars.js';
import { fold } from './fold.js';
import { kindOf } from './lexicon.js';

export interface Word {
  start: number;
  end: number;
  text: string;
  folded: string;
  /** Begins with an upper-case letter. */
  capital: boolean;
  /** What the lexicon says of it: bits. */
  kind: number;
}

/** A word longer than this is no name and no word of a language; it is kept, but not folded. */
const LONGEST_WORD = 40;

export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (let i = 0; i < text.length;) {
    if (!isWordChar(text.charCodeAt(i))) {
      i++;
      continue;
    }
    const start = i;
    while (i < text.length && isWordChar(text.charCodeAt(i))) i++;
    const word = i - start > LONGEST_WORD ? '' : text.slice(start, i);
    const first = text.charCodeAt(start);
    const capital = first < 128 ? first >= 65 && first <= 90 : word !== '' && word[0] !== word[0]!.toLowerCase();
    const folded = fold(word);
    words.push({ start, end: i, text: word, folded, capital, kind: word === '' ? 0 : kindOf(folded) });
  }
  return words;
}
