/** How random a string looks, and whether it is the sample of a manual. */

/** Shannon entropy in bits a character; over the first 256 characters. */
export function entropy(text: string): number {
  const counts = new Map<string, number>();
  const head = text.slice(0, 256);
  for (const char of head) counts.set(char, (counts.get(char) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / head.length) * Math.log2(count / head.length);
  return bits;
}

/** Of a token with an issuer's mark, which is one even when its author only typed along the keyboard. */
const MASKED = /[xX*#]{8}|\.{3}|_HERE|Here$|YOUR_|REPLACE_|REDACTED|abc123|EXAMPLE.*EXAMPLE|^(\d)\1+=*$|^[01]+$/;
/** Of anything else. */
const SAMPLE = /EXAMPLE|([^-_=])\1{5}|12345678|abcdefgh|qwerty|^(?:my|your)?_?(?:pass(?:word)?|secret|token)$/i;

/** Written to be shown: `xxxxxxxx`, `YOUR_TOKEN_HERE`. With `varied`, everything of low entropy is, and what samples are made of. */
export function isFake(text: string, varied = false): boolean {
  return MASKED.test(text) || (varied && (SAMPLE.test(text) || entropy(text) < 3));
}
