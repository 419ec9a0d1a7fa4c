/**
 * Subject tokens: any text as one NATS subject token, readable and reversible.
 *
 * Letters, digits and `- _ : @ / = + ~ , !` stand for themselves; every other byte of the UTF-8 text is `%XX`; the empty text is
 * a lone `%`. So `user:default/jane.doe` becomes `user:default/jane%2Edoe`, and an SRE can type it into `nats --filter`.
 */
const PLAIN = /^[A-Za-z0-9\-_:@/=+~,!]+$/;
const PLAIN_BYTE = new Set([
  ...Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:@/=+~,!'),
]);

export function encodeToken(text: string): string {
  if (PLAIN.test(text)) return text;
  if (text === '') return '%';
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
  return Buffer.from(bytes).toString('utf8');
}
