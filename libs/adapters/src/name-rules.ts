import { namePattern } from '@callboard/config';

/** Which of a far side's names an adapter file wants: those that a rule includes and none excludes. */
export interface NameRules {
  /** `*` stands for any text; everything else for itself. */
  include: string[];
  exclude: string[];
}

export function wants({ include, exclude }: NameRules, name: string): boolean {
  return include.some((rule) => namePattern(rule).test(name)) && !exclude.some((rule) => namePattern(rule).test(name));
}
