/** A name in a configuration file that may stand for many: `*` is any text, everything else is itself. */
export function namePattern(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
