/**
 * National and tax numbers. Those with a check digit or a form of their own need no context; those that are a run of digits, or whose
 * check lets one in ten pass, need a word that says what they are.
 */
import type { Span } from '../types.js';
import { hasContext, wordSet, type Detector, type Sample } from './detector.js';

const CONTEXT =
  wordSet(`ssn social security sin nino national insurance nhs tax taxpayer tin itin dni nie nif nuss pesel cpf cnpj bsn
  burgerservicenummer nir insee steuer steuerid idnr sozialversicherung codice fiscale cf curp aadhaar pan personnummer cpr hetu
  passport passeport pasaporte reisepass passaporto passnummer driver drivers license licence driving dl führerschein identity ausweis personalausweis
  identification permis`);

const NO_LETTER = /[^\p{L}\p{M}]+/u;

interface Kind {
  name: string;
  /** The fewest that a text has which holds one. */
  digits: number;
  pattern: RegExp;
  context: boolean;
  valid?(compact: string): boolean;
}

const KINDS: Kind[] = [
  {
    name: 'us_ssn',
    digits: 9,
    pattern: /(?<![\w-])(?!000|666|9\d\d)\d{3}([-. ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])/g,
    context: false,
  },
  { name: 'us_ssn', digits: 9, pattern: /(?<![\w-.])\d{9}(?![\w-]|\.\d)/g, context: true },
  {
    name: 'gb_nino',
    digits: 6,
    pattern: /(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)/gi,
    context: false,
    valid: (id) => !/^(?:BG|GB|KN|NK|NT|TN|ZZ)/i.test(id),
  },
  { name: 'gb_nhs', digits: 10, pattern: /(?<![\w-])\d{3} ?\d{3} ?\d{4}(?![\w-])/g, context: true, valid: isNhs },
  {
    name: 'es_dni',
    digits: 7,
    pattern: /(?<![\w-])(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z](?!\w)/gi,
    context: false,
    valid: isDni,
  },
  { name: 'it_cf', digits: 7, pattern: /(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)/gi, context: false },
  { name: 'pl_pesel', digits: 11, pattern: /(?<![\w-])\d{11}(?![\w-])/g, context: true, valid: isPesel },
  {
    name: 'br_cpf',
    digits: 11,
    pattern: /(?<![\w-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])/g,
    context: false,
    valid: isCpf,
  },
  { name: 'br_cpf', digits: 11, pattern: /(?<![\w-])\d{11}(?![\w-])/g, context: true, valid: isCpf },
  { name: 'nl_bsn', digits: 9, pattern: /(?<![\w-])\d{9}(?![\w-])/g, context: true, valid: isBsn },
  {
    name: 'fr_nir',
    digits: 14,
    pattern: /(?<![\w-])[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}(?![\w-])/g,
    context: false,
    valid: isNir,
  },
  {
    name: 'de_steuerid',
    digits: 11,
    pattern: /(?<![\w-])[1-9]\d ?\d{3} ?\d{3} ?\d{3}(?![\w-])/g,
    context: true,
    valid: isSteuerId,
  },
  { name: 'in_aadhaar', digits: 12, pattern: /(?<![\w-])[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])/g, context: true },
  { name: 'ca_sin', digits: 9, pattern: /(?<![\w-])\d{3}[- ]\d{3}[- ]\d{3}(?![\w-])/g, context: true },
  { name: 'se_personnummer', digits: 10, pattern: /(?<![\w-])(?:19|20)?\d{6}[-+]\d{4}(?![\w-])/g, context: true },
  // Passports and driving licences have a form per issuer and year: what is named as one, and has digits, is one.
  {
    name: 'named_number',
    digits: 6,
    pattern: /(?<![\w-])(?=[A-Z0-9]{0,13}\d{4})[A-Z]{0,3}\d{6,14}[A-Z]{0,3}(?![\w-])/gi,
    context: true,
  },
];

export const nationalId: Detector = {
  name: 'national_id',
  type: 'NATIONAL_ID',
  strong: false,
  detect(sample: Sample): Span[] {
    if (sample.traits.digits < 6) return [];
    const spans: Span[] = [];
    // One look at the words saves ten at the digits.
    const named = sample
      .lower()
      .split(NO_LETTER)
      .some((word) => CONTEXT.has(word));
    for (const { name, digits, pattern, context, valid } of KINDS) {
      if (sample.traits.digits < digits || (context && !named)) continue;
      for (const match of sample.text.matchAll(pattern)) {
        const start = match.index;
        const end = start + match[0].length;
        if (valid !== undefined && !valid(match[0].replace(/[^0-9A-Za-z]/g, ''))) continue;
        if (context && !hasContext(sample, start, end, CONTEXT)) continue;
        spans.push({ start, end, type: 'NATIONAL_ID', detector: `national_id.${name}` });
      }
    }
    return spans;
  },
};

/** The sum of the digits, each times its weight. */
function weighted(digits: string, weights: number[]): number {
  return weights.reduce((sum, weight, i) => sum + weight * Number(digits[i]), 0);
}

function isNhs(id: string): boolean {
  const check = (11 - (weighted(id, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11;
  return check === Number(id[9]);
}

function isDni(id: string): boolean {
  const upper = id.toUpperCase();
  const number = Number(upper.slice(0, -1).replace(/^[XYZ]/, (letter) => String('XYZ'.indexOf(letter))));
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23] === upper.at(-1);
}

function isPesel(id: string): boolean {
  return (10 - (weighted(id, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)) % 10 === Number(id[10]);
}

function isCpf(id: string): boolean {
  if (/^(\d)\1+$/.test(id)) return false;
  const digit = (count: number): number => {
    const weights = Array.from({ length: count }, (_, i) => count + 1 - i);
    return ((weighted(id, weights) * 10) % 11) % 10;
  };
  return digit(9) === Number(id[9]) && digit(10) === Number(id[10]);
}

function isBsn(id: string): boolean {
  return weighted(id, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0;
}

function isNir(id: string): boolean {
  const body = id.slice(0, 13).replace('2A', '19').replace('2B', '18');
  return /^\d{13}$/.test(body) && 97 - Number(BigInt(body) % 97n) === Number(id.slice(13));
}

function isSteuerId(id: string): boolean {
  let product = 10;
  for (let i = 0; i < 10; i++) {
    const sum = (Number(id[i]) + product) % 10 || 10;
    product = (sum * 2) % 11;
  }
  return (11 - product) % 10 === Number(id[10]);
}
