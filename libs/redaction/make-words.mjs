// Makes dist/words.txt, the words that detectors know, from the locale data of @faker-js/faker (MIT). Part of the build: nothing of it is kept in
// the repository. A line is a word, in lower case and without accents, and a digit in base 32 that says what it is: bits of text/lexicon.ts.
// Made anew only when this file or faker changed.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const OUT = new URL('dist/words.txt', import.meta.url);
const GIVEN = 1;
const FAMILY = 2;
const PLACE = 4;
const ENGLISH = 8;
const OTHER = 16;

/** Locales whose words are told from names; those of others are names too often. */
const WITH_WORDS = new Set(['en', 'de', 'fr', 'pt_BR', 'da', 'nb_NO']);

const { version } = createRequire(import.meta.url)('@faker-js/faker/package.json');
const script = createHash('sha256')
  .update(readFileSync(new URL(import.meta.url)))
  .digest('hex');
const head = `# from @faker-js/faker ${version}, Copyright (c) 2022-2026 Faker, MIT License; made by make-words.mjs ${script.slice(0, 16)}`;

if (firstLine() !== head) {
  const { allLocales } = await import('@faker-js/faker');
  const words = wordsOf(allLocales);
  const lines = [...words].sort(([a], [b]) => (a < b ? -1 : 1)).map(([word, bits]) => word + bits.toString(32));
  mkdirSync(new URL('.', OUT), { recursive: true });
  writeFileSync(OUT, `${[head, ...lines].join('\n')}\n`);
  console.log(`libs/redaction: ${words.size} words`);
}

function firstLine() {
  try {
    return readFileSync(OUT, 'utf8').split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

function wordsOf(locales) {
  const words = new Map();
  // Of places, those of one word: "Saint Richard" does not make Richard a place.
  const add = (value, bit, shortest) => {
    for (const text of strings(value)) {
      if (bit === PLACE && /\s/.test(text)) continue;
      for (const word of text.split(/[\s\-–/(),.'’]+/)) {
        if (!/^\p{L}+$/u.test(word) || word.length < shortest) continue;
        const folded = fold(word);
        words.set(folded, (words.get(folded) ?? 0) | bit);
      }
    }
  };
  for (const [code, { person, location, word, lorem }] of Object.entries(locales)) {
    add([person?.first_name, person?.middle_name], GIVEN, 3);
    add(person?.last_name, FAMILY, 3);
    add([location?.city_name, location?.country, location?.state, location?.county], PLACE, 4);
    if (WITH_WORDS.has(code)) add(Object.values(word ?? {}), code === 'en' ? ENGLISH : OTHER, 2);
    // Filler text of most locales is Latin; of these it is their language.
    if (code === 'ru') add(lorem?.word, OTHER, 2);
  }
  return words;
}

/** All strings below a value: the locale data nests them by gender, weight or nothing. */
function* strings(value) {
  if (typeof value === 'string') yield value;
  else if (value && typeof value === 'object') for (const one of Object.values(value)) yield* strings(one);
}

/** As `fold` of text/words.ts does; it is not built yet when this runs. */
function fold(word) {
  return word
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(
      /[øłđıßæœðþ]/g,
      (c) => ({ ø: 'o', ł: 'l', đ: 'd', ı: 'i', ß: 'ss', æ: 'ae', œ: 'oe', ð: 'd', þ: 'th' })[c],
    );
}
