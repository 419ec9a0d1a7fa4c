/** What stands in front of a name: "my name is", "signed by", "Dear", in the languages that names are looked for in. */
import { fold } from '../text/fold.js';
import type { Word } from '../text/words.js';

/** Enough for a word that nothing is known of. */
const STRONG = phrases(`
  name is|name was|name s|named him|named her|named them|named it|call me|calls me|called me|called him|called her|i am|i m|this is|maiden name|
  named|name to|follow up with|speak with|spoke with|speaking with|talk to|talked to|speak to|spoke to|assigned to|married to|married|reports to|belongs to|
  written by|directed by|signed by|reviewed by|approved by|authored by|acked by|tested by|reported by|submitted by|created by|opened by|closed by|merged by|
  requested by|triggered by|deployed by|posted by|changed by|owned by|led by|founded by|painted by|composed by|sung by|edited by|produced by|performed by|
  hosted by|played by|managed by|designed by|invented by|narrated by|coached by|translated by|illustrated by|discovered by|killed by|defeated by|off by|
  starring|featuring|hi|hello|dear|hey|thanks|thank you|cheers|regards|sincerely|greetings|attn|author|assistant to|why did|why does|why is|why was|says|said to|shouted at|had given|you can tell|here s|founders|zombie|
  
  mi nombre es|me llamo|je m appelle|m appelle|ich heisse|ich bin|name ist|mi chiamo|nome e|naam is|ik heet|mam na imie|nazywam sie|меня зовут|зовут|
  hallo|hola|bonjour|ciao|ola|czesc|привет|здравствуите|уважаемыи|уважаемая|lieber|liebe|cher|chere|caro|cara|estimado|estimada|beste|geachte|drogi|droga|
  querido|querida|prezado|prezada|geehrter|geehrte|grusse|gruesse|saludos|cordialement|groeten|pozdrawiam
`);
/** Enough for two words, or for one that may be a name. */
const WEAK = phrases(`
  asked|told|met|meet|ask|tell|contact|contacted|ping|pinged|emailed|phoned|visited|invited|thanked|hired|for|with|by|to|from|according to|and|cc|
  mit|gegen|durch|von|con|contra|por|avec|contre|par|per|da|met|door|tegen|przez|com|с|от
`);
/** Enough for a word in lower case. */
const FOR_LOWER_CASE = phrases(`name is|maiden name is|named him|named her|calls me|call me`);

type Phrases = ReadonlyMap<string, readonly string[][]>;

/** By their last word, each without it and backwards. */
function phrases(text: string): Phrases {
  const made = new Map<string, string[][]>();
  for (const phrase of text.split('|')) {
    const [last, ...before] = phrase.trim().split(' ').map(fold).reverse() as [string, ...string[]];
    if (last === '') continue;
    const known = made.get(last);
    if (known === undefined) made.set(last, [before]);
    else known.push(before);
  }
  return made;
}

/** How strongly the words in front introduce a name: 2 for one that nothing is known of, 1 where it helps, 0 not at all. */
export function introduction(text: string, words: readonly Word[], first: number): 0 | 1 | 2 {
  const before = words[first - 1];
  if (before === undefined || words[first]!.start - before.end > 3) return 0;
  const gap = text.slice(before.end, words[first]!.start);
  if (/^:\s?$/.test(gap)) return /^by$/.test(before.folded) || fits(STRONG, words, first) ? 2 : 0;
  if (/^(?:[,!] ?|,?\n|\s|\s?["“„«*])$/.test(gap))
    return fits(STRONG, words, first) ? 2 : /^\s$/.test(gap) && fits(WEAK, words, first) ? 1 : 0;
  return 0;
}

export function introducesLowerCase(text: string, words: readonly Word[], first: number): boolean {
  const before = words[first - 1];
  return (
    before !== undefined && text.slice(before.end, words[first]!.start) === ' ' && fits(FOR_LOWER_CASE, words, first)
  );
}

function fits(all: Phrases, words: readonly Word[], first: number): boolean {
  const phrases = all.get(words[first - 1]!.folded);
  return (
    phrases !== undefined && phrases.some((rest) => rest.every((word, k) => words[first - 2 - k]?.folded === word))
  );
}
