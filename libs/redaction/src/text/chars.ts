/** Character classes by table, and one pass over a text that says which detectors it can be of interest to. */

const DIGIT = 1;
const LOWER = 2;
const UPPER = 4;
const WORD = DIGIT | LOWER | UPPER;
/** May end what an anchor is. */
const ENDS = 16;
const TABLE = new Uint8Array(128);
for (let c = 48; c <= 57; c++) TABLE[c] = DIGIT;
for (let c = 97; c <= 122; c++) TABLE[c] = LOWER;
for (let c = 65; c <= 90; c++) TABLE[c] = UPPER;

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Letter or digit; everything beyond ASCII counts as a letter, but for spaces and punctuation blocks. */
export function isWordChar(code: number): boolean {
  if (code < 128) return (TABLE[code]! & WORD) !== 0;
  return (
    !(code >= 0x2000 && code <= 0x206f) &&
    !(code >= 0xa0 && code <= 0xbf && code !== 0xaa && code !== 0xb5 && code !== 0xba) &&
    !(code >= 0x3000 && code <= 0x303f) &&
    code < 0xff00
  );
}

/** What a text contains, as far as detectors ask before they look closer: bits of `has`, and counts. */
export interface Traits {
  has: number;
  digits: number;
  /** Length of the longest run of letters and digits. What base64 makes of ASCII has other characters only for `>`, `?` and `~`. */
  longestRun: number;
  /** A bit for each two characters that follow each other, by a hash that knows no case: a text that holds another has its bits. */
  pairs: number;
}

export const AT = 1;
export const COLON = 1 << 1;
export const EQUALS = 1 << 2;
/** Spaces, tabs and line breaks. */
export const SPACE = 1 << 3;
/** `(at`, ` dot`: an address that is written out. */
export const WRITTEN = 1 << 4;
/** Something that another reading of the text undoes: percent sign, ampersand, backslash, escape, characters beyond ASCII. */
export const DISGUISE = 1 << 5;
export const BEYOND_ASCII = 1 << 6;
/** An upper-case letter with a lower-case one after it: what a name begins with. */
export const CAPITAL = 1 << 7;
/** Four characters of these stand somewhere: an issuer's mark, `eyJ`, `://`, `----`, `hook`. */
export const MARK = 1 << 8;
export const JWT = 1 << 9;
export const SCHEME = 1 << 10;
export const DASHES = 1 << 11;
export const HOOK = 1 << 12;
/** An upper-case letter of ASCII. */
export const UPPER_CASE = 1 << 13;

const SEEN = new Uint16Array(128);
SEEN[64] = AT;
SEEN[58] = COLON;
SEEN[61] = EQUALS;
for (const code of [9, 10, 11, 12, 13, 32]) SEEN[code] = SPACE;
for (const code of [27, 37, 38, 92]) SEEN[code] = DISGUISE;

/** Two to four characters, packed, and what they are a sign of, as bits of `has`. Most are told to be a sign of nothing by a hash. */
const ANCHORS = new Map<number, number>();
const MAY_ANCHOR = new Uint8Array(1 << 12);
const TWO = 0x3fff;
const THREE = 0x1fffff;
const FOUR = 0xfffffff;

function hashOf(packed: number): number {
  return Math.imul(packed, 0x9e3779b1) >>> 20;
}

/** Characters from rare to frequent in what events hold; others are more frequent. */
const RARE = '~_JQZXKYVWUHBGFLNROMPTSDICEAzqjxkvwyKpb78906543215-';

/** Makes texts that hold `mark`, of two characters at least, known by a bit: by the two to four characters that end with its rarest one. */
export function anchor(mark: string, bit: number): void {
  const rarity = (char: string): number => (RARE.includes(char) ? RARE.indexOf(char) : RARE.length);
  let end = mark.length;
  for (let i = Math.min(3, end); i < mark.length; i++) if (rarity(mark[i - 1]!) < rarity(mark[end - 1]!)) end = i;
  let packed = 0;
  for (const char of mark.slice(Math.max(0, end - 4), end)) packed = (packed << 7) | char.charCodeAt(0);
  ANCHORS.set(packed, (ANCHORS.get(packed) ?? 0) | bit);
  MAY_ANCHOR[hashOf(packed)] = 1;
  TABLE[mark.charCodeAt(end - 1)]! |= ENDS;
}
anchor('eyJ', JWT);
anchor('://', SCHEME);
anchor('----', DASHES);
anchor('hook', HOOK);

const OPENS = new Uint8Array(128);
for (const char of ' ([{<') OPENS[char.charCodeAt(0)] = 1;

/** `(at`, `[ at`, ` dot`: whether the characters from here on begin so. */
function isWritten(text: string, at: number): boolean {
  const next = text.charCodeAt(at + 1);
  const after = text.charCodeAt(at + 2);
  if (text.charCodeAt(at) === 32) return (next | 32) === 100 && (after | 32) === 111;
  return next === 32 || ((next | 32) === 97 && (after | 32) === 116);
}

/** A shift takes the last five bits of it. */
function pairOf(packed: number): number {
  return ((packed >> 7) & 31) * 11 + (packed & 31);
}

/** The bits that a text has in `pairs` when it holds this one. */
export function pairsOf(text: string): number {
  let pairs = 0;
  for (let i = 1; i < text.length; i++) {
    const [first, second] = [text.charCodeAt(i - 1), text.charCodeAt(i)];
    if (first < 128 && second < 128) pairs |= 1 << pairOf((first << 7) | second);
  }
  return pairs;
}

export function traitsOf(text: string): Traits {
  let has = 0;
  let digits = 0;
  let longestRun = 0;
  let runStart = 0;
  let pairs = 0;
  let packed = 0;
  let capitals = 0;
  let kinds = 0;
  let last = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const kind = code < 128 ? TABLE[code]! : 0;
    packed = ((packed << 7) | (code & 127)) & FOUR;
    pairs |= 1 << pairOf(packed);
    digits += kind & DIGIT;
    capitals |= (last >> 1) & kind;
    last = kind;
    kinds |= kind;
    if (kind !== 0 && kind < ENDS) continue;
    if ((kind & WORD) === 0) {
      has |= code < 128 ? SEEN[code]! : BEYOND_ASCII | DISGUISE | CAPITAL;
      if (OPENS[code] === 1 && isWritten(text, i)) has |= WRITTEN;
      if (i - runStart > longestRun) longestRun = i - runStart;
      runStart = i + 1;
    }
    if (kind < ENDS) continue;
    if (MAY_ANCHOR[hashOf(packed)] === 1) has |= ANCHORS.get(packed) ?? 0;
    if (MAY_ANCHOR[hashOf(packed & THREE)] === 1) has |= ANCHORS.get(packed & THREE) ?? 0;
    if (MAY_ANCHOR[hashOf(packed & TWO)] === 1) has |= ANCHORS.get(packed & TWO) ?? 0;
  }
  if (text.length - runStart > longestRun) longestRun = text.length - runStart;
  if ((capitals & LOWER) !== 0) has |= CAPITAL;
  if ((kinds & UPPER) !== 0) has |= UPPER_CASE;
  return { has, digits, longestRun, pairs };
}
