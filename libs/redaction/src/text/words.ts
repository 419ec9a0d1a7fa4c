/**
 * A text as words, for what is recognised by its neighbours: names, addresses, words of context.
 *
 * The folded form of a word is lower-case and without accents, as the word lists have it.
 */
import { isWordChar } from './chars.js';

export interface Word {
  start: number;
  end: number;
  text: string;
  folded: string;
  /** Begins with an upper-case letter. */
  capital: boolean;
}

const SPECIAL: Record<string, string> = { ø: 'o', ł: 'l', đ: 'd', ı: 'i', ß: 'ss', æ: 'ae', œ: 'oe', ð: 'd', þ: 'th' };

export function fold(word: string): string {
  let ascii = true;
  for (let i = 0; i < word.length && ascii; i++) ascii = word.charCodeAt(i) < 128;
  if (ascii) return word.toLowerCase();
  return word
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[øłđıßæœðþ]/g, (letter) => SPECIAL[letter]!);
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
    words.push({ start, end: i, text: word, folded: fold(word), capital });
  }
  return words;
}
