// Makes the word lists of this folder from the locale data of @faker-js/faker (MIT). They are checked in; run it only to renew them:
//   npm install --prefix /some/empty/folder @faker-js/faker@10.6.0
//   node make-word-lists.mjs /some/empty/folder
// Each list is lower-case words without accents, sorted, one a line.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(resolve(process.argv[2] ?? '.', 'x.js'));
const { allLocales } = await import(pathToFileURL(require.resolve('@faker-js/faker')));

const fold = (word) =>
  word
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(
      /[øłđıßæœðþ]/g,
      (c) => ({ ø: 'o', ł: 'l', đ: 'd', ı: 'i', ß: 'ss', æ: 'ae', œ: 'oe', ð: 'd', þ: 'th' })[c],
    );

/** All strings below a value: the locale data nests them by gender, weight or nothing. */
function* strings(value) {
  if (typeof value === 'string') yield value;
  else if (value && typeof value === 'object') for (const one of Object.values(value)) yield* strings(one);
}

function write(file, pick, min = 3) {
  const words = new Set();
  for (const [code, locale] of Object.entries(allLocales)) {
    for (const text of strings(pick(locale, code))) {
      for (const word of text.split(/[\s\-–/(),.'’]+/))
        if (/^\p{L}+$/u.test(word) && word.length >= min) words.add(fold(word));
    }
  }
  writeFileSync(new URL(file, import.meta.url), [...words].sort().join('\n') + '\n');
  console.log(file, words.size);
}

write('given-names.txt', (locale) => [locale.person?.first_name, locale.person?.middle_name]);
write('family-names.txt', (locale) => locale.person?.last_name);
write('places.txt', ({ location: l }) => [l?.city_name, l?.country, l?.state, l?.county], 4);
write('english-words.txt', (locale, code) => (code === 'en' ? Object.values(locale.word ?? {}) : []), 2);
