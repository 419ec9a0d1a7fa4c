/** Values that say nothing about anybody, under whatever name they stand: switches, permissions, blanks, references to variables. */
const WORDS = new Set(
  (
    'read write admin none null undefined true false yes no on off enabled disabled active inactive public private internal secret required optional unknown n/a na ' +
    'default auto always never all any basic bearer token oauth oauth2 apikey password user system anonymous root everyone self inherit inherited ' +
    'redacted masked hidden example changeme placeholder string number boolean object pending success failure'
  ).split(' '),
);

export function isHarmless(value: string): boolean {
  const text = value.trim();
  if (text.length <= 1) return true;
  if (text.length <= 12 && WORDS.has(text.toLowerCase())) return true;
  if (/^[*•xX.#-]+$/.test(text)) return true;
  return isVariable(text);
}

/** `${NAME}`, `{{ name }}`, `$NAME`, `%NAME%`, `<name>`, `process.env.NAME`: a name, not a value. */
export function isVariable(text: string): boolean {
  if (text.length > 200) return false;
  return (
    /^\$\{\{?[^{}]{0,190}\}\}?$/.test(text) ||
    /^\{\{[^{}]{0,190}\}\}$/.test(text) ||
    /^\$\(?[A-Za-z_][A-Za-z0-9_.]{0,100}\)?$/.test(text) ||
    /^%[A-Za-z_][A-Za-z0-9_]{0,60}%$/.test(text) ||
    /^<[^<>]{1,100}>$/.test(text) ||
    /^(?:process\.env|os\.environ|env|secrets|vars|config|self|this)[.[]/.test(text)
  );
}
