/**
 * Subject tokens: any text as one NATS subject token, readable and reversible.
 *
 * Letters, digits and `- _ : @ / = + ~ , !` stand for themselves; every other byte of the UTF-8 text is `%XX`; the empty text is
 * a lone `%`. So `user:default/jane.doe` becomes `user:default/jane%2Edoe`, and an SRE can type it into `nats --filter`.
 *
 * Invariant: one text, one token, both ways. So half a surrogate pair, which has no UTF-8 of its own, is refused, and so is every
 * spelling of a token but the one that `encodeToken` writes.
 */
const PLAIN = /^[A-Za-z0-9\-_:@/=+~,!]+$/;
const PLAIN_BYTE = new Set([
  ...Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:@/=+~,!'),
]);

/** Is this text that UTF-8 can hold, with no half of a surrogate pair? */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** @throws RangeError when the text is not well formed. */
export function encodeToken(text: string): string {
  if (PLAIN.test(text)) return text;
  if (text === '') return '%';
  if (!isWellFormed(text)) throw new RangeError('no subject token: the text holds half a surrogate pair');
  let token = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    token += PLAIN_BYTE.has(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return token;
}

/** @throws RangeError when the text is not something that `encodeToken` returns. */
export function decodeToken(token: string): string {
  if (token === '%') return '';
  if (PLAIN.test(token)) return token;
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    const char = token.charCodeAt(i);
    if (char === 0x25 && /^[0-9A-F]{2}$/.test(token.slice(i + 1, i + 3))) {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16));
      i += 2;
    } else if (PLAIN_BYTE.has(char)) {
      bytes.push(char);
    } else {
      throw new RangeError(`not a subject token: character ${i + 1} is not allowed`);
    }
  }
  const text = Buffer.from(bytes).toString('utf8');
  if (encodeToken(text) !== token) throw new RangeError('not a subject token: this is not how its text is written');
  return text;
}
