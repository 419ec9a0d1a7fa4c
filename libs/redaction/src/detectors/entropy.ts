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

/** `xxxxxxxx`, `0000…`, `EXAMPLE`: written to be shown. With `varied`, everything of low entropy is. */
export function isFake(text: string, varied = false): boolean {
  if (/[xX*]{8}|[^O]EXAMPLE(?!$)|\.\.\.|_HERE|YOUR_|REDACTED|^[01]+$/.test(text)) return true;
  return varied && entropy(text) < 3;
}
