/** The folded form of a word: lower-case and without accents, as the lexicon has it. */

const SPECIAL: Record<string, string> = { ø: 'o', ł: 'l', đ: 'd', ı: 'i', ß: 'ss', æ: 'ae', œ: 'oe', ð: 'd', þ: 'th' };
/** Letters beyond ASCII and what they fold to, as far as they were met. */
const folds = new Map<number, string>();
const MOST_FOLDS = 4096;

export function fold(word: string): string {
  let plain = true;
  for (let i = 0; i < word.length; i++) {
    const code = word.charCodeAt(i);
    if (code > 127) return foldLetters(word);
    if (code >= 65 && code <= 90) plain = false;
  }
  return plain ? word : word.toLowerCase();
}

function foldLetters(word: string): string {
  let folded = '';
  for (const letter of word) {
    const point = letter.codePointAt(0)!;
    let made = folds.get(point);
    if (made === undefined) {
      const lower = letter.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
      made = Array.from(lower, (one) => SPECIAL[one] ?? one).join('');
      if (folds.size < MOST_FOLDS) folds.set(point, made);
    }
    folded += made;
  }
  return folded;
}
