/** IBANs: country, length of that country, and remainder 1 modulo 97. */
import { isWordChar } from '../text/chars.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';

const LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 ' +
    'FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 ' +
    'MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ' +
    'SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

const ANCHOR = /(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9]{2})/gu;

export const iban: Detector = {
  name: 'iban',
  type: 'IBAN',
  strong: true,
  detect({ text, traits }: Sample): Span[] {
    if (traits.digits < 9) return [];
    const spans: Span[] = [];
    for (const match of text.matchAll(ANCHOR)) {
      const length = LENGTHS.get(match[0].slice(0, 2).toUpperCase());
      if (length === undefined) continue;
      let size = 0;
      let i = match.index;
      for (; i < text.length && size < length; i++) {
        const code = text.charCodeAt(i);
        if (isAlphanumeric(code)) size++;
        else if (!((code === 32 || code === 45 || code === 0xa0) && isAlphanumeric(text.charCodeAt(i + 1)))) break;
      }
      if (size !== length || isAlphanumeric(text.charCodeAt(i))) continue;
      if (isIban(text.slice(match.index, i).replace(/[ \-\u00a0]/g, ''))) {
        spans.push({ start: match.index, end: i, type: 'IBAN', detector: 'iban' });
      }
    }
    return spans;
  },
};

function isAlphanumeric(code: number): boolean {
  return code < 128 && isWordChar(code);
}

export function isIban(compact: string): boolean {
  const upper = compact.toUpperCase();
  if (LENGTHS.get(upper.slice(0, 2)) !== upper.length) return false;
  let remainder = 0;
  for (const char of upper.slice(4) + upper.slice(0, 4)) {
    const value = parseInt(char, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1;
}
