/** Character classes by table, and one pass that says which detectors a text can be of interest to. */

const DIGIT = 1;
const LOWER = 2;
const UPPER = 4;
const TABLE = new Uint8Array(128);
for (let c = 48; c <= 57; c++) TABLE[c] = DIGIT;
for (let c = 97; c <= 122; c++) TABLE[c] = LOWER;
for (let c = 65; c <= 90; c++) TABLE[c] = UPPER;

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Letter or digit; everything beyond ASCII counts as a letter, but for spaces and punctuation blocks. */
export function isWordChar(code: number): boolean {
  if (code < 128) return TABLE[code] !== 0;
  return !(code >= 0x2000 && code <= 0x206f) && code !== 0xa0 && !(code >= 0x3000 && code <= 0x303f) && code < 0xff00;
}

/** What a text contains, as far as detectors ask before they look closer. */
export interface Traits {
  at: boolean;
  /** Digits in all. */
  digits: number;
  /** Something that could be the start of a name: an upper-case letter with a lower-case one after it, or beyond ASCII. */
  capital: boolean;
  space: boolean;
  colon: boolean;
  equals: boolean;
  percent: boolean;
  ampersand: boolean;
  backslash: boolean;
  beyondAscii: boolean;
  /** Length of the longest run of base64 characters. */
  longestRun: number;
}

export function traitsOf(text: string): Traits {
  const traits: Traits = {
    at: false,
    digits: 0,
    capital: false,
    space: false,
    colon: false,
    equals: false,
    percent: false,
    ampersand: false,
    backslash: false,
    beyondAscii: false,
    longestRun: 0,
  };
  let run = 0;
  let last = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const kind = code < 128 ? TABLE[code]! : 0;
    if (kind !== 0) {
      run++;
      if (kind === DIGIT) traits.digits++;
      else if (kind === LOWER && last === UPPER) traits.capital = true;
    } else {
      if (code === 43 || code === 47 || code === 45 || code === 95) run++;
      else {
        if (run > traits.longestRun) traits.longestRun = run;
        run = 0;
        if (code > 127) traits.beyondAscii = true;
        else if (code <= 32) traits.space = true;
        else if (code === 64) traits.at = true;
        else if (code === 58) traits.colon = true;
        else if (code === 61) traits.equals = true;
        else if (code === 37) traits.percent = true;
        else if (code === 38) traits.ampersand = true;
        else if (code === 92) traits.backslash = true;
      }
    }
    last = kind;
  }
  if (run > traits.longestRun) traits.longestRun = run;
  if (traits.beyondAscii) traits.capital = true;
  return traits;
}
