/** Which of a far side's names an adapter file wants: those that a rule includes and none excludes. */
export interface NameRules {
  /** `*` stands for any text; everything else for itself. */
  include: string[];
  exclude: string[];
}

export function wants({ include, exclude }: NameRules, name: string): boolean {
  return include.some((rule) => fits(rule, name)) && !exclude.some((rule) => fits(rule, name));
}

function fits(rule: string, name: string): boolean {
  const pattern = rule
    .split('*')
    .map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(name);
}
