/**
 * Telephone numbers. A number that is written internationally and fits a numbering plan (libphonenumber-js), or written as North
 * American ones are, is one by itself. Others need a word next to them that says so: numbering plans alone miss most of what people
 * write, and take many an order number for a telephone number.
 */
import { isPossiblePhoneNumber } from 'libphonenumber-js/min';
import { isDigit, isWordChar } from '../text/chars.js';
import type { Span } from '../types.js';
import { hasContext, wordSet, type Detector, type Sample } from './detector.js';

const CONTEXT =
  wordSet(`phone phones telephone tel tél fax mobile cell cellphone call calling called dial reach ring whatsapp sms text contact
  hotline landline office answering telefon telefono teléfono téléphone telefonnummer handy mobil mobilnummer rufnummer anruf anrufen rückruf rief erreichbar móvil portable
  cellulare telefone celular telefoon telefonu komórka numer тел телефон моб 電話 电话 手机 전화 هاتف הטלפון msisdn ph mob extension ext voicemail`);
const SEPARATORS = new Set([32, 40, 41, 45, 46, 47, 0xa0]);
const NANP = /^(?:\+?1[-. ]?|001[-. ])?\(?[2-9]\d{2}\)?[-. ]{0,2}\d{3}[-. ]\d{4}$/;
const DATE = /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:$|[ T.])/;
const LONGEST = 32;

export const phone: Detector = {
  name: 'phone',
  type: 'PHONE',
  strong: false,
  detect(sample: Sample): Span[] {
    if (sample.traits.digits < 6) return [];
    const { text } = sample;
    const spans: Span[] = [];
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (!isDigit(code) && code !== 43 && code !== 40) continue;
      if (code !== 43 && i > 0 && glued(text.charCodeAt(i - 1), text.charCodeAt(i - 2))) {
        while (i < text.length && isDigit(text.charCodeAt(i))) i++;
        continue;
      }
      const end = numberEnd(text, i);
      const span = end - i <= LONGEST ? judge(sample, i, end) : undefined;
      if (span !== undefined) spans.push(span);
      i = Math.max(end - 1, i);
    }
    return spans;
  },
};

/** Whether what stands before makes the number part of something else: a word, a path, a decimal, a range, a key. */
function glued(before: number, beforeThat: number): boolean {
  if (before === 45 || before === 46) return isWordChar(beforeThat) || beforeThat === before;
  return isWordChar(before) || before === 47 || before === 35 || before === 36 || before === 95 || before === 64;
}

/** The end of digits, separators and brackets from here on, without what is no digit at the end, and with an extension. */
function numberEnd(text: string, from: number): number {
  let last = from;
  let gap = 0;
  let i = text[from] === '+' ? from + 1 : from;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isDigit(code)) {
      last = i + 1;
      gap = 0;
    } else if (SEPARATORS.has(code) && gap < 3) gap++;
    else break;
  }
  const extension = /^(?: ?(?:x|ext\.?|extension) ?\d{1,6})(?!\w)/i.exec(text.slice(last, last + 18));
  return extension === null ? last : last + extension[0].length;
}

function judge(sample: Sample, start: number, end: number): Span | undefined {
  const raw = sample.text.slice(start, end);
  const number = raw.replace(/ ?(?:x|ext\.?|extension) ?\d{1,6}$/i, '');
  const digits = number.replace(/\D/g, '');
  if (digits.length < 6 || digits.length > 16) return undefined;
  if (isWordChar(sample.text.charCodeAt(end)) && end < sample.text.length) return undefined;
  if (DATE.test(number) || /^\d{3}-\d{2}-\d{4}$/.test(number) || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(number))
    return undefined;
  if (/^(\d)\1+$/.test(digits)) return undefined;
  const span: Span = { start, end, type: 'PHONE', detector: 'phone' };
  if (number.startsWith('+') && digits.length >= 7) {
    return isPossiblePhoneNumber(`+${digits}`) || hasContext(sample, start, end, CONTEXT) ? span : undefined;
  }
  if (NANP.test(number) || (raw !== number && digits.length >= 10)) return span;
  if (digits.length >= 6 && hasContext(sample, start, end, CONTEXT)) return { ...span, detector: 'phone.context' };
  return undefined;
}
