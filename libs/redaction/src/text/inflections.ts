/** Names in the cases of Russian and Polish: "Юрия Лужкова", "Adama Mickiewicza". The lexicon has them in the nominative. */
import { FAMILY, GIVEN, kindOf } from './lexicon.js';

const RUSSIAN_FAMILY =
  /^.{2,}(?:[ое]в|[иы]н)(?:а|у|ым|ом|е|ои|ых|ы|ыми)?$|^.{2,}[сц]к(?:ии|ого|ому|им|ом|ая|ои|ую|ие|их|ими)$|^.{2,}(?:енко|ко|ук|юк|дзе|швили|ян)(?:а|у|ом|е)?$/;
const PATRONYMIC = /^.{3,}(?:[оеи]вич|[оеи]вн|ичн|ьич)(?:а|у|ем|е|ы|ои|ою)?$/;
const RUSSIAN_ENDINGS = [
  'ого',
  'ому',
  'ем',
  'ом',
  'ью',
  'ои',
  'еи',
  'ии',
  'ию',
  'ия',
  'а',
  'я',
  'у',
  'ю',
  'е',
  'ы',
  'и',
];
const RUSSIAN_NOMINATIVES = ['', 'а', 'я', 'и', 'ь', 'ии', 'ия'];
const POLISH_FAMILY = /^.{3,}(?:[sc]ki(?:ego|emu|m|ch)?|[sc]k(?:a|iej|ą)|wicz(?:a|owi|em|u)?|czyk(?:a|owi|iem)?)$/;
const POLISH_ENDINGS = ['owi', 'iem', 'em', 'ie', 'ego', 'emu', 'im', 'a', 'y', 'i', 'e', 'u'];
const POLISH_NOMINATIVES = ['', 'a', 'ek', 'ia'];
/** Shorter stems are stems of too much. */
const SHORTEST_STEM = 3;

/** What a folded word is when its case is undone, for a text in one of these languages; undefined for one in another. */
export function inflectedKind(text: string): ((folded: string) => number) | undefined {
  const head = text.slice(0, 4096);
  const kindOfOne = /\p{Script=Cyrillic}{3}/u.test(head) ? russian : /[ąęłśżźćń]/i.test(head) ? polish : undefined;
  if (kindOfOne === undefined) return undefined;
  const known = new Map<string, number>();
  return (folded) => {
    let kind = known.get(folded);
    if (kind === undefined) known.set(folded, (kind = kindOfOne(folded)));
    return kind;
  };
}

function russian(folded: string): number {
  if (PATRONYMIC.test(folded)) return GIVEN;
  const family = folded.length >= 5 && RUSSIAN_FAMILY.test(folded) ? FAMILY : 0;
  return family | stems(folded, RUSSIAN_ENDINGS, RUSSIAN_NOMINATIVES);
}

function polish(folded: string): number {
  const family = POLISH_FAMILY.test(folded) ? FAMILY : 0;
  return family | stems(folded, POLISH_ENDINGS, POLISH_NOMINATIVES);
}

function stems(folded: string, endings: readonly string[], nominatives: readonly string[]): number {
  let kind = 0;
  for (const ending of endings) {
    if (!folded.endsWith(ending) || folded.length - ending.length < SHORTEST_STEM) continue;
    const stem = folded.slice(0, -ending.length);
    for (const nominative of nominatives) kind |= kindOf(stem + nominative) & (GIVEN | FAMILY);
    if (kind !== 0) return kind;
  }
  return kind;
}
