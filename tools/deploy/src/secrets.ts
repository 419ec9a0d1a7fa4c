/** What looks like a secret, in what is committed: seeds, private keys, tokens, URLs with passwords. */
const SECRETS: readonly [what: string, pattern: RegExp][] = [
  ['the seed of an nkey', /\bS[UAOCNX][A-Z2-7]{56}\b/g],
  ['a private key', /-----BEGIN [A-Z ]*PRIVATE KEY-----/g],
  ['a token of ours', /\bcbt_[A-Za-z0-9_-]{20,}/g],
  ['a JWT', /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\./g],
  ['a password in a URL', /\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]+:[^\s:/@]+@/g],
];

/** What was found, never its text. */
export function secretsIn(text: string): string[] {
  return SECRETS.filter(([, pattern]) => text.search(pattern) >= 0).map(([what]) => what);
}
